package budget

import (
	"context"
	"fmt"
	"sync"
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
	tree   *tree
	used   int64 // under tree.mu
}

// tree is shared by a Budget and all below it: a reservation counts on every level or on none, and nobody sees it half done.
type tree struct {
	mu    sync.Mutex
	freed chan struct{} // closed at the next Release; nil while nobody waits
}

// New returns a Budget of max bytes; key is the conf key that sets max.
func New(max int64, key string) *Budget { return &Budget{cap: max, key: key, tree: &tree{}} }

// Child returns a Budget of max bytes whose reservations count in b too.
func (b *Budget) Child(max int64, key string) *Budget {
	if b == nil {
		return New(max, key)
	}
	return &Budget{cap: max, key: key, parent: b, tree: b.tree}
}

// Reserve takes n bytes or returns an *OverError and takes nothing.
func (b *Budget) Reserve(n int64) error {
	if b == nil || n <= 0 {
		return nil
	}
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	return b.reserve(n)
}

func (b *Budget) reserve(n int64) error {
	for l := b; l != nil; l = l.parent {
		if l.used+n > l.cap {
			return &OverError{Key: l.key, Cap: l.cap, Used: l.used, Want: n}
		}
	}
	for l := b; l != nil; l = l.parent {
		l.used += n
	}
	return nil
}

// Try is Reserve; when it does not fit, freed is closed at the next release anywhere in the tree.
func (b *Budget) Try(n int64) (freed <-chan struct{}, err error) {
	if b == nil || n <= 0 {
		return nil, nil
	}
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	if err = b.reserve(n); err == nil {
		return nil, nil
	}
	if b.tree.freed == nil {
		b.tree.freed = make(chan struct{})
	}
	return b.tree.freed, err
}

// Wait takes n bytes, waiting for others to release theirs. It fails at once when n can never fit, and with the context's error and the
// last *OverError when ctx ends first.
func (b *Budget) Wait(ctx context.Context, n int64) error {
	for {
		freed, err := b.Try(n)
		if err == nil {
			return nil
		}
		if over, ok := err.(*OverError); ok && n > over.Cap {
			return err
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

// Release gives n reserved bytes back.
func (b *Budget) Release(n int64) {
	if b == nil || n <= 0 {
		return
	}
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	for l := b; l != nil; l = l.parent {
		if l.used -= n; l.used < 0 {
			panic("budget: released more than was reserved")
		}
	}
	if b.tree.freed != nil {
		close(b.tree.freed)
		b.tree.freed = nil
	}
}

// Left is the number of bytes that would fit now.
func (b *Budget) Left() int64 {
	if b == nil {
		return 1<<63 - 1
	}
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	left := int64(1<<63 - 1)
	for l := b; l != nil; l = l.parent {
		left = min(left, l.cap-l.used)
	}
	return max(0, left)
}

// Used is the number of bytes in flight.
func (b *Budget) Used() int64 {
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	return b.used
}

// Cap is the most bytes there may be in flight.
func (b *Budget) Cap() int64 { return b.cap }
