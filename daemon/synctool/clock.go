package synctool

import (
	"context"
	"time"

	"omsync/daemon/coord"
)

// due says how long nothing needs to be done.
func (s *subtask) due(now time.Time) time.Duration {
	d := time.Hour
	at := func(t time.Time) {
		if !t.IsZero() {
			d = min(d, max(t.Sub(now), time.Millisecond))
		}
	}
	if s.open != nil && !s.roll {
		at(s.open.began.Add(s.term.o.SegmentAge))
	}
	if s.hold.After(now) {
		at(s.hold)
	}
	if !s.schema.IsZero() {
		at(now.Add(schemaPause))
	}
	switch st := s.rec.get(); st.Status {
	case coord.Running, coord.Init, coord.Reassigning:
		if s.job != nil {
			break
		}
		if s.assigned {
			at(s.heard.Add(2 * s.term.o.CheckPeriod))
			if now.After(s.heard.Add(2 * s.term.o.CheckPeriod)) {
				at(now.Add(s.term.o.CheckPeriod / 2))
			}
		} else if s.att == nil {
			at(s.again)
		}
	}
	return d
}

// watchClock acts on what time alone brings.
func (s *subtask) watchClock(ctx context.Context) {
	now := time.Now()
	if s.open != nil && now.Sub(s.open.began) >= s.term.o.SegmentAge {
		s.roll = true
	}
	st := s.rec.get()
	if !s.assigned || s.job != nil || s.leaving != nil || st.Status != coord.Running && st.Status != coord.Init && st.Status != coord.Reassigning {
		return
	}
	s.mu.Lock()
	if s.live.heard.After(s.heard) {
		s.heard = s.live.heard
	}
	if s.asked != nil && !s.asked.link.over() { // it is us who let it wait
		s.heard = now
	}
	s.mu.Unlock()
	check := s.term.o.CheckPeriod
	switch silent := now.Sub(s.heard); {
	case silent >= 3*check:
		s.reassign(ctx, "its collector "+st.Collector+" says nothing for "+silent.Round(time.Second).String())
	case silent >= 2*check && !s.term.world.Alive(st.Collector):
		s.reassign(ctx, "its collector "+st.Collector+" is gone from ZooKeeper")
	case s.att == nil && s.replaced(&st):
		s.reassign(ctx, "its collector "+st.Collector+" is gone, another one is active on the host")
	case s.att != nil && s.moved(&st, now):
		s.reassign(ctx, "the partition's leader moved away from "+st.Tablet)
	}
}

// replaced tells that the collector is neither connected nor the active one of its host, and another reads the same tablet: there is nothing to
// wait for. One whose tablet does not lead any more is given time to come back: its links may be the only ones.
func (s *subtask) replaced(st *coord.SubtaskState) bool {
	if s.term.world.Alive(st.Collector) || !s.term.world.Connected() {
		return false
	}
	where, t := findPlace(s.term.world, s.task.name(), s.task.spec.TID, s.pid)
	return t == nil && where.leader.Node == st.Tablet && where.collector != st.Collector
}

// moved tells that another tablet leads the partition and nothing more is to be had from the old host's links: they are finished, or stuck
// (docs/design.md §5.2). Before the log phase only the old host's pin can go on.
func (s *subtask) moved(st *coord.SubtaskState, now time.Time) bool {
	if st.Point.Phase != phaseLog || !st.PublishDone {
		return false
	}
	lead, err := s.term.world.Leader(s.task.spec.TID, s.pid)
	if err != nil || lead.Node == st.Tablet {
		return false
	}
	s.mu.Lock()
	tail := s.live.tail
	s.mu.Unlock()
	return tail != 0 && st.Point.Index >= tail || now.Sub(s.advanced) >= 2*s.term.o.CheckPeriod && s.open == nil
}
