package port

import (
	"context"
	"errors"
	"sync"

	"omsync/rpc/budget"
)

// gate sees the connections that hold part of a message and wait for room for the rest. When all room is held by such as wait, nobody
// would ever go on: the one with least at stake is closed, and sends again.
type gate struct {
	room *budget.Budget

	mu      sync.Mutex
	waiting map[*guard]waiter
}

type waiter struct {
	held int64 // bytes reserved while it waits
	end  context.CancelCauseFunc
}

var errCrowded = errors.New("closed to make room for the rest of other connections' messages")

func newGate(room *budget.Budget) *gate { return &gate{room: room, waiting: map[*guard]waiter{}} }

// wait reserves n bytes of g's budget for a connection that holds some already.
func (t *gate) wait(ctx context.Context, g *guard, held, n int64) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	t.enter(g, waiter{held, end})
	defer t.leave(g)
	return g.inbound.Wait(ctx, n)
}

func (t *gate) enter(g *guard, w waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting[g] = w
	var sum int64
	least := w
	for _, one := range t.waiting {
		sum += one.held
		if one.held < least.held {
			least = one
		}
	}
	if len(t.waiting) > 1 && sum >= t.room.Used() {
		least.end(errCrowded)
	}
}

func (t *gate) leave(g *guard) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, g)
}
