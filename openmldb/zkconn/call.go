package zkconn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// call does one operation of the library on a link, without waiting longer than ctx. The error is what a server answered, or ErrUnanswered.
func call[T any](ctx context.Context, l *link, f func(*zk.Conn) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if !l.enter() {
		return none, fmt.Errorf("%w: the session is over", ErrNotConnected)
	}
	answer := make(chan result, 1)
	go func() { // ends when the library is closed at the latest; l.end waits for it
		defer l.calls.Done()
		v, err := f(l.zk)
		answer <- result{v, err}
	}()
	select {
	case r := <-answer:
		if r.err == nil || answered(r.err) {
			return r.value, r.err
		}
		return none, fmt.Errorf("%w: %w", ErrUnanswered, r.err)
	case <-l.gone:
		return none, fmt.Errorf("%w: the session is over", ErrUnanswered)
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", ErrUnanswered, context.Cause(ctx))
	}
}

// bound gives an operation its deadline.
func (c *Conn) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.o.OpTimeout, fmt.Errorf("after %s: %w", c.o.OpTimeout, context.DeadlineExceeded))
}

// write sends a write once. Only a request that certainly was not sent is tried again.
func write[T any](ctx context.Context, c *Conn, op, path string, f func(*zk.Conn) (T, error)) (T, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	for {
		var v T
		l, err := c.ready(ctx)
		if err == nil {
			v, err = call(ctx, l, f)
			if errors.Is(err, ErrNotConnected) && ctx.Err() == nil {
				continue
			}
		}
		return v, c.explain(op, path, err)
	}
}

// read asks until it is answered or the deadline passes. f is given the link for the watches it sets.
func read[T any](ctx context.Context, c *Conn, op, path string, f func(ctx context.Context, l *link) (T, error)) (T, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	for {
		var v T
		l, err := c.ready(ctx)
		if err == nil {
			if v, err = f(ctx, l); (errors.Is(err, ErrUnanswered) || errors.Is(err, ErrNotConnected)) && ctx.Err() == nil {
				pause(ctx, 5*time.Millisecond) // the link learns of the break a moment later
				continue
			}
		}
		return v, c.explain(op, path, err)
	}
}

// explain makes the error for people.
func (c *Conn) explain(op, path string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Path: path, Failed: -1, Err: err}
	switch {
	case errors.Is(err, ErrNoAuth):
		e.remedy = "the node belongs to another ZooKeeper user: check zk_cert (synctool: zookeeper.cert)"
		if c.o.AuthCert == "" {
			e.remedy = "the node is protected: set zk_cert (synctool: zookeeper.cert) to its user:password"
		}
	case errors.Is(err, ErrNotConnected), errors.Is(err, ErrUnanswered):
		e.remedy = c.reach()
	}
	return e
}
