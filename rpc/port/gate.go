package port

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"omsync/rpc/budget"
)

// gate sees all that holds part of the room for messages and waits for more of it: connections on which a message comes in, and messages
// that are complete but for the allowance. When all room is held by such as wait, nobody would ever go on: those with least at stake are
// called off, and the peer sends again. One that holds nothing is never called off: that would free nothing.
type gate struct {
	room *budget.Budget

	mu      sync.Mutex
	waiting map[*waiter]bool
}

type waiter struct {
	held int64 // bytes reserved while it waits
	want int64 // bytes that it waits for
	end  context.CancelCauseFunc
	over bool // called off; what it holds is about to be free
}

var errCrowded = errors.New("closed to make room for the rest of other connections' messages")

func newGate(room *budget.Budget) *gate { return &gate{room: room, waiting: map[*waiter]bool{}} }

// wait reserves n bytes of b, which lies below the room, for one that holds some already.
func (t *gate) wait(ctx context.Context, b *budget.Budget, held, n int64) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	w := &waiter{held: held, want: n, end: end}
	t.mu.Lock()
	t.waiting[w] = true
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.waiting, w)
	}()
	for {
		freed, err := b.Try(n)
		if err == nil {
			return nil
		}
		if over, ok := err.(*budget.OverError); ok && n > over.Cap {
			return err
		}
		t.review() // after every release that did not help: nobody else may come to look
		select {
		case <-freed:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

// review calls off as many of those that wait as it takes for the one with most at stake to go on, when only their end can free anything.
func (t *gate) review() {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum, free int64
	var rest []*waiter
	for w := range t.waiting {
		sum += w.held
		if w.over {
			free += w.held
		} else {
			rest = append(rest, w)
		}
	}
	if len(rest) < 2 || sum < t.room.Used() {
		return
	}
	slices.SortFunc(rest, func(a, b *waiter) int { return int(a.held - b.held) })
	most := rest[len(rest)-1]
	free += t.room.Left()
	for _, w := range rest[:len(rest)-1] {
		if free >= most.want {
			return
		}
		if w.held > 0 {
			w.over = true
			free += w.held
			w.end(errCrowded)
		}
	}
}
