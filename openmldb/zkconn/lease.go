package zkconn

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Lease is the time in which a session is known to live by this machine's clock. It ends 2/3 of the session time-out after the sending of the
// newest request that was answered, or when the session is gone. It does not come back: ask for the next one.
type Lease struct {
	session int64
	once    sync.Once
	lost    chan struct{}
}

func newLease(session int64) *Lease { return &Lease{session: session, lost: make(chan struct{})} }

// Session is the id of the session, owner of its ephemeral nodes.
func (l *Lease) Session() int64 { return l.session }

// Lost is closed when the lease has ended.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Valid tells that the lease has not ended.
func (l *Lease) Valid() bool {
	select {
	case <-l.lost:
		return false
	default:
		return true
	}
}

func (l *Lease) end() { l.once.Do(func() { close(l.lost) }) }

// leaseTime is how long a lease lasts from the last confirmation.
func leaseTime(session time.Duration) time.Duration { return session * 2 / 3 }

// Lease waits until operations are answered and returns the present lease.
func (c *Conn) Lease(ctx context.Context) (*Lease, error) {
	for {
		c.mu.Lock()
		l, changed := c.link, c.changed
		c.mu.Unlock()
		if l != nil {
			l.mu.Lock()
			lease := l.lease
			l.mu.Unlock()
			if lease != nil {
				return lease, nil
			}
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, &Error{Op: "wait for", Path: "a session", Failed: -1, Err: fmt.Errorf("%w (%w)", ErrNotConnected, context.Cause(ctx)), remedy: c.reach()}
		}
	}
}
