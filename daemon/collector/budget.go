package collector

import (
	"context"
	"fmt"

	"omsync/rpc/omsyncpb"
)

// holdSum is what all holds keep, as last summed.
type holdSum struct {
	bytes   int64
	files   int
	largest string // partition
}

// warn: 80 % of the budget are used.
func (h holdSum) warn(budget int64) bool { return budget > 0 && h.bytes >= budget/5*4 }

func (h holdSum) text(budget int64) string {
	return fmt.Sprintf("links keep %d bytes of tablet files alive, the budget is %d (hold_budget_bytes); the most is held for %s", h.bytes, budget, h.largest)
}

// watchBudget sums the holds now and then. Over the budget the largest standby hold is dropped; if there is none, the largest hold of a subtask, which
// fails.
func (c *Collector) watchBudget(ctx context.Context) {
	warned := false
	for pause(ctx, c.o.Clock, c.o.pace.budget, nil) == nil {
		sum, largest, spare := c.sumHolds()
		c.mu.Lock()
		c.holds = sum
		c.mu.Unlock()
		warn := sum.warn(c.o.HoldBudget)
		if warn && !warned {
			c.log.Warn("hold budget", "reason", sum.text(c.o.HoldBudget))
		}
		warned = warn
		switch over := c.o.HoldBudget > 0 && sum.bytes > c.o.HoldBudget; {
		case over && spare != nil: // no export depends on it now
			spare.overBudget(ctx, sum)
		case over && largest != nil:
			largest.overBudget(ctx, sum)
		}
	}
}

func (c *Collector) sumHolds() (sum holdSum, largest *subtask, spare *standbyHold) {
	most, mostSpare := int64(-1), int64(0)
	for _, s := range c.reg.all() {
		u, err := s.hold.usage()
		if err != nil {
			s.log.Warn("can not sum the hold", "err", err)
			continue
		}
		sum.bytes += u.bytes
		sum.files += u.snapshotFiles + u.logFiles
		if u.bytes > most {
			most, largest, sum.largest = u.bytes, s, partitionName(s.a)
		}
	}
	for _, k := range c.reg.standbys() {
		u, err := k.hold.usage()
		if err != nil {
			k.log().Warn("can not sum the standby hold", "err", err)
			continue
		}
		sum.bytes += u.bytes
		sum.files += u.logFiles
		if u.bytes > mostSpare {
			mostSpare, spare = u.bytes, k
		}
	}
	if spare != nil && mostSpare > most {
		sum.largest = partitionName(spare.of()) + " (standby)"
	}
	return sum, largest, spare
}

// overBudget drops the hold and fails the subtask.
func (s *subtask) overBudget(ctx context.Context, sum holdSum) {
	first, last, err := s.hold.drop(ctx)
	if err != nil {
		s.log.Error("drop the hold", "err", err)
	}
	s.mu.Lock()
	from := s.committal
	s.mu.Unlock()
	if p := from.GetLogIndex(); from.GetPhase() == omsyncpb.Phase_PHASE_LOG {
		first = max(first, p+1)
	}
	t := troubled(operator, codeHoldOverBudget, "raise hold_budget_bytes in data_collector.flags, or make room; "+hintReexport,
		"%s: links kept %d bytes of tablet files alive, over the budget of %d; the hold of this partition was dropped, log entries %d to %d may be gone",
		partitionName(s.a), sum.bytes, s.c.o.HoldBudget, first, last)
	s.log.Error("hold over budget", "reason", t.fault.GetReason())
	s.condemn(t)
}

// held is the subtask's hold as it is shown.
func (s *subtask) held() (*omsyncpb.Hold, error) {
	u, err := s.hold.usage()
	if err != nil {
		return nil, err
	}
	h := &omsyncpb.Hold{Key: s.a.GetKey(), SnapshotFiles: uint32(u.snapshotFiles), LogFiles: uint32(u.logFiles), Bytes: uint64(u.bytes)}
	if p, err := s.loadPin(); err == nil && p != nil {
		h.SnapshotName = p.Snapshot
	}
	h.FirstIndex, err = s.hold.first()
	return h, err
}
