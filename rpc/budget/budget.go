package budget

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// OverError says that a reservation did not fit. Its text names the conf key to change.
type OverError struct {
	Key  string // conf key of the cap that was reached
	Cap  int64  // bytes
	Used int64  // bytes in flight at that moment
	Want int64  // bytes asked for
}

func (e *OverError) Error() string {
	return fmt.Sprintf("over the cap on bytes in flight: %d in use, %d more wanted, %d allowed: try again, or raise %s", e.Used, e.Want, e.Cap, e.Key)
}

// Budget is safe for concurrent use. The zero value is not usable, a nil Budget allows everything.
type Budget struct {
	cap    int64
	key    string
	parent *Budget
	used   atomic.Int64

	mu    sync.Mutex
	freed chan struct{} // closed at the next Release; nil while nobody waits
}

// New returns a Budget of max bytes; key is the conf key that sets max.
func New(max int64, key string) *Budget { return &Budget{cap: max, key: key} }

// Child returns a Budget of max bytes whose reservations count in b too.
func (b *Budget) Child(max int64, key string) *Budget {
	return &Budget{cap: max, key: key, parent: b}
}

// Reserve takes n bytes or returns an *OverError and takes nothing.
func (b *Budget) Reserve(n int64) error {
	if b == nil || n <= 0 {
		return nil
	}
	for {
		used := b.used.Load()
		if used+n > b.cap {
			return &OverError{Key: b.key, Cap: b.cap, Used: used, Want: n}
		}
		if b.used.CompareAndSwap(used, used+n) {
			break
		}
	}
	if err := b.parent.Reserve(n); err != nil {
		b.give(n)
		return err
	}
	return nil
}

// Wait takes n bytes, waiting for others to release theirs. It fails at once when n can never fit, and with the context's error or the
// last *OverError wrapped beside it when ctx ends first.
func (b *Budget) Wait(ctx context.Context, n int64) error {
	for {
		full := b.watch()
		err := b.Reserve(n)
		if err == nil {
			return nil
		}
		if over, ok := err.(*OverError); ok && n > over.Cap {
			return err
		}
		select {
		case <-full.own:
		case <-full.parent:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

type watched struct{ own, parent <-chan struct{} }

// watch returns channels that close at the next release in b or in its parent. It is taken before the try, so none is missed.
func (b *Budget) watch() watched {
	w := watched{own: b.wake()}
	if b.parent != nil {
		w.parent = b.parent.wake()
	}
	return w
}

func (b *Budget) wake() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

// Release gives n reserved bytes back.
func (b *Budget) Release(n int64) {
	if b == nil || n <= 0 {
		return
	}
	b.give(n)
	b.parent.Release(n)
}

func (b *Budget) give(n int64) {
	if b.used.Add(-n) < 0 {
		panic("budget: released more than was reserved")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// Left is the number of bytes that would fit now.
func (b *Budget) Left() int64 {
	if b == nil {
		return 1<<63 - 1
	}
	return max(0, min(b.cap-b.used.Load(), b.parent.Left()))
}

// Used is the number of bytes in flight, Cap the most there may be.
func (b *Budget) Used() int64 { return b.used.Load() }
func (b *Budget) Cap() int64  { return b.cap }
