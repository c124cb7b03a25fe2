package synctool

import (
	"fmt"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// pointText shows a point to people.
func pointText(p coord.Point) string {
	switch p.Phase {
	case "", phaseSnapshot:
		if len(p.Key) == 0 {
			return "the snapshot's beginning"
		}
		return fmt.Sprintf("snapshot key %q", p.Key)
	case phaseBacklog:
		return fmt.Sprintf("backlog index %d", p.Index)
	case phaseDone:
		return fmt.Sprintf("the end at index %d", p.Index)
	}
	return fmt.Sprintf("log index %d", p.Index)
}

// Phases as the nodes spell them.
const (
	phaseSnapshot = "SNAPSHOT"
	phaseBacklog  = "BACKLOG"
	phaseLog      = "LOG"
	phaseDone     = "DONE"
)

var phases = []string{
	omsyncpb.Phase_PHASE_SNAPSHOT: phaseSnapshot, omsyncpb.Phase_PHASE_BACKLOG: phaseBacklog,
	omsyncpb.Phase_PHASE_LOG: phaseLog, omsyncpb.Phase_PHASE_DONE: phaseDone,
}

// pointOf reads a point off the wire. A phase that is not known gives "", which no check lets pass.
func pointOf(p *omsyncpb.Point) coord.Point {
	out := coord.Point{Key: p.GetKey(), Index: p.GetLogIndex()}
	if i := int(p.GetPhase()); i >= 0 && i < len(phases) {
		out.Phase = phases[i]
	}
	return out
}

func pointTo(p coord.Point) *omsyncpb.Point {
	return &omsyncpb.Point{Phase: omsyncpb.Phase(max(phaseRank(p.Phase), 0)), Key: p.Key, LogIndex: p.Index}
}

// phaseRank orders phases; an empty one is the beginning, an unknown one -1.
func phaseRank(phase string) int {
	if phase == "" {
		return 0
	}
	for i, name := range phases {
		if name == phase {
			return i
		}
	}
	return -1
}
