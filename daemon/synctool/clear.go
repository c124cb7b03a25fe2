package synctool

import (
	"context"
	"sync"
	"time"

	"omsync/daemon/coord"
	"omsync/failpoint"
)

// clearer empties pending of segments that are under their final names, many subtasks in one decision (docs/design.md §5.3 step 5). A
// subtask that decides meanwhile replaces its pending itself, so it is never waited for.
type clearer struct {
	store  Store
	gather time.Duration // how long company is waited for
	failed func(error)

	mu      sync.Mutex
	waiting map[*record]struct{}
	wake    chan struct{}
}

// clearBatch bounds one multi: nodes have up to about 1 KiB, ZooKeeper takes 1 MiB.
const clearBatch = 64

func newClearer(store Store, failed func(error)) *clearer {
	return &clearer{store: store, gather: 100 * time.Millisecond, failed: failed, waiting: map[*record]struct{}{}, wake: make(chan struct{}, 1)}
}

func (c *clearer) add(r *record) {
	c.mu.Lock()
	c.waiting[r] = struct{}{}
	c.mu.Unlock()
	c.nudge()
}

func (c *clearer) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run clears until ctx ends.
func (c *clearer) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		t := time.NewTimer(c.gather)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		if err := c.flush(ctx); err != nil {
			if ctx.Err() == nil {
				c.failed(err)
			}
			return nil
		}
	}
}

// flush clears what waits now, but for records that are busy deciding: those are looked at again in a while. An open decision is resent
// unchanged, like any other.
func (c *clearer) flush(ctx context.Context) error {
	for ctx.Err() == nil {
		records, busy := c.take()
		if len(records) == 0 {
			if busy {
				c.nudge()
			}
			return nil
		}
		if err := c.decide(ctx, records); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// take locks up to clearBatch records that have something to clear. One that is busy deciding is not waited for: a commit replaces its pending
// anyway. It is left in the list, because other decisions do not, and a pending that stayed would have the next leader look for a file that its
// readers may have taken away long ago.
func (c *clearer) take() (out []*record, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.waiting {
		if len(out) == clearBatch {
			break
		}
		if !r.mu.TryLock() {
			busy = true
			continue
		}
		delete(c.waiting, r)
		if st := r.get(); r.over || st.Pending == nil || st.Pending.Stage != r.settled {
			r.mu.Unlock()
			continue
		}
		out = append(out, r)
	}
	return out, busy
}

func (c *clearer) decide(ctx context.Context, records []*record) error {
	defer func() {
		for _, r := range records {
			r.mu.Unlock()
		}
	}()
	changes := make([]coord.Change, len(records))
	for i, r := range records {
		st := r.get()
		st.Pending = nil
		changes[i] = coord.Change{ID: r.task, PID: r.pid, Version: r.version, State: st}
	}
	for attempt := 0; ; attempt++ {
		err := failpoint.Hit("synctool/clear")
		var versions []int32
		if err == nil {
			versions, err = c.store.UpdateMany(ctx, changes)
		}
		if err == nil {
			for i, r := range records {
				r.version = versions[i]
				st := changes[i].State
				r.state.Store(&st)
			}
			return nil
		}
		if lostLead(err) {
			return err
		}
		if werr := records[0].pause(ctx, attempt); werr != nil {
			return werr
		}
	}
}
