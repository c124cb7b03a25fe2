package synctool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// subtask is one partition of a task in one term: a goroutine that owns the open segment and the attachment, and runs at most one job
// (recovery, commit, publication, assignment) at a time. Without rows it holds no buffers.
type subtask struct {
	term  *term
	task  *task
	pid   uint32
	rec   *record
	names namer

	mu     sync.Mutex
	calls  []func(context.Context) // to run on the goroutine
	queue  []*omsyncpb.CollectorMessage
	queued int64          // row bytes in queue
	asked  *attachRequest // the latest attach that is not answered
	plan   *planRequest   // the latest proposal that is not answered
	live   live           // what is not durable, for views
	wake   chan struct{}  // 1
	ended  chan struct{}  // closed when the goroutine is gone
	stop   context.CancelFunc

	// below: the goroutine's own
	com       *committer // nil until the destination is open
	att       *attachment
	open      *segment
	roll      bool // the open segment is to be closed and committed
	job       *job
	aside     *job   // storing a plan, beside any other job
	recovered bool   // nothing of a former leader is open
	resumed   bool   // what was FAILED when the term began is tried again
	assigned  bool   // the present token was handed to its collector
	took      string // the collector that took the subtask and has not come with it yet
	fruitless bool   // reassigned, and nothing is committed since
	heard     time.Time
	waited    time.Duration // without a collector, while ZooKeeper was connected
	tried     time.Time     // last attempt to assign
	again     time.Time     // next attempt to assign
	hold      time.Time     // no attach is answered before this: a write just failed
	schema    time.Time     // since when a batch waits for a schema version the catalog does not have
	refreshed time.Time     // when the catalog was last asked for it
	advanced  time.Time     // the committed point moved
	assigning backoff
	writing   backoff
	ops       []*operation
	tolerate  bool          // the operator accepts that committed files are missing
	leaving   chan struct{} // non-nil while draining; closed when nothing is open
}

// job is work on its own goroutine.
type job struct {
	kind    string
	cancel  context.CancelFunc // ends it while nothing is decided
	decided *atomic.Bool
	seg     *sealed // of a commit
}

func newSubtask(t *term, owner *task, pid uint32, v coord.Versioned) *subtask {
	return &subtask{
		term: t, task: owner, pid: pid,
		rec:   newRecord(owner.spec.ID, pid, v, t.store, t.o.Wall),
		names: namer{cluster: t.o.Cluster, task: owner.spec.ID, pid: pid, epoch: t.epoch, n: &t.files},
		wake:  make(chan struct{}, 1), ended: make(chan struct{}),
		assigning: backoff{most: 5 * time.Second, first: t.o.firstPause}, writing: backoff{first: t.o.firstPause},
	}
}

func (s *subtask) key() *omsyncpb.SubtaskKey {
	return &omsyncpb.SubtaskKey{TaskId: s.task.spec.ID, Tid: s.task.spec.TID, Pid: s.pid}
}

func (s *subtask) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// post has f run on the subtask's goroutine.
func (s *subtask) post(f func(context.Context)) {
	s.mu.Lock()
	s.calls = append(s.calls, f)
	s.mu.Unlock()
	s.nudge()
}

// run is the goroutine. It ends with ctx, and only after its job has.
func (s *subtask) run(ctx context.Context) {
	defer close(s.ended)
	s.heard, s.advanced = time.Now(), time.Now()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		s.step(ctx)
		timer.Reset(s.due(time.Now()))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
	}
	s.quit(ctx)
}

// perform runs what was posted.
func (s *subtask) perform(ctx context.Context) {
	s.mu.Lock()
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	for _, f := range calls {
		f(ctx)
	}
}

// step does all there is to do now.
func (s *subtask) step(ctx context.Context) {
	s.perform(ctx)
	if ctx.Err() != nil {
		return
	}
	s.watchClock(ctx)
	s.work(ctx)
	s.answerAttach(ctx)
	s.answerPlan(ctx)
	s.consume(ctx)
	s.work(ctx)
	s.show()
}

// work starts the next job if none runs.
func (s *subtask) work(ctx context.Context) {
	if s.job != nil {
		return
	}
	st := s.rec.get()
	switch {
	case len(s.ops) > 0:
		s.operate(ctx)
	case s.leaving != nil && s.open == nil && s.aside == nil:
		s.left()
	case !s.recovered:
		if st.Status != coord.Failed || !s.resumed { // what failed in this term waits for an operator
			s.startRecover(ctx)
		}
	case !s.resumed:
		s.resume(ctx)
	case s.roll && s.open != nil:
		s.startCommit(ctx)
	case s.leaving != nil: // the commit goes on
	case st.Status == coord.Failed || st.Status == coord.Success || st.Status == coord.Paused:
	case st.SnapshotDone && st.Plan != nil && !st.PublishDone:
		s.startPublish(ctx)
	case s.att == nil && !s.assigned && !time.Now().Before(s.again):
		s.startAssign(ctx)
	}
}

// resume is the first thing after recovery: what was FAILED when this leader came is tried again, what was RUNNING goes on if its collector
// lives (docs/design.md §3).
func (s *subtask) resume(ctx context.Context) {
	s.resumed = true
	st := s.rec.get()
	switch st.Status {
	case coord.Success:
		s.task.ended(s)
	case coord.Running:
		if s.term.world.Alive(st.Collector) {
			s.assigned = true
			s.heard = time.Now()
			break
		}
		s.reassign(ctx, "its collector "+st.Collector+" is gone")
	case coord.Failed:
		s.change(ctx, func(st *coord.SubtaskState) {
			st.Status, st.Code, st.Reason, st.Hint = coord.Reassigning, "", "", ""
		})
	}
	s.nudge()
}

// change decides, and ends the term if it may not.
func (s *subtask) change(ctx context.Context, edit func(*coord.SubtaskState)) bool {
	err := s.rec.change(ctx, func(st *coord.SubtaskState) error {
		edit(st)
		return nil
	})
	if err != nil {
		s.term.failed(err)
		return false
	}
	s.term.touch()
	return true
}

// fail makes the subtask FAILED until an operator acts. Rows that are encoded already are still committed: their log may be gone.
func (s *subtask) fail(ctx context.Context, f *omsyncpb.Fault) {
	s.term.log.Error("subtask failed", "table", s.task.name(), "partition", s.pid, "code", f.GetCode(), "reason", f.GetReason(), "hint", f.GetHint())
	s.detach("failed: "+f.GetReason(), false)
	s.roll = s.open != nil
	s.assigned = false
	s.change(ctx, func(st *coord.SubtaskState) {
		if st.Status != coord.Success {
			st.Status, st.Code, st.Reason, st.Hint = coord.Failed, f.GetCode(), f.GetReason(), f.GetHint()
		}
	})
	s.nudge()
}

// reassign looks for a collector anew.
func (s *subtask) reassign(ctx context.Context, why string) {
	s.term.log.Warn("subtask is reassigned", "table", s.task.name(), "partition", s.pid, "reason", why)
	s.detach(why, false)
	s.roll = s.open != nil
	s.assigned, s.again = false, time.Time{}
	if s.fruitless { // at once only the first time: a collector that gives it up each time is not to be hammered
		s.again = time.Now().Add(s.assigning.next())
	}
	s.fruitless = true
	s.setStalled(&omsyncpb.Fault{Code: codeNoCollector, Reason: why})
	st := s.rec.get()
	if st.Status == coord.Running {
		s.tried = time.Now() // one that was assigned and never came counts as waiting
	}
	if st.Status != coord.Reassigning {
		s.change(ctx, func(st *coord.SubtaskState) { st.Status = coord.Reassigning })
	}
	s.nudge()
}

// detach ends the present attachment; the collector may come back with a new one.
func (s *subtask) detach(why string, gone bool) {
	s.mu.Lock()
	s.queue, s.queued, s.plan, s.live.link = nil, 0, nil, nil
	s.mu.Unlock()
	s.schema = time.Time{}
	if s.att == nil {
		return
	}
	s.att.link.refuse(s.key(), s.att.id, gone, why)
	s.att.link.forget(s)
	s.att = nil
}

// drop throws away what is spooled and not being committed.
func (s *subtask) drop(ctx context.Context) {
	if s.open != nil {
		s.open.drop(ctx, s.com)
		s.open = nil
	}
	s.roll = false
}

// quit is the end of the goroutine: the job is over first, so that no writer outlives the term.
func (s *subtask) quit(ctx context.Context) {
	for s.perform(ctx); s.job != nil || s.aside != nil; s.perform(ctx) {
		for _, j := range []*job{s.job, s.aside} {
			if j != nil {
				j.cancel()
			}
		}
		<-s.wake
	}
	if s.att != nil {
		s.att.link.forget(s)
		s.att = nil
	}
	for _, o := range s.ops {
		o.done <- context.Cause(ctx)
	}
	s.ops = nil
	s.drop(ctx)
	s.left()
}

// drain commits what is open, then closes the channel it returns (docs/design.md §3: SIGTERM).
func (s *subtask) drain() <-chan struct{} {
	done := make(chan struct{})
	s.post(func(context.Context) {
		s.detach("the synctool stops", false)
		s.roll = s.open != nil
		s.leaving = done
		if s.job != nil && (s.job.kind == jobRecover || s.job.kind == jobAssign) {
			s.job.cancel()
		}
		if s.aside != nil {
			s.aside.cancel()
		}
	})
	return done
}

func (s *subtask) left() {
	if s.leaving != nil {
		select {
		case <-s.leaving:
		default:
			close(s.leaving)
		}
	}
}
