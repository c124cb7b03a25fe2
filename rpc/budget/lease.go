package budget

import (
	"context"
	"sync"
)

// Lease is what one call holds of a Budget. It is given back when everyone who retained it has released it: the transport when the
// answer is out, and a handler that is still running after its deadline when it ends. A nil Lease holds nothing.
type Lease struct {
	b    *Budget
	mu   sync.Mutex
	held int64
	refs int
}

// Lease returns an empty Lease with one reference.
func (b *Budget) Lease() *Lease { return &Lease{b: b, refs: 1} }

// Add reserves n bytes more, or returns an *OverError and changes nothing.
func (l *Lease) Add(n int64) error {
	if l == nil {
		return nil
	}
	if err := l.b.Reserve(n); err != nil {
		return err
	}
	l.took(n)
	return nil
}

// Wait is Add that waits for room, see Budget.Wait.
func (l *Lease) Wait(ctx context.Context, n int64) error {
	if l == nil || l.b == nil {
		return nil
	}
	if err := l.b.Wait(ctx, n); err != nil {
		return err
	}
	l.took(n)
	return nil
}

// Adopt takes over n bytes that someone else reserved from the same Budget and will not release.
func (l *Lease) Adopt(n int64) {
	if l != nil && n > 0 {
		l.took(n)
	}
}

func (l *Lease) took(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refs == 0 { // the call is over already
		l.b.Release(n)
		return
	}
	l.held += n
}

// Held is the number of bytes held.
func (l *Lease) Held() int64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// Drop gives back all that is held and keeps the Lease usable: a stream does so between two messages.
func (l *Lease) Drop() {
	if l == nil {
		return
	}
	l.mu.Lock()
	n := l.held
	l.held = 0
	l.mu.Unlock()
	l.b.Release(n)
}

// Retain adds a reference.
func (l *Lease) Retain() *Lease {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refs > 0 {
		l.refs++
	}
	return l
}

// Release takes a reference away; with the last one the bytes go back.
func (l *Lease) Release() {
	if l == nil {
		return
	}
	l.mu.Lock()
	if l.refs > 0 {
		l.refs--
	}
	last := l.refs == 0
	l.mu.Unlock()
	if last {
		l.Drop()
	}
}

type leaseKey struct{}

// With returns a context that carries l.
func With(ctx context.Context, l *Lease) context.Context {
	return context.WithValue(ctx, leaseKey{}, l)
}

// From returns the Lease of ctx, nil when there is none.
func From(ctx context.Context) *Lease {
	l, _ := ctx.Value(leaseKey{}).(*Lease)
	return l
}
