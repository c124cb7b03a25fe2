package baidustd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/baidustd/metapb"
	"omsync/rpc/budget"
)

// ServerOptions are the limits of a Server. Zero values mean the defaults.
type ServerOptions struct {
	Budget  *budget.Budget // bytes in flight of the process; default: 256 MiB of its own
	ConnMax int64          // bytes in flight per connection, default 64 MiB
	ConnKey string         // conf key behind ConnMax, default socket_max_unwritten_bytes
	// MaxBody bounds message + attachment of one frame; default ConnMax. A larger one is answered 1011 and passed over.
	MaxBody      int64
	MaxCalls     int           // calls at work per connection, default 256; at it, the connection is not read
	StallTimeout time.Duration // a begun frame must go on within this, default 10 s
	WriteTimeout time.Duration // an answer must go out within this and a second per MiB, default 30 s
	CallTimeout  time.Duration // deadline of a handler's context, default 60 s; a client's shorter one wins
	Grace        time.Duration // how long Serve waits for handlers at its end, default 10 s

	// Auth checks the credential of a connection's first request; an error closes the connection, as brpc does. nil accepts all.
	Auth func(credential string, peer net.Addr) error
	// Interceptor wraps every handler.
	Interceptor grpc.UnaryServerInterceptor
	// Refused is told of frames and connections that were turned away. nil ignores it.
	Refused func(peer net.Addr, err error)
}

func (o *ServerOptions) fill() {
	if o.Budget == nil {
		o.Budget = budget.New(256<<20, "process_max_inflight_bytes")
	}
	setDefault(&o.ConnMax, DefaultMaxBody)
	if o.ConnKey == "" {
		o.ConnKey = "socket_max_unwritten_bytes"
	}
	setDefault(&o.MaxBody, o.ConnMax)
	setDefault(&o.MaxCalls, 256)
	setDefault(&o.StallTimeout, 10*time.Second)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.CallTimeout, time.Minute)
	setDefault(&o.Grace, 10*time.Second)
	if o.Refused == nil {
		o.Refused = func(net.Addr, error) {}
	}
}

func setDefault[T int | int64 | time.Duration](to *T, value T) {
	if *to <= 0 {
		*to = value
	}
}

// Server serves unary methods. Register everything before the first connection.
type Server struct {
	opts     ServerOptions
	services map[string]*service // by full name, and by short name for package openmldb

	ctx    context.Context // of all handlers; ends at Close
	cancel context.CancelFunc

	mu    sync.Mutex
	conns map[*serverConn]struct{}
	down  bool
	wg    sync.WaitGroup
}

type service struct {
	impl    any
	methods map[string]*grpc.MethodDesc
}

// NewServer returns a Server without services.
func NewServer(o ServerOptions) *Server {
	o.fill()
	s := &Server{opts: o, services: map[string]*service{}, conns: map[*serverConn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// RegisterService makes Server a grpc.ServiceRegistrar. brpc-java calls collectors by the short name DataCollector (formats.md §2.3), C++
// servers accept any short name; here those of upstream's services are, ours are called in full.
func (s *Server) RegisterService(d *grpc.ServiceDesc, impl any) {
	v := &service{impl, make(map[string]*grpc.MethodDesc, len(d.Methods))}
	for i := range d.Methods {
		v.methods[d.Methods[i].MethodName] = &d.Methods[i]
	}
	s.services[d.ServiceName] = v
	if strings.HasPrefix(d.ServiceName, "openmldb.") {
		s.services[d.ServiceName[strings.LastIndexByte(d.ServiceName, '.')+1:]] = v
	}
}

// Serve accepts connections until ctx ends, then lets running handlers finish for up to Grace. It returns nil when ctx ended it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var failed error
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil {
				failed = fmt.Errorf("accept on %s: %w", l.Addr(), err)
			}
			break
		}
		go s.ServeConn(c, nil, nil)
	}
	grace, cancel := context.WithTimeout(context.Background(), s.opts.Grace)
	defer cancel()
	s.Stop(grace)
	return failed
}

// ServeConn serves one connection until it ends. head are bytes already read from it, b counts its bytes in flight (nil: a new one).
func (s *Server) ServeConn(c net.Conn, head []byte, b *budget.Budget) {
	if b == nil {
		b = s.opts.Budget.Child(s.opts.ConnMax, s.opts.ConnKey)
	}
	sc := newServerConn(s, c, head, b)
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		c.Close()
		return
	}
	s.conns[sc] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, sc)
		s.mu.Unlock()
		s.wg.Done()
	}()
	sc.serve()
}

// Stop takes no more frames, waits for the handlers until ctx ends, then closes every connection and cancels what still runs.
func (s *Server) Stop(ctx context.Context) {
	s.mu.Lock()
	s.down = true
	for c := range s.conns {
		c.conn.endReads()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		s.mu.Lock()
		for c := range s.conns {
			c.conn.Close()
		}
		s.mu.Unlock()
		s.cancel()
		<-done
	}
	s.cancel()
}

// invoke runs the method that meta names. Whatever the handler does, it returns.
func (s *Server) invoke(ctx context.Context, meta *metapb.RpcMeta, msg []byte) (out proto.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{CodeInternal, fmt.Sprintf("the handler panicked: %v", p)}
			s.opts.Refused(nil, fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack()))
		}
	}()
	q := meta.GetRequest()
	if q == nil {
		return nil, &Error{CodeRequest, "the meta holds no request"}
	}
	v := s.services[q.GetServiceName()]
	if v == nil {
		return nil, &Error{CodeNoService, fmt.Sprintf("no service %q here", clip(q.GetServiceName()))}
	}
	m := v.methods[q.GetMethodName()]
	if m == nil {
		return nil, &Error{CodeNoMethod, fmt.Sprintf("service %s has no method %q", q.GetServiceName(), clip(q.GetMethodName()))}
	}
	if ct := meta.GetCompressType(); ct != 0 {
		return nil, &Error{CodeRequest, fmt.Sprintf("compress type %d is not supported: send uncompressed", ct)}
	}
	limit := s.opts.CallTimeout
	if t := time.Duration(q.GetTimeoutMs()) * time.Millisecond; t > 0 {
		limit = min(limit, t)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	decode := func(x any) error {
		if err := proto.Unmarshal(msg, x.(proto.Message)); err != nil {
			return status.Errorf(codes.InvalidArgument, "request of %s/%s: %v", q.GetServiceName(), q.GetMethodName(), err)
		}
		return nil
	}
	answer, err := m.Handler(v.impl, ctx, decode, s.opts.Interceptor)
	if err != nil {
		return nil, err
	}
	if out, _ = answer.(proto.Message); out == nil || !out.ProtoReflect().IsValid() {
		return nil, &Error{CodeInternal, fmt.Sprintf("%s/%s returned no message", q.GetServiceName(), q.GetMethodName())}
	}
	return out, nil
}

// clip shortens a name from outside for an error text.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

var errAuth = errors.New("credential refused")
