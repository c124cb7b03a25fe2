package port

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/baidustd"
	"omsync/rpc/budget"
)

// lateness is how long a handler may take to notice the end of its context before it is answered for.
const lateness = 200 * time.Millisecond

type outcome struct {
	resp any
	err  error
}

// unary is around every unary handler, whatever protocol the call came by: statistics, deadline, panics. A handler that sleeps through
// its deadline goes on in the background and keeps what it holds of the budget.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	via := protocolOf(ctx)
	entry := s.calls.begin(info.FullMethod, via)
	started := time.Now()
	resp, err := s.run(ctx, via, req, info, handler)
	entry.end(via, err, time.Since(started))
	return resp, err
}

func (s *Server) run(ctx context.Context, via protocol, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	lease := budget.From(ctx)
	var came *budget.Lease // the part of a gRPC request that was reserved while it came in
	if via == viaGRPC {    // the others reserve what they read and write themselves
		n := sizeOf(req)
		came = guardOf(ctx).claim(n)
		defer came.Release()
		if err := lease.Add(n - came.Held()); err != nil {
			return nil, status.Error(codes.ResourceExhausted, err.Error())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Caps.CallTimeout)
	defer cancel()
	done := make(chan outcome, 1)
	lease.Retain()
	came.Retain()
	s.handlers.Go(func() {
		defer lease.Release()
		defer came.Release()
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				s.panicked(info.FullMethod, p)
				o = outcome{nil, status.Errorf(codes.Internal, "%s: the handler panicked: %v", info.FullMethod, p)}
			}
			done <- o
		}()
		o.resp, o.err = handler(ctx, req)
	})
	select {
	case o := <-done:
		return s.reserved(lease, via, o)
	case <-ctx.Done():
	}
	late := time.NewTimer(lateness)
	defer late.Stop()
	select {
	case o := <-done:
		return s.reserved(lease, via, o)
	case <-late.C:
		s.calls.abandoned.Add(1)
		return nil, status.Errorf(status.FromContextError(ctx.Err()).Code(), "%s: not done in time: %v", info.FullMethod, ctx.Err())
	}
}

func (s *Server) reserved(lease *budget.Lease, via protocol, o outcome) (any, error) {
	if via == viaGRPC && o.err == nil {
		if err := lease.Add(sizeOf(o.resp)); err != nil {
			return nil, status.Error(codes.ResourceExhausted, err.Error())
		}
	}
	return o.resp, o.err
}

// stream is around every gRPC stream: statistics, panics, and one message in flight each way, for which it waits.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	entry := s.calls.begin(info.FullMethod, viaGRPC)
	started := time.Now()
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	unhook := context.AfterFunc(s.stopping, cancel)
	defer unhook()
	w := &pacedStream{ServerStream: ss, ctx: ctx, stopping: s.stopping, guard: guardOf(ctx), out: budget.From(ctx)}
	defer w.end()
	defer func() {
		if p := recover(); p != nil {
			s.panicked(info.FullMethod, p)
			err = status.Errorf(codes.Internal, "%s: the handler panicked: %v", info.FullMethod, p)
		}
		if err != nil && s.stopping.Err() != nil {
			err = errStopping
		}
		entry.end(viaGRPC, err, time.Since(started))
	}()
	return handler(srv, w)
}

// errStopping ends streams when the daemon stops; clients dial again and find whoever serves then.
var errStopping = status.Error(codes.Unavailable, "the server is stopping")

// pacedStream counts the message that its handler is at work on, and holds the next one back while the caps are reached.
type pacedStream struct {
	grpc.ServerStream
	ctx      context.Context // ends with the stream, or when the daemon stops
	stopping context.Context
	guard    *guard
	out      *budget.Lease

	mu   sync.Mutex    // a handler may leave a receiver behind: nothing else ends a RecvMsg than the handler's return
	in   *budget.Lease // the message its handler is at work on
	over bool          // the handler has returned
}

func (p *pacedStream) Context() context.Context { return p.ctx }

// RecvMsg returns the next message. The one before counts as done with.
func (p *pacedStream) RecvMsg(m any) error {
	p.done()
	// gRPC's own RecvMsg heeds the stream's context only, and answers CANCELLED itself when that ends. The goroutine ends with the stream.
	got := make(chan error, 1)
	go func() { got <- p.ServerStream.RecvMsg(m) }()
	select {
	case err := <-got:
		if err != nil {
			return err
		}
	case <-p.stopping.Done():
		return errStopping
	}
	n := sizeOf(m)
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return errStopping
	}
	in := p.guard.claim(n)
	p.in = in
	p.mu.Unlock()
	if p.guard == nil {
		return nil
	}
	held := in.Held()
	rest := n - held // what the guard let in for nothing
	if rest <= 0 {
		return nil
	}
	if err := p.guard.s.gate.wait(p.ctx, p.guard.inbound, held, rest); err != nil {
		return exhausted(err)
	}
	in.Adopt(rest)
	return nil
}

func (p *pacedStream) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.in.Release()
	p.in = nil
}

// end is done for the last time.
func (p *pacedStream) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.in.Release()
	p.in = nil
}

func (p *pacedStream) SendMsg(m any) error {
	if err := exhausted(p.out.Wait(p.ctx, sizeOf(m))); err != nil {
		return err
	}
	defer p.out.Drop()
	return p.ServerStream.SendMsg(m)
}

func exhausted(err error) error {
	if err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return nil
}

func (s *Server) panicked(method string, p any) {
	s.calls.panics.Add(1)
	s.opts.Logger.Error("handler panicked", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}

func sizeOf(m any) int64 {
	if pm, ok := m.(proto.Message); ok && pm != nil {
		return int64(proto.Size(pm))
	}
	return 0
}

// protocol is what a call came by.
type protocol int

const (
	viaGRPC protocol = iota
	viaBaidu
	viaHTTP
	protocols
)

func (p protocol) String() string { return [...]string{"grpc", "baidu_std", "http"}[p] }

type httpKey struct{}

func protocolOf(ctx context.Context) protocol {
	if _, ok := baidustd.RequestAttachment(ctx); ok {
		return viaBaidu
	}
	if ctx.Value(httpKey{}) != nil {
		return viaHTTP
	}
	return viaGRPC
}
