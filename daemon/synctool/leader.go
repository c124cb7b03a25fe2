package synctool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"omsync/daemon/coord"
)

// Ledger is all that a leader decides and reads: daemon/coord.Store, bound to one epoch.
type Ledger interface {
	Store
	// Load reads every task and subtask after a sync.
	Load(ctx context.Context) ([]coord.Task, error)
	// Create makes a task with all its subtasks, or nothing.
	Create(ctx context.Context, spec coord.TaskSpec, states map[uint32]coord.SubtaskState) error
	// SetSpec replaces a task's spec at a version and returns the new one.
	SetSpec(ctx context.Context, spec coord.TaskSpec, version int32) (int32, error)
	// Remove takes a task's nodes away; absent ones are fine.
	Remove(ctx context.Context, id string) error
	// Finish keeps a record of an ended task.
	Finish(ctx context.Context, id string, record coord.FinishedRecord) error
	Finished(ctx context.Context) ([]coord.FinishedRecord, error)
}

// errTermOver ends what was asked of a leader that leads no more.
var errTermOver = errors.New("this synctool does not lead any more")

// term is one leadership: from the epoch's bump until the lead is lost or the process stops. Everything that writes lives under its ctx.
type term struct {
	o     *Options
	epoch uint64
	store Ledger
	world World
	log   *slog.Logger

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	files     atomic.Uint64 // names made so far
	slots     chan struct{} // uploads at a time
	spool     *spoolUse
	clearer   *clearer
	mirror    *mirror
	callers   *callers
	changes   *changes
	refreshes chan struct{}

	creating sync.Mutex // one create at a time: destinations must not overlap
	mu       sync.Mutex
	tasks    map[string]*task
	links    map[*link]struct{}
	draining bool
	ready    bool
}

// maxUploads bounds uploads at a time.
const maxUploads = 8

func newTerm(ctx context.Context, o *Options, epoch uint64, store Ledger, world World, spool *spoolUse) *term {
	t := &term{
		o: o, epoch: epoch, store: store, world: world, log: o.Logger.With("epoch", epoch), spool: spool,
		slots:   make(chan struct{}, maxUploads),
		changes: newChanges(), refreshes: make(chan struct{}, 1),
		tasks: map[string]*task{}, links: map[*link]struct{}{},
	}
	// The end of the process is not the end of the term: open segments are committed first (stop).
	t.ctx, t.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	t.clearer = newClearer(store, t.failed)
	t.mirror = newMirror(o.ProgressPath, o.Advertise, t.log)
	t.callers = newCallers(o.DialCollector)
	return t
}

// failed ends the term: from here on nothing is written.
func (t *term) failed(err error) {
	if t.ctx.Err() == nil {
		t.log.Error("the leadership ends", "err", err)
	}
	t.cancel(fmt.Errorf("%w: %w", errTermOver, err))
}

// touch says that something shown has changed.
func (t *term) touch() { t.changes.touch() }

// load reads all tasks and starts their subtasks: each recovers first, on its own, so that one destination that is down holds up nobody
// else.
func (t *term) load(ctx context.Context) error {
	all, err := t.store.Load(ctx)
	if err != nil {
		return fmt.Errorf("load tasks: %w", err)
	}
	t.mu.Lock()
	var deleting []*task
	for _, c := range all {
		k := newTask(t, c)
		t.tasks[c.Spec.ID] = k
		if c.Spec.Deleting {
			k.going = true
			deleting = append(deleting, k)
			continue
		}
	}
	for _, k := range t.tasks {
		if !k.spec.Deleting {
			t.begin(k)
		}
	}
	t.ready = true
	t.mu.Unlock()
	for _, k := range deleting {
		t.wg.Go(func() { t.retryRemove(k) })
	}
	t.touch()
	return nil
}

// enter keeps the term from being over while an operation runs; the caller calls t.wg.Done. false when it is over already.
func (t *term) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining || !t.ready || t.ctx.Err() != nil {
		return false
	}
	t.wg.Add(1)
	return true
}

// begin starts a task's subtasks. The caller holds t.mu, which also keeps the term's end from coming between.
func (t *term) begin(k *task) {
	for _, s := range k.subs {
		ctx, cancel := context.WithCancel(t.ctx)
		s.stop = cancel
		t.wg.Go(func() { s.run(ctx); cancel() })
	}
}

// run leads until ctx ends, which asks for an orderly stop, or lost is closed, which ends everything at once.
func (t *term) run(ctx context.Context, lost <-chan struct{}) error {
	t.wg.Go(func() {
		select {
		case <-lost:
			t.failed(coord.ErrLost)
		case <-t.ctx.Done():
		}
	})
	t.wg.Go(func() { t.clearer.Run(t.ctx) })
	t.wg.Go(func() { t.mirror.Run(t.ctx) })
	t.wg.Go(func() { t.sweeper(t.ctx) })
	t.wg.Go(func() { t.follow(t.ctx) })
	t.wg.Go(func() { t.keeper(t.ctx) })
	err := t.load(t.ctx)
	if err == nil {
		select {
		case <-ctx.Done():
			t.drain()
		case <-t.ctx.Done():
			err = context.Cause(t.ctx)
		}
	}
	t.cancel(errTermOver)
	t.mu.Lock()
	t.draining = true
	for l := range t.links {
		l.end(errTermOver)
	}
	t.mu.Unlock()
	t.wg.Wait()
	err = errors.Join(err, t.callers.close())
	for _, k := range t.tasks {
		err = errors.Join(err, k.close())
	}
	if ctx.Err() != nil && errors.Is(err, errTermOver) {
		return nil
	}
	return err
}

// drain commits what is open, for at most StopGrace.
func (t *term) drain() {
	t.mu.Lock()
	t.draining = true
	var open []<-chan struct{}
	for _, k := range t.tasks {
		for _, s := range k.subs {
			if s.stop != nil {
				open = append(open, s.drain())
			}
		}
	}
	t.mu.Unlock()
	defer t.mirror.flush(t.ctx)
	grace := time.NewTimer(t.o.StopGrace)
	defer grace.Stop()
	for _, c := range open {
		select {
		case <-c:
		case <-grace.C:
			t.log.Warn("segments are left uncommitted: their rows are sent again after the restart", "waited", t.o.StopGrace)
			return
		case <-t.ctx.Done():
			return
		}
	}
	if err := t.clearer.flush(t.ctx); err != nil {
		t.log.Warn("clear pending segments", "err", err) // recovery settles them at the next start
	}
}

// follow wakes subtasks when the cluster changes, and reads the tables anew when somebody needs a newer schema.
func (t *term) follow(ctx context.Context) {
	for {
		changed := t.world.Changed()
		select {
		case <-ctx.Done():
			return
		case <-changed:
			t.each(func(s *subtask) {
				s.post(func(context.Context) { s.again = time.Time{} })
			})
			t.touch()
		case <-t.refreshes:
			if err := t.world.Refresh(ctx); err != nil && ctx.Err() == nil {
				t.log.Warn("read the tables anew", "err", err)
			}
			t.each((*subtask).nudge)
		}
	}
}

// refresh asks for newer schemas.
func (t *term) refresh() {
	select {
	case t.refreshes <- struct{}{}:
	default:
	}
}

func (t *term) each(f func(*subtask)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.tasks {
		for _, s := range k.subs {
			f(s)
		}
	}
}

// subtask finds one by its key.
func (t *term) subtask(id string, pid uint32) *subtask {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.tasks[id]; k != nil && !k.spec.Deleting {
		return k.subs[pid]
	}
	return nil
}

// find returns the task of a table, nil when there is none.
func (t *term) find(db, table string) *task {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.tasks {
		if k.spec.DB == db && k.spec.Table == table {
			return k
		}
	}
	return nil
}

// all returns the tasks, in no order.
func (t *term) all() []*task {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*task, 0, len(t.tasks))
	for _, k := range t.tasks {
		out = append(out, k)
	}
	return out
}

// Bounds of the row bytes one subtask may have under way.
const leastCredit = 1 << 20

// credit is a subtask's share of what all may have under way together.
func (t *term) credit() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := int64(1)
	for _, k := range t.tasks {
		n += int64(len(k.subs))
	}
	return uint64(max(min(t.o.SubtaskCredit, t.o.IngestBytes/n), min(leastCredit, t.o.SubtaskCredit)))
}

// Sweeps: soon after the takeover, then now and then.
const (
	firstSweep = 5 * time.Second
	nextSweep  = time.Hour
)

// sweeper removes what former leaders left, in the background.
func (t *term) sweeper(ctx context.Context) {
	timer := time.NewTimer(t.o.firstSweep)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for _, k := range t.all() {
			if files := k.ours(); files != nil && ctx.Err() == nil {
				n, err := sweep(ctx, files, t.o.Cluster, k.spec.ID, t.epoch, k.prove, k.states)
				if lostLead(err) {
					t.failed(err)
				} else if err != nil && ctx.Err() == nil {
					t.log.Warn("sweep", "table", k.name(), "err", err)
				} else if n > 0 {
					t.log.Info("swept", "table", k.name(), "removed", n)
				}
			}
		}
		timer.Reset(nextSweep)
	}
}
