package baidustd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/baidustd/metapb"
	"omsync/rpc/budget"
)

// silence is how long a call must have waited on a connection that said nothing at all, until its time-out also ends the connection:
// a peer that lost power does not close it.
const silence = time.Second

// lastWords is how long the frame of a call that has given up may take to go out.
const lastWords = time.Second

// link is one TCP connection of a Client.
type link struct {
	conn   *pacedConn
	target string
	opts   ClientOptions
	budget *budget.Budget
	turn   chan struct{} // held while writing; a channel so that a caller can give up waiting
	ended  chan struct{} // closed when the reader is gone

	mu      sync.Mutex
	seq     int64 // correlation ids begin at 1
	pending map[int64]chan result
	heard   time.Time // when the last frame came
	err     error
}

type result struct {
	f     frame
	lease *budget.Lease
	err   error
}

func newLink(conn net.Conn, target string, o ClientOptions) *link {
	b := o.Budget.Child(o.ConnMax, o.ConnKey)
	l := &link{conn: &pacedConn{Conn: conn}, target: target, opts: o, budget: b,
		turn: make(chan struct{}, 1), ended: make(chan struct{}), pending: map[int64]chan result{}}
	go l.read()
	return l
}

func (l *link) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err == nil
}

func (l *link) read() {
	defer close(l.ended)
	r := newReader(l.conn, nil, l.budget, l.opts.MaxBody, l.opts.ConnKey, 10*time.Second)
	for {
		f, lease, err := r.next()
		var refused *refusedError
		if err != nil && !errors.As(err, &refused) {
			l.fail(err)
			return
		}
		res := result{f: f, lease: lease}
		if refused != nil {
			res = result{err: &Error{CodeOvercrowded, fmt.Sprintf("response from %s: %v", l.target, refused.err)}}
		}
		if !l.deliver(f.meta, res) {
			lease.Release() // the caller gave up, or nobody asked
		}
		if refused != nil {
			if err := r.pass(refused.rest); err != nil {
				l.fail(err)
				return
			}
		}
	}
}

// deliver hands a response to the call that waits for it, if any does. brpc-java answers an unknown service name with correlation id 0
// (formats.md §2.2): that goes to the call under way if there is just one.
func (l *link) deliver(meta *metapb.RpcMeta, res result) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = time.Now()
	id := meta.GetCorrelationId()
	if id == 0 && meta.GetResponse().GetErrorCode() != 0 && len(l.pending) == 1 {
		for only := range l.pending {
			id = only
		}
	}
	ch := l.pending[id]
	if ch == nil {
		return false
	}
	delete(l.pending, id)
	ch <- res // has room: one result per call
	return true
}

// fail ends the link for everyone.
func (l *link) fail(cause error) {
	l.conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		if errors.Is(cause, io.EOF) {
			cause = errors.New("closed by the server")
		}
		l.err = status.Errorf(codes.Unavailable, "connection to %s: %v", l.target, cause)
	}
	for id, ch := range l.pending {
		ch <- result{err: l.err}
		delete(l.pending, id)
	}
}

// roundTrip sends one request and waits for its response. The caller releases the lease.
func (l *link) roundTrip(ctx context.Context, meta *metapb.RpcMeta, msg proto.Message, attachment []byte) (frame, *budget.Lease, error) {
	out := l.budget.Lease()
	defer out.Release()
	if err := out.Add(frameSize(msg, attachment)); err != nil {
		return frame{}, nil, &Error{CodeOvercrowded, fmt.Sprintf("request to %s: %v", l.target, err)}
	}
	ch := make(chan result, 1)
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return frame{}, nil, l.err
	}
	l.seq++
	id := l.seq
	l.pending[id] = ch
	l.mu.Unlock()
	meta.CorrelationId = &id

	started := time.Now()
	if err := l.send(ctx, meta, msg, attachment); err != nil {
		l.forget(id, ch)
		return frame{}, nil, err
	}
	out.Drop()
	select {
	case r := <-ch:
		return r.f, r.lease, r.err
	case <-ctx.Done():
		l.forget(id, ch)
		l.mu.Lock()
		mute := l.heard.Before(started)
		l.mu.Unlock()
		if mute && time.Since(started) >= silence && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			l.fail(fmt.Errorf("no answer to anything for %s", time.Since(started).Round(time.Millisecond)))
		}
		return frame{}, nil, context.Cause(ctx)
	}
}

// send writes one frame when it is its turn. A frame that went out in part ends the link.
func (l *link) send(ctx context.Context, meta *metapb.RpcMeta, msg proto.Message, attachment []byte) error {
	bufs, err := encodeFrame(meta, msg, attachment)
	if err != nil {
		return status.Errorf(codes.Internal, "request to %s: %v", l.target, err)
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-l.turn }()
	l.conn.SetWriteDeadline(time.Time{})
	// When the caller gives up, a frame that is going out gets a moment to go out whole: cut in two it ends the link for everyone.
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(late)
		l.conn.SetWriteDeadline(time.Now().Add(lastWords))
	})
	_, err = bufs.WriteTo(l.conn.Conn)
	if !stop() {
		<-late
	}
	if err != nil {
		l.fail(err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return status.Errorf(codes.Unavailable, "connection to %s: %v", l.target, err)
	}
	return nil
}

// forget stops waiting for a response. One that came in the same moment is dropped.
func (l *link) forget(id int64, ch chan result) {
	l.mu.Lock()
	delete(l.pending, id)
	l.mu.Unlock()
	select {
	case r := <-ch:
		r.lease.Release()
	default:
	}
}

// toValid replaces what is not UTF-8.
func toValid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
