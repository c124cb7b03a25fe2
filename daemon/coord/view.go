package coord

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"omsync/openmldb/zkconn"
)

// view is the last known value of something in ZooKeeper.
type view[T any] struct{ at *viewState[T] }

type viewState[T any] struct {
	mu      sync.Mutex
	value   T
	known   bool
	changed chan struct{}
}

func newView[T any]() view[T] { return view[T]{&viewState[T]{changed: make(chan struct{})}} }

// Snapshot is the value as last read. It must not be changed. Without a connection it stays what it was.
func (v view[T]) Snapshot() T {
	v.at.mu.Lock()
	defer v.at.mu.Unlock()
	return v.at.value
}

// Known tells that a first value was read.
func (v view[T]) Known() bool {
	v.at.mu.Lock()
	defer v.at.mu.Unlock()
	return v.at.known
}

// Changed is closed when the value is next read anew. Take it before Snapshot.
func (v view[T]) Changed() <-chan struct{} {
	v.at.mu.Lock()
	defer v.at.mu.Unlock()
	return v.at.changed
}

func (v view[T]) publish(value T) {
	v.at.mu.Lock()
	defer v.at.mu.Unlock()
	v.at.value, v.at.known = value, true
	close(v.at.changed)
	v.at.changed = make(chan struct{})
}

// follow reads, publishes and waits for a change, until ctx ends.
func (v view[T]) follow(ctx context.Context, log *slog.Logger, what string, read func(context.Context) (T, []<-chan struct{}, error)) error {
	told := false
	for ctx.Err() == nil {
		value, changes, err := read(ctx)
		switch {
		case errors.Is(err, zkconn.ErrClosed):
			return nil
		case err != nil && ctx.Err() == nil:
			if !told {
				log.Warn("can not read "+what, "err", err)
				told = true
			}
			pause(ctx, 200*time.Millisecond)
			continue
		case err != nil:
			return nil
		}
		told = false
		v.publish(value)
		wait(ctx, changes)
	}
	return nil
}

// wait returns when ctx ends or one of the changes has come; there are two at most.
func wait(ctx context.Context, changes []<-chan struct{}) {
	var second <-chan struct{}
	if len(changes) > 1 {
		second = changes[1]
	}
	select {
	case <-ctx.Done():
	case <-changes[0]:
	case <-second:
	}
}
