package port

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"omsync/rpc/budget"
)

func (s *Server) newGRPC() *grpc.Server {
	c := s.opts.Caps
	message := int(min(c.ConnBytes+overhead, 1<<31-1))
	return grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(message),
		grpc.MaxSendMsgSize(message),
		grpc.MaxConcurrentStreams(c.MaxStreams),
		grpc.MaxHeaderListSize(64 << 10),
		grpc.ConnectionTimeout(c.HeaderTimeout),
		// A window bounds what lies unread in one stream; while a handler waits for a message, gRPC widens it to the whole message.
		grpc.StaticStreamWindowSize(512 << 10),
		grpc.StaticConnWindowSize(8 << 20),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
		grpc.InTapHandle(s.tap),
		grpc.StatsHandler(leases{}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	}, s.opts.GRPC...)...)
}

// tap turns calls away before anything of them is read while a cap is reached. It sets the context that gRPC itself waits on, so that
// a unary call is bounded from its first byte to its last: a request that never ends does end.
func (s *Server) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if g := guardOf(ctx); g != nil && g.calls.Left() == 0 {
		err := g.calls.Reserve(1)
		if err != nil {
			s.noise.refused("grpc", peerOf(ctx), err)
			return nil, status.Error(codes.ResourceExhausted, err.Error())
		}
		g.calls.Release(1) // freed meanwhile
	}
	if s.api[info.FullMethodName] != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opts.Caps.CallTimeout)
		context.AfterFunc(ctx, cancel) // the call's own end cancels ctx
	}
	return ctx, nil
}

// guardAddr carries a connection's guard to where gRPC shows nothing else of the connection: its address.
type guardAddr struct {
	net.Addr
	guard *guard
}

// guardOf returns the guard of a gRPC call's connection, nil when it has none.
func guardOf(ctx context.Context) *guard {
	if a, ok := peerOf(ctx).(guardAddr); ok {
		return a.guard
	}
	return nil
}

func peerOf(ctx context.Context) net.Addr {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr
	}
	return nil
}

// leases is a stats.Handler that gives every gRPC call a budget.Lease and takes it back when the call's last byte is handed over.
type leases struct{}

func (leases) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	if g := guardOf(ctx); g != nil {
		return budget.With(ctx, g.calls.Lease())
	}
	return ctx
}

func (leases) HandleRPC(ctx context.Context, e stats.RPCStats) {
	if _, ok := e.(*stats.End); ok {
		budget.From(ctx).Release()
	}
}

func (leases) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (leases) HandleConn(context.Context, stats.ConnStats)                       {}
