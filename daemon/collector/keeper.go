package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"omsync/openmldb/tablet"
	"omsync/rpc/omsyncpb"
)

// keep links what is new in the tablet's log directory while nothing reads it, prunes what is committed, and asks the tablet now and then. It goes on
// in every state, PAUSED and FAILED included: the tablet deletes its log files meanwhile.
func (s *subtask) keep(ctx context.Context) {
	p := s.c.o.pace
	var asked time.Time
	told := ""
	for {
		err := s.link(ctx)
		if now := s.c.o.Clock.Now(); asked.IsZero() || now.Sub(asked) >= p.ask {
			asked = now
			s.ask(ctx)
			s.sawTail(s.physicalEnd(ctx))
		}
		if text := fmt.Sprint(err); err == nil {
			told = ""
		} else if text != told && ctx.Err() == nil {
			told = text
			s.log.Warn("can not keep the log", "err", err)
		}
		if pause(ctx, s.c.o.Clock, p.keep, s.prune) != nil {
			return
		}
	}
}

func (s *subtask) link(ctx context.Context) error {
	if _, err := s.hold.sync(); err != nil {
		return err
	}
	if s.horizon.settle > 0 {
		s.horizon.see(s.c.o.Clock.Now(), s.physicalEnd(ctx))
	}
	s.mu.Lock()
	p := s.committal
	s.mu.Unlock()
	if p.GetPhase() != omsyncpb.Phase_PHASE_LOG {
		return nil
	}
	return s.hold.prune(ctx, p.GetLogIndex())
}

// src is where the partition lies, nil while the tablet has never told.
func (s *subtask) src() *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source
}

// ask looks at the partition on its tablet; what comes of it is kept.
func (s *subtask) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(s.c.o.RequestTimeout, 5*time.Second))
	defer cancel()
	st, err := s.c.statusOf(ctx, s.a)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = err
	if err == nil {
		s.leader, s.recordCnt = tablet.Leader(st), st.GetRecordCnt()
	}
}

// leads tells whether the tablet says that it leads the partition.
func (s *subtask) leads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked == nil && s.leader
}

// missing is not nil while the tablet says that it has no such partition.
func (s *subtask) missing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.asked, tablet.ErrNoPartition) || errors.Is(s.asked, tablet.ErrNoTable) {
		return s.asked
	}
	return nil
}

// refresh asks the tablet where the partition lies and for its schema, and keeps both on disk.
func (s *subtask) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.c.o.RequestTimeout)
	defer cancel()
	src, err := s.c.sourceOf(ctx, s.a)
	if err != nil {
		return err
	}
	if err := writeStored(s.c.o.Files, s.dir, stored{s.a, src}); err != nil {
		return err
	}
	s.mu.Lock()
	s.source = src
	s.mu.Unlock()
	s.hold.follow(src.Logs)
	return nil
}

// ready waits until the partition can be read: the tablet says so, or, if it does not answer, said so before.
func (s *subtask) ready(ctx context.Context) error {
	for {
		err := s.refresh(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.src() != nil:
			s.log.Warn("the tablet does not tell of the partition; what it said before is used", "err", err)
			return nil
		case !errors.Is(err, tablet.ErrLoading):
			return err
		}
		done := s.waits("the tablet to load the partition")
		err = pause(ctx, s.c.o.Clock, s.c.o.pace.tailMost, nil)
		done()
		if err != nil {
			return err
		}
	}
}
