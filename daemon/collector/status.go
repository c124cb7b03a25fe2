package collector

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"omsync/rpc/omsyncpb"
)

// count adds a batch to the process's sums.
func (c *Collector) count(d *omsyncpb.Counters) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches++
	addCounters(&c.sum, d)
}

// view is the subtask as it is shown.
func (s *subtask) view() *omsyncpb.CollectorSubtask {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &omsyncpb.CollectorSubtask{
		Assignment: masked(s.a), State: s.state, Sent: s.sent, Committed: s.committal, TailIndex: s.tail, WaitingFor: s.waitingFor(),
		Counters: proto.Clone(&s.counters).(*omsyncpb.Counters), Fault: s.fault,
	}
}

// statusPage is the collector's section of /status.
func (c *Collector) statusPage(w io.Writer) {
	c.mu.Lock()
	standing, sum, batches, holds := c.standing, proto.Clone(&c.sum).(*omsyncpb.Counters), c.batches, c.holds
	c.mu.Unlock()
	state := standing.State
	if state == "" {
		state = "not known yet"
	}
	fmt.Fprintf(w, "collector %s, instance %s, %s, registered %t\n", c.o.Endpoint, c.instance, state, standing.Registered)
	if l, _, err := c.up.state(); l != nil {
		fmt.Fprintf(w, "streams to the synctool at %s\n", l.address)
	} else {
		fmt.Fprintf(w, "no stream to a synctool: %v\n", err)
	}
	fmt.Fprintf(w, "sent %d rows, %d bytes in %d batches\n", sum.GetRows(), sum.GetBytes(), batches)
	fmt.Fprintf(w, "links keep %d bytes in %d files, budget %d\n", holds.bytes, holds.files, c.o.HoldBudget)
	for _, p := range append(c.checks.problems(), c.reg.problems()...) {
		fmt.Fprintf(w, "problem: %s\n", p)
	}
	for _, s := range c.reg.all() {
		v := s.view()
		a := v.GetAssignment()
		fmt.Fprintf(w, "\n%s (tid %d) mode %d on %s: %s\n", partitionName(a), a.GetKey().GetTid(), a.GetMode(), a.GetTabletEndpoint(), v.GetState())
		fmt.Fprintf(w, "  sent %s, committed %s, log ends at %d\n", pointText(v.GetSent()), pointText(v.GetCommitted()), v.GetTailIndex())
		n := v.GetCounters()
		fmt.Fprintf(w, "  rows %d, bytes %d, expired %d, filtered %d, deletes %d, foreign %d, repeated %d, holes %d, skipped blocks %d\n",
			n.GetRows(), n.GetBytes(), n.GetExpired(), n.GetFiltered(), n.GetDeletes(), n.GetForeign(), n.GetRepeated(), n.GetHoles(), n.GetSkippedBlocks())
		if t := v.GetWaitingFor(); t != "" {
			fmt.Fprintf(w, "  waits for %s\n", t)
		}
		if f := v.GetFault(); f != nil {
			fmt.Fprintf(w, "  %s: %s (%s)\n", f.GetCode(), f.GetReason(), f.GetHint())
		}
	}
	for _, k := range c.reg.standbys() {
		fmt.Fprintf(w, "\n%s\n", k.text())
	}
}

// pointText shows a point to people.
func pointText(p *omsyncpb.Point) string {
	switch {
	case p == nil:
		return "nothing"
	case p.GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT && len(p.GetKey()) == 0:
		return "the snapshot's beginning"
	case p.GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT:
		return fmt.Sprintf("snapshot key %q", shorten(p.GetKey()))
	case p.GetPhase() == omsyncpb.Phase_PHASE_BACKLOG:
		return fmt.Sprintf("backlog index %d", p.GetLogIndex())
	case p.GetPhase() == omsyncpb.Phase_PHASE_DONE:
		return fmt.Sprintf("the end at index %d", p.GetLogIndex())
	}
	return fmt.Sprintf("log index %d", p.GetLogIndex())
}
