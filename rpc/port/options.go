package port

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/grpc"
)

// Caps bound what peers can make the process do. Zero values mean the defaults.
type Caps struct {
	ConnBytes    int64  // bytes in flight per connection, default 64 MiB
	ConnKey      string // conf key behind it, default socket_max_unwritten_bytes
	ProcessBytes int64  // bytes in flight over all connections, default 256 MiB
	ProcessKey   string // conf key behind it, default process_max_inflight_bytes

	MaxConns      int           // connections at a time, default 4096; when full, one that never said a word makes room
	HeaderTimeout time.Duration // from a connection's first byte to its protocol, and for an HTTP header; default 10 s
	StallTimeout  time.Duration // a begun message must go on within this, default 30 s
	CallTimeout   time.Duration // deadline of a unary call, default 60 s; a client's shorter one wins
	MaxStreams    uint32        // gRPC calls at a time per connection, default 100
}

// overhead is what a connection may have in flight beyond ConnBytes: the framing around one message that is as large as the cap.
const overhead = 1 << 20

// Pages are what the daemon adds to the pages. Nil functions add nothing.
type Pages struct {
	Version  string                             // text of /version
	NoStatus bool                               // do not serve /status (enable_status_service=false)
	Status   func(w io.Writer)                  // the daemon's section of /status, plain text
	Health   func(ctx context.Context) []string // reasons not to be healthy; none = healthy
	Metrics  func(w io.Writer) error            // more metrics in Prometheus' text format
	Extra    map[string]http.Handler            // by exact path
}

// Options shape a Server.
type Options struct {
	Caps   Caps
	Pages  Pages
	Logger *slog.Logger     // default: discard
	Clock  func() time.Time // default time.Now
	Grace  time.Duration    // how long calls may go on after Serve's context ended, default 10 s
	GRPC   []grpc.ServerOption
}

func (o *Options) fill() {
	c := &o.Caps
	setDefault(&c.ConnBytes, 64<<20)
	setDefault(&c.ProcessBytes, 256<<20)
	setDefault(&c.MaxConns, 4096)
	setDefault(&c.HeaderTimeout, 10*time.Second)
	setDefault(&c.StallTimeout, 30*time.Second)
	setDefault(&c.CallTimeout, time.Minute)
	setDefault(&c.MaxStreams, 100)
	setDefault(&o.Grace, 10*time.Second)
	if c.ConnKey == "" {
		c.ConnKey = "socket_max_unwritten_bytes"
	}
	if c.ProcessKey == "" {
		c.ProcessKey = "process_max_inflight_bytes"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
}

func setDefault[T int | int64 | uint32 | time.Duration](to *T, value T) {
	if *to <= 0 {
		*to = value
	}
}
