package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"omsync/rpc/baidustd"
	"omsync/rpc/budget"
)

// Server serves one port. Register all services before Serve.
type Server struct {
	opts    Options
	process *budget.Budget
	inbound *budget.Budget // gRPC messages that come in: a little less than process, so that an operator's small calls always find room
	gate    *gate
	calls   *callStats
	noise   *noise
	doors   *doors
	gather  prometheus.Gatherer

	grpc *grpc.Server
	prpc *baidustd.Server
	http *http.Server
	api  map[string]*method // by path, /package.Service/Method

	stopping context.Context // ends when Serve's does: streams end with it
	stop     context.CancelFunc
	handlers sync.WaitGroup // of unary calls, those past their deadline included
}

// New returns a Server without services.
func New(o Options) *Server {
	o.fill()
	s := &Server{
		opts:    o,
		process: budget.New(o.Caps.ProcessBytes, o.Caps.ProcessKey),
		calls:   newCallStats(o.Clock),
		api:     map[string]*method{},
		gather:  newProcessMetrics(),
	}
	s.inbound = s.process.Child(o.Caps.ProcessBytes-min(o.Caps.ProcessBytes/8, 8<<20), o.Caps.ProcessKey)
	s.gate = newGate(s.inbound)
	s.noise = newNoise(o.Logger, o.Clock, s.calls)
	s.doors = newDoors(o.Caps.MaxConns)
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.grpc = s.newGRPC()
	s.prpc = baidustd.NewServer(baidustd.ServerOptions{
		Budget: s.process, ConnMax: o.Caps.ConnBytes + overhead, ConnKey: o.Caps.ConnKey, MaxBody: o.Caps.ConnBytes,
		StallTimeout: o.Caps.StallTimeout, WriteTimeout: o.Caps.StallTimeout, CallTimeout: o.Caps.CallTimeout, Grace: o.Grace,
		Interceptor: s.unary,
		Refused:     func(peer net.Addr, err error) { s.noise.refused("baidu_std", peer, err) },
	})
	s.http = s.newHTTP()
	return s
}

// RegisterService makes Server a grpc.ServiceRegistrar. Unary methods are served on all three protocols, streams by gRPC only.
func (s *Server) RegisterService(d *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(d, impl)
	s.prpc.RegisterService(d, impl)
	for i := range d.Methods {
		path := "/" + d.ServiceName + "/" + d.Methods[i].MethodName
		s.api[path] = &method{path: path, handler: d.Methods[i].Handler, impl: impl}
	}
}

// connBudget counts one connection's bytes in flight.
func (s *Server) connBudget() *budget.Budget {
	return s.process.Child(s.opts.Caps.ConnBytes+overhead, s.opts.Caps.ConnKey)
}

// Serve accepts connections until ctx ends. Then the contexts of gRPC streams end at once, other calls may finish for up to Grace, and
// everything is closed. It returns nil when ctx ended it. A Server serves once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	gl, hl := newHandover(l.Addr()), newHandover(l.Addr())
	var serving, sniffing sync.WaitGroup
	serving.Go(func() { s.grpc.Serve(gl) })
	serving.Go(func() { s.http.Serve(hl) })
	closing := context.AfterFunc(ctx, func() { l.Close() })
	defer closing()

	err := s.accept(ctx, l, func(c *conn) {
		sniffing.Go(func() { s.sniff(c, gl, hl) })
	})
	s.shutdown()
	gl.Close()
	hl.Close()
	s.doors.closeAll()
	sniffing.Wait()
	serving.Wait()
	s.awaitHandlers()
	return err
}

// awaitHandlers waits for handlers that slept through their deadline. Their contexts are over; one that ignores that is left behind.
func (s *Server) awaitHandlers() {
	done := make(chan struct{})
	go func() { s.handlers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(s.opts.Grace):
		s.opts.Logger.Error("a handler ignores the end of its context", "waited", s.opts.Grace)
	}
}

func (s *Server) accept(ctx context.Context, l net.Listener, start func(*conn)) error {
	pause := time.Duration(0)
	for {
		raw, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		default: // out of descriptors, as a rule: those that close make room
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.noise.refused("accept", nil, fmt.Errorf("accept on %s: %w: raise the limit on open files", l.Addr(), err))
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			continue
		}
		pause = 0
		c := &conn{Conn: raw, doors: s.doors}
		if !s.doors.enter(c) {
			s.noise.refused("connections", raw.RemoteAddr(), fmt.Errorf("%d connections are open already", s.opts.Caps.MaxConns))
			raw.Close()
			continue
		}
		start(c)
	}
}

// shutdown ends all three servers, each within Grace.
func (s *Server) shutdown() {
	s.stop()
	grace, cancel := context.WithTimeout(context.Background(), s.opts.Grace)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { s.prpc.Stop(grace) })
	all.Go(func() {
		if s.http.Shutdown(grace) != nil {
			s.http.Close()
		}
	})
	all.Go(func() {
		hard := context.AfterFunc(grace, s.grpc.Stop)
		s.grpc.GracefulStop()
		hard()
	})
	all.Wait()
}

// InFlight is the number of bytes in flight in the process.
func (s *Server) InFlight() int64 { return s.process.Used() }
