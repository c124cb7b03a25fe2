package synctool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"omsync/daemon/coord"
	"omsync/failpoint"
	"omsync/rpc/omsyncpb"
)

// Kinds of jobs.
const (
	jobRecover = "recover"
	jobAssign  = "assign"
	jobAttach  = "attach"
	jobPlan    = "plan"
	jobCommit  = "commit"
	jobPublish = "publish"
)

// errDropped ends a commit whose rows will be asked for again.
var errDropped = errors.New("dropped for a new attach")

// start runs work on its own goroutine and done, with its error, back on the subtask's.
func (s *subtask) start(ctx context.Context, kind string, seg *sealed, work func(soft, hard context.Context, decided func()) error, done func(context.Context, error)) {
	s.startIn(ctx, &s.job, &job{kind: kind, seg: seg}, work, done)
}

// startAside is start for what need not wait for a commit, nor a commit for it.
func (s *subtask) startAside(ctx context.Context, work func(ctx context.Context) error, done func(context.Context, error)) {
	s.startIn(ctx, &s.aside, &job{kind: jobPlan}, func(soft, _ context.Context, _ func()) error { return work(soft) }, done)
}

func (s *subtask) startIn(ctx context.Context, slot **job, j *job, work func(soft, hard context.Context, decided func()) error, done func(context.Context, error)) {
	soft, cancel := context.WithCancelCause(ctx)
	j.cancel, j.decided = func() { cancel(errDropped) }, &atomic.Bool{}
	*slot = j
	s.term.wg.Go(func() {
		err := work(soft, ctx, func() { j.decided.Store(true); s.nudge() })
		s.post(func(ctx context.Context) {
			cancel(nil)
			*slot = nil
			done(ctx, err)
			s.nudge()
		})
	})
}

// stall shows a trouble that may pass, then waits.
func (s *subtask) stall(ctx context.Context, t *trouble) error {
	s.showStall(t)
	return s.writing.wait(ctx)
}

func (s *subtask) showStall(t *trouble) {
	s.setStalled(t.fault)
	s.term.log.Warn("subtask stalls", "table", s.task.name(), "partition", s.pid, "code", t.fault.GetCode(), "reason", t.fault.GetReason())
}

// startRecover opens the destination, checks that it is ours and finishes what is open from before.
func (s *subtask) startRecover(ctx context.Context) {
	var com *committer
	tolerate := s.tolerate
	s.start(ctx, jobRecover, nil, func(soft, hard context.Context, _ func()) error {
		c := &committer{rec: s.rec, names: s.names, where: s.task.spec.Dest, slots: s.term.slots, stall: s.stall, clear: s.term.clearer.add, tolerate: tolerate}
		err := c.retrying(soft, "open", func() error {
			files, err := s.task.prepare(soft)
			c.files = files
			return err
		})
		if err != nil {
			return err
		}
		c.names.suffix = s.task.suffix
		com = c
		return c.recover(soft)
	}, func(ctx context.Context, err error) {
		if com != nil {
			s.com = com
		}
		if err == nil {
			s.recovered, s.tolerate = true, false
			com.tolerate = false
			s.writing.reset()
			s.setStalled(nil)
			return
		}
		s.after(ctx, err, func(f *omsyncpb.Fault) {
			s.resumed = true
			s.fail(ctx, f)
		})
	})
}

// after sorts a job's error: the end of the term, a wish that interrupted it, or a failure.
func (s *subtask) after(ctx context.Context, err error, failed func(*omsyncpb.Fault)) {
	if ctx.Err() != nil || errors.Is(err, errDropped) {
		return
	}
	t := classify(s.task.name(), err)
	if t.class == fatal {
		s.term.failed(err)
		return
	}
	failed(t.fault)
}

// startCommit closes the open segment and makes it count.
func (s *subtask) startCommit(ctx context.Context) {
	seg := s.open
	s.open, s.roll = nil, false
	if seg.to.Phase == "" { // nothing was added: there is no point to move to
		seg.drop(ctx, s.com)
		return
	}
	closed, err := seg.seal()
	if err != nil {
		seg.drop(ctx, s.com)
		s.writeFailed(ctx, err)
		return
	}
	s.start(ctx, jobCommit, closed, func(soft, hard context.Context, decided func()) error {
		err := s.com.commit(soft, hard, closed, decided)
		if err == nil {
			s.writing.reset()
		}
		return err
	}, func(ctx context.Context, err error) { s.committed(ctx, closed, err) })
}

// committed is step 5: acknowledge, drop the spool, mirror.
func (s *subtask) committed(ctx context.Context, seg *sealed, err error) {
	seg.unspool()
	if err == nil {
		err = failpoint.Hit("synctool/ack")
	}
	var gone *lostStage
	switch {
	case err == nil:
		s.progressed()
		s.acknowledge()
		s.term.mirror.add(s)
		s.term.touch()
		st := s.rec.get()
		if st.Status == coord.Success {
			s.detach("the subtask is done", true)
			s.task.ended(s)
		}
	case errors.Is(err, failpoint.ErrInjected) || errors.As(err, &gone):
		s.drop(ctx)
		s.writeFailed(ctx, err)
	default:
		s.drop(ctx) // what follows the lost segment is lost with it
		if errors.Is(err, errDropped) {
			return
		}
		s.after(ctx, err, func(f *omsyncpb.Fault) {
			s.recovered = false // a decided segment may wait for its rename
			s.resumed = true
			s.fail(ctx, f)
		})
	}
}

// progressed notes that the committed point or the publication has moved.
func (s *subtask) progressed() {
	s.advanced, s.fruitless = time.Now(), false
	s.assigning.reset()
	s.setStalled(nil)
}

// writeFailed shows a failed segment file, and lets the collector come again after a pause: its rows must be sent anew.
func (s *subtask) writeFailed(ctx context.Context, err error) {
	t := classify("write "+s.task.spec.Dest, err)
	switch t.class {
	case operator:
		s.fail(ctx, t.fault)
	case fatal:
		if ctx.Err() == nil {
			s.term.failed(err)
		}
	default:
		s.setStalled(t.fault)
		s.hold = time.Now().Add(s.writing.next())
		s.detach(t.fault.GetReason(), false)
	}
}

// acknowledge tells the collector where the subtask stands.
func (s *subtask) acknowledge() {
	if s.att == nil {
		return
	}
	st := s.rec.get()
	if isKeyRef(st.Point.Key) {
		st.Point.Key = nil // nobody prunes by a snapshot's key
	}
	s.att.link.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Committed{Committed: &omsyncpb.Committed{
		Key: s.key(), AttachId: s.att.id, Point: pointTo(st.Point), Published: st.PublishDone,
	}}})
}

func (s *subtask) startPublish(ctx context.Context) {
	s.start(ctx, jobPublish, nil, func(soft, hard context.Context, _ func()) error {
		if err := s.com.publish(hard); err != nil {
			return err
		}
		st := s.rec.get()
		// The directory is empty now; if it can not be removed, the sweep will.
		_ = s.com.files.RemoveAll(hard, generationDir(st.Generation))
		return nil
	}, func(ctx context.Context, err error) {
		if err == nil {
			s.progressed()
			s.acknowledge()
			s.term.mirror.add(s)
			s.term.touch()
			return
		}
		s.after(ctx, err, func(f *omsyncpb.Fault) {
			s.recovered, s.resumed = false, true
			s.fail(ctx, f)
		})
	})
}
