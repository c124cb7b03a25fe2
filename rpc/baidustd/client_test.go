package baidustd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/baidustd/metapb"
)

func TestRedialsAfterTheServerCameBack(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	c := dial(t, s.addr, ClientOptions{})
	if _, err := send(t.Context(), c, "x"); err != nil {
		t.Fatal(err)
	}
	s.stop()
	eventually(t, func() bool { _, err := send(t.Context(), c, "x"); return status.Code(err) == codes.Unavailable }, "calls to a stopped server do not fail")
	_, err := send(t.Context(), c, "x")
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), s.addr) {
		t.Errorf("%v, want UNAVAILABLE that names %s", err, s.addr)
	}
	startOn(t, ServerOptions{}, s.addr)
	if _, err := send(t.Context(), c, "x"); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func TestConcurrentCallersShareOneDial(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	var dials atomic.Int32
	c := dial(t, s.addr, ClientOptions{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	errs := make(chan error, 20)
	for range cap(errs) {
		go func() {
			_, err := send(t.Context(), c, "x")
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d dials", n)
	}
}

func TestDialIsNotTheCallersToBreak(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := dial(t, "unused:1", ClientOptions{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, errors.New("nobody there")
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := send(ctx, c, "x"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("short call: %v", err)
	}
	patient := make(chan error, 1)
	go func() { _, err := send(t.Context(), c, "x"); patient <- err }()
	close(release)
	if err := <-patient; status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "nobody there") {
		t.Errorf("patient call: %v", err)
	}
}

func TestDeadlinesAndCancel(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	defer close(s.tool.block)
	c := dial(t, s.addr, ClientOptions{CallTimeout: 50 * time.Millisecond})
	begun := time.Now()
	_, err := send(t.Context(), c, "block")
	if status.Code(err) != codes.DeadlineExceeded || time.Since(begun) > 5*time.Second {
		t.Errorf("default deadline: %v after %s", err, time.Since(begun))
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-s.tool.reached; <-s.tool.reached; cancel() }()
	_, err = send(ctx, dial(t, s.addr, ClientOptions{}), "block")
	if status.Code(err) != codes.Canceled {
		t.Errorf("cancel: %v", err)
	}
	if _, err := send(ctx, c, "x"); status.Code(err) != codes.Canceled {
		t.Errorf("cancelled before: %v", err)
	}
	if _, err := send(t.Context(), c, "x"); err != nil {
		t.Errorf("the connection lives on: %v", err)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	defer close(s.tool.block)
	c := NewClient(s.addr, ClientOptions{})
	got := make(chan error, 1)
	go func() { _, err := send(t.Context(), c, "block"); got <- err }()
	<-s.tool.reached
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; status.Code(err) != codes.Unavailable {
		t.Errorf("running call: %v", err)
	}
	if _, err := send(t.Context(), c, "x"); status.Code(err) != codes.Canceled {
		t.Errorf("call after Close: %v", err)
	}
	c.Close()
}

// scripted is a server that answers each request with what the script says.
func scripted(t *testing.T, answer func(c net.Conn, meta *metapb.RpcMeta)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := newReader(&pacedConn{Conn: c}, nil, nil, 1<<20, "", 10*time.Second)
			for {
				f, lease, err := r.next()
				if err != nil {
					break
				}
				lease.Release()
				answer(c, f.meta)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func reply(cid int64, code int32, text string, msg proto.Message) []byte {
	bufs, err := encodeFrame(&metapb.RpcMeta{CorrelationId: &cid, Response: &metapb.RpcResponseMeta{ErrorCode: &code, ErrorText: &text}}, msg, nil)
	if err != nil {
		panic(err)
	}
	return bufs[0]
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	ok := &datasyncpb.SendDataResponse{Response: &datasyncpb.GeneralResponse{Code: proto.Int32(0)}}
	for _, x := range []struct {
		name   string
		answer func(c net.Conn, m *metapb.RpcMeta)
		code   codes.Code
		text   string
	}{
		// formats.md §2.2: brpc-java answers an unknown service so
		{"correlation id 0", func(c net.Conn, m *metapb.RpcMeta) { c.Write(reply(0, 2001, "unknown service", nil)) }, codes.Internal, "unknown service"},
		{"an answer to nobody first", func(c net.Conn, m *metapb.RpcMeta) {
			c.Write(reply(999, 0, "", ok))
			c.Write(reply(m.GetCorrelationId(), 0, "", ok))
		}, codes.OK, ""},
		{"close", func(c net.Conn, m *metapb.RpcMeta) { c.Close() }, codes.Unavailable, "closed by the server"},
		{"garbage", func(c net.Conn, m *metapb.RpcMeta) { c.Write([]byte("HTTP/1.1 400 Bad Request\r\n")) }, codes.Unavailable, `begins with "HTTP"`},
		{"half a frame", func(c net.Conn, m *metapb.RpcMeta) { c.Write(reply(m.GetCorrelationId(), 0, "", ok)[:20]); c.Close() }, codes.Unavailable, "ended inside"},
		{"message that is none", func(c net.Conn, m *metapb.RpcMeta) {
			c.Write(reply(m.GetCorrelationId(), 0, "", &metapb.RpcMeta{CorrelationId: proto.Int64(1)}))
		}, codes.Internal, "response"},
		{"too large", func(c net.Conn, m *metapb.RpcMeta) {
			big := bytes.Clone(reply(m.GetCorrelationId(), 0, "", ok))
			copy(big[4:], []byte{0x7f, 0, 0, 0})
			c.Write(big)
		}, codes.ResourceExhausted, "socket_max_unwritten_bytes"},
		{"error without a text", func(c net.Conn, m *metapb.RpcMeta) { c.Write(reply(m.GetCorrelationId(), 1008, "", nil)) }, codes.DeadlineExceeded, "1008"},
	} {
		_, err := send(t.Context(), dial(t, scripted(t, x.answer), ClientOptions{}), "x")
		if status.Code(err) != x.code || err != nil && !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s: %v, want %s with %q", x.name, err, x.code, x.text)
		}
	}
}

// A server that lost power takes requests and says nothing; after a time-out the next call dials anew.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	mute := scripted(t, func(net.Conn, *metapb.RpcMeta) {})
	s := start(t, ServerOptions{})
	var dials atomic.Int32
	c := dial(t, s.addr, ClientOptions{CallTimeout: silence + 50*time.Millisecond, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			addr = mute
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	if _, err := send(t.Context(), c, "x"); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("first call: %v", err)
	}
	if _, err := send(t.Context(), c, "x"); err != nil {
		t.Fatalf("second call: %v", err)
	}
}

// A caller that gives up must not wait for a peer that does not read.
func TestWriteToAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, l.Addr().String(), ClientOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err = send(ctx, c, "x", Attach(make([]byte, 60<<20)))
	if status.Code(err) != codes.DeadlineExceeded || time.Since(begun) > 5*time.Second {
		t.Fatalf("%v after %s", err, time.Since(begun))
	}
}

func TestRequestOverTheClientsOwnCap(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	c := dial(t, s.addr, ClientOptions{ConnMax: 1 << 20, ConnKey: "the_key"})
	var e *Error
	if _, err := send(t.Context(), c, "x", Attach(make([]byte, 1<<20))); !errors.As(err, &e) || e.Code != CodeOvercrowded || !strings.Contains(err.Error(), "the_key") {
		t.Errorf("%v", err)
	}
	if _, err := send(t.Context(), c, "x", Attach(make([]byte, 1<<19))); err != nil {
		t.Errorf("half of it: %v", err)
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	c := dial(t, "127.0.0.1:1", ClientOptions{})
	if err := c.Invoke(t.Context(), "NoSlash", nil, nil); status.Code(err) != codes.Internal {
		t.Errorf("%v", err)
	}
	if _, err := c.NewStream(t.Context(), nil, "/a/b"); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v", err)
	}
	if _, err := send(t.Context(), c, "\xff"); status.Code(err) != codes.Internal && status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
	if _, ok := RequestAttachment(context.Background()); ok || SetResponseAttachment(context.Background(), nil) {
		t.Error("attachments outside a call")
	}
}

func BenchmarkCalls(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(ServerOptions{})
	datasyncpb.RegisterSyncToolServer(s, &syncTool{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	c := NewClient(l.Addr().String(), ClientOptions{})
	for _, n := range []int{0, 1 << 20} {
		b.Run(map[int]string{0: "small", 1 << 20: "1MiB"}[n], func(b *testing.B) {
			in := make([]byte, n)
			b.SetBytes(int64(n))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := send(context.Background(), c, "ok!", Attach(in)); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	c.Close()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

var _ io.Closer = (*Client)(nil)
