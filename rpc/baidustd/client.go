package baidustd

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// DefaultCredential is what every internal OpenMLDB client sends; servers before 0.9.0 ignore it (formats.md §2.4).
const DefaultCredential = "sdefault"

// ClientOptions shape a Client. Zero values mean the defaults.
type ClientOptions struct {
	Credential  string // default DefaultCredential
	NoAuth      bool   // send no credential at all
	ShortNames  bool   // call services without their package
	DialTimeout time.Duration
	CallTimeout time.Duration // of calls whose context has no deadline, default 20 s
	MaxBody     int64         // of one response, default 64 MiB
	ConnMax     int64         // bytes in flight of the connection, both ways; default 2 × 64 MiB
	ConnKey     string        // conf key behind ConnMax, default socket_max_unwritten_bytes
	Budget      *budget.Budget
	Dial        func(ctx context.Context, network, addr string) (net.Conn, error) // default net.Dialer
}

func (o *ClientOptions) fill() {
	if o.Credential == "" && !o.NoAuth {
		o.Credential = DefaultCredential
	}
	setDefault(&o.DialTimeout, 3*time.Second)
	setDefault(&o.CallTimeout, 20*time.Second)
	setDefault(&o.MaxBody, DefaultMaxBody)
	setDefault(&o.ConnMax, 2*DefaultMaxBody)
	if o.ConnKey == "" {
		o.ConnKey = "socket_max_unwritten_bytes"
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
}

// Client is one multiplexed connection to one server, dialed on first use and again after a failure. It is a grpc.ClientConnInterface.
// No call is sent twice: a call whose connection breaks fails with UNAVAILABLE, and whether it was carried out is open.
type Client struct {
	target string
	opts   ClientOptions
	life   context.Context // ends at Close, and with it a dial
	end    context.CancelFunc

	mu      sync.Mutex
	current *link
	dialing *dialing // shared by the calls that wait for it
	closed  bool
}

type dialing struct {
	done chan struct{}
	link *link
	err  error
}

// NewClient returns a Client of target, host:port. Nothing is dialed yet.
func NewClient(target string, o ClientOptions) *Client {
	o.fill()
	c := &Client{target: target, opts: o}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Target is the address given to NewClient.
func (c *Client) Target() string { return c.target }

// Invoke calls method, "/package.Service/Method". args and reply are proto.Messages.
func (c *Client) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	attachment, receive := attachments(opts)
	service, name, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	in, isIn := args.(proto.Message)
	out, isOut := reply.(proto.Message)
	if !ok || !isIn || !isOut {
		return status.Errorf(codes.Internal, "baidu_std call %q with %T and %T: want /service/method and two protobuf messages", method, args, reply)
	}
	if c.opts.ShortNames {
		service = service[strings.LastIndexByte(service, '.')+1:]
	}
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opts.CallTimeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return c.contextError(err, method)
	}
	l, err := c.connect(ctx)
	if err != nil {
		return err
	}
	meta := &metapb.RpcMeta{Request: &metapb.RpcRequestMeta{ServiceName: &service, MethodName: &name}, CompressType: proto.Int32(0)}
	if c.opts.Credential != "" {
		meta.AuthenticationData = []byte(c.opts.Credential)
	}
	deadline, _ := ctx.Deadline()
	// At least 1 ms, since 0 is no deadline at all.
	meta.Request.TimeoutMs = proto.Int32(int32(max(1, min(time.Until(deadline).Milliseconds(), 1<<31-1))))
	f, lease, err := l.roundTrip(ctx, meta, in, attachment)
	if err != nil {
		if ce := context.Cause(ctx); ce != nil && errors.Is(err, ce) {
			return c.contextError(ctx.Err(), method)
		}
		return err
	}
	defer lease.Release()
	if e := f.meta.GetResponse(); e.GetErrorCode() != 0 {
		return &Error{e.GetErrorCode(), fmt.Sprintf("%s from %s: %s", method, c.target, e.GetErrorText())}
	}
	if ct := f.meta.GetCompressType(); ct != 0 {
		return &Error{CodeResponse, fmt.Sprintf("%s from %s: response with compress type %d", method, c.target, ct)}
	}
	if err := proto.Unmarshal(f.message, out); err != nil {
		return &Error{CodeResponse, fmt.Sprintf("%s from %s: response: %v", method, c.target, err)}
	}
	if receive != nil {
		*receive = f.attachment
	}
	return nil
}

func (c *Client) contextError(err error, method string) error {
	return status.Errorf(status.FromContextError(err).Code(), "%s to %s: %v", method, c.target, err)
}

// NewStream fails: baidu_std knows no gRPC streams.
func (c *Client) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Errorf(codes.Unimplemented, "%s: baidu_std has no gRPC streams", method)
}

// connect returns the living link, or waits for the one dial that all callers share.
func (c *Client) connect(ctx context.Context) (*link, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, status.Errorf(codes.Canceled, "connection to %s: closed here", c.target)
	}
	if c.current != nil && c.current.alive() {
		l := c.current
		c.mu.Unlock()
		return l, nil
	}
	d := c.dialing
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		c.dialing = d
		go c.dial(d)
	}
	c.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, status.Errorf(status.FromContextError(ctx.Err()).Code(), "connect to %s: %v", c.target, ctx.Err())
	}
}

func (c *Client) dial(d *dialing) {
	ctx, cancel := context.WithTimeout(c.life, c.opts.DialTimeout)
	defer cancel()
	conn, err := c.opts.Dial(ctx, "tcp", c.target)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing = nil
	switch {
	case err != nil:
		d.err = status.Errorf(codes.Unavailable, "connect to %s: %v", c.target, err)
	case c.closed:
		conn.Close()
		d.err = status.Errorf(codes.Canceled, "connection to %s: closed here", c.target)
	default:
		d.link = newLink(conn, c.target, c.opts)
		c.current = d.link
	}
	close(d.done)
}

// Close ends the connection; calls under way fail, later ones too.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	l, d := c.current, c.dialing
	c.mu.Unlock()
	c.end()
	if d != nil {
		<-d.done
	}
	if l != nil {
		l.fail(net.ErrClosed)
		<-l.ended
	}
	return nil
}
