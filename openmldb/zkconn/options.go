package zkconn

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Options of a Conn.
type Options struct {
	Servers        []string      // host:port, tried in turn from a random one
	SessionTimeout time.Duration // asked for, default 6 s; servers may grant another
	AuthScheme     string        // default digest
	AuthCert       string        // user:password; "" = none. With it, nodes are created for their creator only.
	OpTimeout      time.Duration // of one operation, default 10 s; a context may end it earlier
	Dialer         Dialer        // default: net.Dialer with 1 s
	Logger         *slog.Logger  // default: none
}

// Dialer connects to a server.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// dialTimeout bounds one attempt: the next server is tried after it.
const dialTimeout = time.Second

func (o *Options) fill() {
	if o.SessionTimeout <= 0 {
		o.SessionTimeout = 6 * time.Second
	}
	if o.AuthScheme == "" {
		o.AuthScheme = "digest"
	}
	if o.OpTimeout <= 0 {
		o.OpTimeout = 10 * time.Second
	}
	if o.Dialer == nil {
		o.Dialer = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
