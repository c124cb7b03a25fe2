package synctool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"omsync/daemon/coord"
)

// Store keeps decisions: daemon/coord.Store, or the model's in tests.
type Store interface {
	// Update sets one subtask's state at version, if this leader's epoch still stands. It answers definitely: the new version,
	// coord.ErrFenced or coord.ErrStale. Any other error leaves the decision open; the identical call may be made again.
	Update(ctx context.Context, id string, pid uint32, version int32, s coord.SubtaskState) (int32, error)
	// UpdateMany is Update of several subtasks in one decision.
	UpdateMany(ctx context.Context, changes []coord.Change) ([]int32, error)
}

// record is the durable state of one subtask. Changes are made one at a time; reading never waits for ZooKeeper.
type record struct {
	task  string
	pid   uint32
	store Store
	wall  func() time.Time
	pause func(ctx context.Context, attempt int) error // between the resends of an open decision

	mu      sync.Mutex // held over a decision
	version int32
	settled string // stage name of the last pending segment that is under its final name
	over    bool   // the task's nodes go: nothing is decided here any more

	state atomic.Pointer[coord.SubtaskState]
}

func newRecord(task string, pid uint32, v coord.Versioned, store Store, wall func() time.Time) *record {
	r := &record{task: task, pid: pid, store: store, wall: wall, pause: pauseDecision, version: v.Version}
	s := v.State
	r.state.Store(&s)
	return r
}

// get returns the state as last decided. What it points to must not be changed.
func (r *record) get() coord.SubtaskState { return *r.state.Load() }

// retire has nobody clear this record any more, and waits for one that does: the node is about to go, and a decision on a node that is gone looks
// like one of another leader.
func (r *record) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// change decides edit's result. An open decision (an error that is neither yes nor no) is resent unchanged until it is answered or ctx ends:
// only then may something else be decided. Errors: coord.ErrFenced, coord.ErrStale, edit's, ctx's.
func (r *record) change(ctx context.Context, edit func(*coord.SubtaskState) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.get()
	if err := edit(&next); err != nil {
		return err
	}
	next.UpdatedMs = r.wall().UnixMilli()
	for attempt := 0; ; attempt++ {
		v, err := r.store.Update(ctx, r.task, r.pid, r.version, next)
		if err == nil {
			r.version = v
			r.state.Store(&next)
			return nil
		}
		if lostLead(err) {
			return fmt.Errorf("decide on %s partition %d: %w", r.task, r.pid, err)
		}
		if werr := r.pause(ctx, attempt); werr != nil {
			return fmt.Errorf("decide on %s partition %d: %w (%w)", r.task, r.pid, err, werr)
		}
	}
}

// lostLead tells errors after which this process may not write anything more in its term: another leader decided, or the node is not what
// this leader left.
func lostLead(err error) bool {
	return errors.Is(err, coord.ErrFenced) || errors.Is(err, coord.ErrStale)
}

// pauseDecision waits 100 ms doubling to 2 s: an open decision blocks its subtask, so it is asked for soon.
func pauseDecision(ctx context.Context, attempt int) error {
	t := time.NewTimer(min(100*time.Millisecond<<min(attempt, 5), 2*time.Second))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
