package zkconn

import (
	"context"

	"github.com/go-zookeeper/zk"
)

type watchKind int

const (
	watchData watchKind = iota
	watchExist
	watchChild
)

type watchKey struct {
	kind watchKind
	path string
}

// watched is an answer with the channel the library tells its change on.
type watched[T any] struct {
	value  T
	change <-chan zk.Event
}

// watch reads with a watch. One that is set already and has not fired is shared: whatever happens after this read fires it too, and the library
// would keep every further one.
func watch[T any](ctx context.Context, l *link, k watchKey, plain func(*zk.Conn) (T, error), armed func(*zk.Conn) (watched[T], error)) (T, <-chan struct{}, error) {
	l.mu.Lock()
	fired, trust := l.armed[k], l.trust
	l.mu.Unlock()
	if fired != nil {
		v, err := call(ctx, l, plain)
		return v, fired, err
	}
	w, err := call(ctx, l, armed)
	if err != nil {
		return w.value, nil, err
	}
	fired = make(chan struct{})
	l.mu.Lock()
	over := l.over
	if !over && l.trust == trust {
		l.armed[k] = fired
	}
	if !over {
		l.calls.Add(1)
	}
	l.mu.Unlock()
	if over {
		close(fired)
		return w.value, fired, nil
	}
	go func() { // ends at the change, at a reconnect, or with the link
		defer l.calls.Done()
		select {
		case <-w.change:
		case <-trust:
		}
		l.mu.Lock()
		if l.armed[k] == fired {
			delete(l.armed, k)
		}
		l.mu.Unlock()
		close(fired)
	}()
	return w.value, fired, nil
}
