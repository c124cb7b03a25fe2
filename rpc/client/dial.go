package client

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// MaxMessage is the largest message our daemons exchange: one 64 MiB row and its framing.
const MaxMessage = 65 << 20

// Options shape a connection. Zero values mean the defaults.
type Options struct {
	CallTimeout time.Duration // of unary calls whose context has no deadline, default 10 s
	// Keepalive is the silence after which the peer is asked whether it lives, default 10 s (gRPC's least); Timeout is how long it may
	// take to say so, default 5 s. A stream to a host that lost power breaks after both.
	Keepalive        time.Duration
	KeepaliveTimeout time.Duration
	MaxMessage       int                                                      // bytes either way, default MaxMessage
	Dial             func(ctx context.Context, addr string) (net.Conn, error) // default net.Dialer
}

func (o *Options) fill() {
	for _, d := range []struct {
		to    *time.Duration
		value time.Duration
	}{{&o.CallTimeout, 10 * time.Second}, {&o.Keepalive, 10 * time.Second}, {&o.KeepaliveTimeout, 5 * time.Second}} {
		if *d.to <= 0 {
			*d.to = d.value
		}
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = MaxMessage
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
}

// Dial returns a connection to addr, host:port. It connects at the first call and again after a failure (backoff 100 ms to 3 s); calls do
// not wait for that unless they ask to (grpc.WaitForReady). Proxies of the environment are not used. Close it.
func Dial(addr string, o Options) (*grpc.ClientConn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("%q is not host:port", addr)
	}
	o.fill()
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(o.Dial),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: o.Keepalive, Timeout: o.KeepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(o.MaxMessage), grpc.MaxCallSendMsgSize(o.MaxMessage)),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(16<<20),
		grpc.WithChainUnaryInterceptor(o.deadline),
	)
}

// deadline gives every unary call one.
func (o *Options) deadline(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.CallTimeout)
		defer cancel()
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}
