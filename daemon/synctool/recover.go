package synctool

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// recover starts FAILED subtasks again from their last commit. With reexport a new generation begins, and what the former one wrote stays
// and repeats; with acceptMissing committed files may be gone; with skipBadBlocks the collector goes on behind damaged log blocks.
func (t *term) recover(ctx context.Context, r *omsyncpb.RecoverRequest) (uint32, error) {
	if !t.enter() {
		return 0, errTermOver
	}
	defer t.wg.Done()
	k := t.find(r.GetDb(), r.GetTable())
	if k == nil {
		return 0, &refusal{codes.NotFound, "task-unknown", fmt.Sprintf("there is no task for %s.%s", r.GetDb(), r.GetTable()), ""}
	}
	k.mu.Lock()
	going := k.going
	k.adopt = k.adopt || r.GetAcceptMissing()
	k.mu.Unlock()
	if going {
		return 0, &refusal{codes.FailedPrecondition, "task-ending", fmt.Sprintf("the task of %s is ending", k.name()), ""}
	}
	for _, pid := range r.GetPids() {
		s := k.subs[pid]
		if s == nil {
			return 0, &refusal{codes.NotFound, "partition-unknown", fmt.Sprintf("%s has no partition %d", k.name(), pid), ""}
		}
		if st := s.rec.get(); st.Status != coord.Failed {
			return 0, &refusal{codes.FailedPrecondition, "not-failed", fmt.Sprintf("%s partition %d is %s, not FAILED", k.name(), pid, st.Status), ""}
		}
	}
	var n uint32
	for _, pid := range k.spec.Partitions {
		s := k.subs[pid]
		if s == nil || s.rec.get().Status != coord.Failed || len(r.GetPids()) > 0 && !slices.Contains(r.GetPids(), pid) {
			continue
		}
		if err := s.ask(ctx, func(ctx context.Context) error { return s.revive(ctx, r) }); err != nil {
			return n, fmt.Errorf("recover %s partition %d: %w", k.name(), pid, err)
		}
		n++
	}
	return n, nil
}

// revive puts a FAILED subtask back to work; it runs on the subtask's goroutine, between jobs.
func (s *subtask) revive(ctx context.Context, r *omsyncpb.RecoverRequest) error {
	if s.rec.get().Status != coord.Failed {
		return nil // somebody else was faster
	}
	s.detach("recovered by an operator", false)
	s.drop(ctx)
	err := s.rec.change(ctx, func(st *coord.SubtaskState) error {
		if r.GetReexport() {
			begin(st)
		}
		st.SkipBadBlocks = st.SkipBadBlocks || r.GetSkipBadBlocks()
		st.Status, st.Code, st.Reason, st.Hint = coord.Reassigning, "", "", ""
		return nil
	})
	if err != nil {
		if lostLead(err) {
			s.term.failed(err)
		}
		return err
	}
	s.recovered, s.resumed = false, true
	s.tolerate = r.GetAcceptMissing()
	s.assigned, s.took, s.fruitless = false, "", false
	s.waited, s.tried, s.again, s.hold = 0, time.Time{}, time.Time{}, time.Time{}
	s.assigning.reset()
	s.writing.reset()
	s.setStalled(nil)
	s.term.touch()
	s.nudge()
	return nil
}

// operation is an operator's wish, done when no job runs.
type operation struct {
	do   func(context.Context) error
	done chan error
}

// ask has do run when no job is in the way, and returns its error.
func (s *subtask) ask(ctx context.Context, do func(context.Context) error) error {
	o := &operation{do: do, done: make(chan error, 1)}
	s.post(func(ctx context.Context) {
		if ctx.Err() != nil {
			o.done <- context.Cause(ctx)
			return
		}
		s.ops = append(s.ops, o)
		if s.job != nil && !s.job.decided.Load() {
			s.job.cancel()
		}
	})
	select {
	case err := <-o.done:
		return err
	case <-s.ended:
		return errTermOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *subtask) operate(ctx context.Context) {
	ops := s.ops
	s.ops = nil
	for _, o := range ops {
		o.done <- o.do(ctx)
	}
	if len(ops) > 0 {
		s.nudge()
	}
}
