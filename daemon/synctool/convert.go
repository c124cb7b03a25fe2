package synctool

import (
	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

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

func countersOf(c *omsyncpb.Counters) coord.Counters {
	return coord.Counters{
		Rows: c.GetRows(), Bytes: c.GetBytes(), Expired: c.GetExpired(), Filtered: c.GetFiltered(), Deletes: c.GetDeletes(),
		Foreign: c.GetForeign(), Repeated: c.GetRepeated(), Holes: c.GetHoles(), SkippedBlocks: c.GetSkippedBlocks(),
	}
}

func countersTo(c coord.Counters) *omsyncpb.Counters {
	return &omsyncpb.Counters{
		Rows: c.Rows, Bytes: c.Bytes, Expired: c.Expired, Filtered: c.Filtered, Deletes: c.Deletes,
		Foreign: c.Foreign, Repeated: c.Repeated, Holes: c.Holes, SkippedBlocks: c.SkippedBlocks,
	}
}

func markTo(m *coord.Mark) *omsyncpb.LogMark {
	if m == nil {
		return nil
	}
	return &omsyncpb.LogMark{LogIndex: m.Index, Term: m.Term, Crc: m.CRC}
}
