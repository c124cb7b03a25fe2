package baidustd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/baidustd/metapb"
	"omsync/rpc/budget"
)

func TestErrorCodes(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{CallTimeout: 50 * time.Millisecond})
	c := dial(t, s.addr, ClientOptions{})
	call := func(method, token string) error {
		return c.Invoke(t.Context(), method, &datasyncpb.SendDataRequest{Token: &token}, &datasyncpb.SendDataResponse{})
	}
	const sendData = "/openmldb.datasync.SyncTool/SendData"
	for _, x := range []struct {
		name, method, token string
		code                int32
		grpc                codes.Code
		text                string
	}{
		{"unknown service", "/openmldb.datasync.Nope/SendData", "x", CodeNoService, codes.Unimplemented, `"openmldb.datasync.Nope"`},
		{"our services are called in full", "/omsync/SendData", "x", CodeNoService, codes.Unimplemented, "omsync"},
		{"unknown method", "/openmldb.datasync.SyncTool/Nope", "x", CodeNoMethod, codes.Unimplemented, `"Nope"`},
		{"not implemented", "/openmldb.datasync.SyncTool/TaskStatus", "x", CodeNoMethod, codes.Unimplemented, "not implemented"},
		{"panic", sendData, "panic", CodeInternal, codes.Internal, "on request"},
		{"nil answer", sendData, "nil", CodeInternal, codes.Internal, "no message"},
		{"handler's status", sendData, "not-found", CodeInternal, codes.Internal, "no such subtask"},
		{"server's deadline", sendData, "sleep", CodeTimeout, codes.DeadlineExceeded, "deadline"},
		{"works after all that", sendData, "x", 0, codes.OK, ""},
	} {
		err := call(x.method, x.token)
		var e *Error
		switch {
		case x.code == 0 && err != nil:
			t.Errorf("%s: %v", x.name, err)
		case x.code != 0 && (!errors.As(err, &e) || e.Code != x.code || status.Code(err) != x.grpc || !strings.Contains(err.Error(), x.text)):
			t.Errorf("%s: %v (%s), want %d %s with %q", x.name, err, status.Code(err), x.code, x.grpc, x.text)
		}
	}
}

func TestEveryStatusHasACode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int32
	}{
		{status.Error(codes.Unimplemented, ""), CodeNoMethod}, {status.Error(codes.InvalidArgument, ""), CodeRequest},
		{status.Error(codes.Unauthenticated, ""), CodeAuth}, {status.Error(codes.DeadlineExceeded, ""), CodeTimeout},
		{status.Error(codes.ResourceExhausted, ""), CodeLimit}, {status.Error(codes.Unavailable, ""), CodeLogoff},
		{errors.New("x"), CodeInternal}, {fmt.Errorf("w: %w", &Error{CodeNoService, "n"}), CodeNoService},
		{fmt.Errorf("w: %w", &budget.OverError{Key: "k"}), CodeOvercrowded},
	} {
		e := FromError(c.err)
		if e.Code != c.want {
			t.Errorf("%v: %d, want %d", c.err, e.Code, c.want)
		}
		if again := FromError(e); *again != *e {
			t.Errorf("%v became %v", e, again)
		}
	}
	if got := status.Code(&Error{Code: 77}); got != codes.Unknown {
		t.Errorf("unknown code: %s", got)
	}
}

func TestShortAndFullServiceNames(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	for _, short := range []bool{false, true} {
		c := dial(t, s.addr, ClientOptions{ShortNames: short})
		r, err := datasyncpb.NewDataCollectorClient(c).AddSyncTask(t.Context(), &datasyncpb.AddSyncTaskRequest{})
		if err != nil || r.Code != nil {
			t.Errorf("short %v: %v %v", short, r, err)
		}
	}
}

func TestAttachmentsBothWays(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	c := dial(t, s.addr, ClientOptions{})
	for _, n := range []int{0, 1, firstStep - 20, firstStep, firstStep + 1, 1 << 20, 5<<20 + 3} {
		in := bytes.Repeat([]byte{'a', 'b', 'c'}, n/3+1)[:n]
		var out []byte
		msg, err := send(t.Context(), c, "echo", Attach(in), Attachment(&out))
		want := append([]byte("got "), in...)
		if n == 0 {
			want = nil
		}
		if err != nil || msg != "echo" || !bytes.Equal(out, want) {
			t.Errorf("%d bytes: %v, %q, %d bytes back", n, err, msg, len(out))
		}
	}
}

func TestManyCallersAndLargeAnswersOnOneConnection(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	c := dial(t, s.addr, ClientOptions{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 30 {
				token := fmt.Sprintf("c%d-%d", i, j)
				in := bytes.Repeat([]byte(token), 1+j*100)
				var out []byte
				msg, err := send(t.Context(), c, token, Attach(in), Attachment(&out))
				if err != nil || msg != token || string(out) != "got "+string(in) {
					t.Errorf("%s: %v %q %d bytes", token, err, msg, len(out))
					return
				}
			}
		})
	}
	wg.Go(func() {
		var out []byte
		n := uint64(16 << 20)
		_, err := datasyncpb.NewSyncToolClient(c).SendData(t.Context(), &datasyncpb.SendDataRequest{Token: proto.String("fill"), Count: &n}, Attachment(&out))
		if err != nil || len(out) != 16<<20 {
			t.Errorf("16 MiB: %v, %d bytes", err, len(out))
		}
	})
	wg.Wait()
	c.Close()
	eventually(t, func() bool { return s.opts.Budget.Used() == 0 }, "bytes still reserved")
}

func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func TestCapsAnswer1011AndNameTheKey(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{Budget: budget.New(6<<20, "process_key"), ConnMax: 4 << 20, ConnKey: "conn_key"})
	c := dial(t, s.addr, ClientOptions{})
	refused := func(what, key string, err error) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeOvercrowded || !strings.Contains(e.Text, "raise "+key) {
			t.Errorf("%s: %v, want 1011 that names %s", what, err, key)
		}
	}
	n := uint64(5 << 20)
	_, err := datasyncpb.NewSyncToolClient(c).SendData(t.Context(), &datasyncpb.SendDataRequest{Token: proto.String("fill"), Count: &n})
	refused("answer over the connection's cap", "conn_key", err)
	if _, err := send(t.Context(), c, "still works"); err != nil {
		t.Errorf("after a refused answer: %v", err)
	}
	_, err = send(t.Context(), c, "x", Attach(make([]byte, 5<<20)))
	refused("request over the connection's cap", "conn_key", err)
	if _, err := send(t.Context(), c, "still works"); err != nil {
		t.Errorf("after a refused request: %v", err)
	}
	held := make(chan error, 1)
	go func() {
		_, err := send(t.Context(), c, "block", Attach(make([]byte, 3<<20)))
		held <- err
	}()
	<-s.tool.reached
	_, err = send(t.Context(), c, "x", Attach(make([]byte, 3<<20)))
	refused("second request on the same connection", "conn_key", err)
	other := dial(t, s.addr, ClientOptions{})
	_, err = send(t.Context(), other, "ok!", Attach(make([]byte, 3500<<10)))
	refused("request on another connection", "process_key", err)
	if _, err := send(t.Context(), other, "small"); err != nil {
		t.Errorf("small request beside: %v", err)
	}
	close(s.tool.block)
	if err := <-held; err != nil {
		t.Errorf("the one that was inside: %v", err)
	}
	if _, err = send(t.Context(), other, "ok!", Attach(make([]byte, 3500<<10))); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

func TestAuth(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := 0
	s := start(t, ServerOptions{Auth: func(cred string, peer net.Addr) error {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if cred != DefaultCredential {
			return errors.New("no")
		}
		return nil
	}})
	c := dial(t, s.addr, ClientOptions{})
	for range 3 {
		if _, err := send(t.Context(), c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	if asked != 1 {
		t.Errorf("asked %d times for one connection", asked)
	}
	mu.Unlock()
	for _, o := range []ClientOptions{{NoAuth: true}, {Credential: "uroot:1e3b"}} {
		_, err := send(t.Context(), dial(t, s.addr, o), "x")
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%+v: %v, want a closed connection", o, err)
		}
	}
}

// A peer that half-closes its side still gets its answer, whatever the pieces its request came in.
func TestByteByByteAndHalfClose(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, b := range rawFrame(t, "SyncTool", "SendData", 42, &datasyncpb.SendDataRequest{Token: proto.String("hi")}, []byte("A")) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	c.(*net.TCPConn).CloseWrite()
	out, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(out, []byte(Magic)) || !bytes.HasSuffix(out, []byte("got A")) {
		t.Fatalf("%q %v", out, err)
	}
}

func TestHostilePeersAreClosedAndOthersServed(t *testing.T) {
	t.Parallel()
	refused := make(chan error, 100)
	s := start(t, ServerOptions{StallTimeout: 50 * time.Millisecond, Refused: func(_ net.Addr, err error) { refused <- err }})
	good := dial(t, s.addr, ClientOptions{})
	whole := rawFrame(t, "SyncTool", "SendData", 1, &datasyncpb.SendDataRequest{}, make([]byte, 1000))
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"random", unhex(t, "00112233445566778899aabbccddeeff")},
		{"slow header", whole[:5]},
		{"slow meta", whole[:14]},
		{"slow body", whole[:len(whole)-1]},
		{"largest length", []byte("PRPC\xff\xff\xff\xff\x00\x00\x00\x00")},
		{"meta larger than body", []byte("PRPC\x00\x00\x00\x01\x00\x00\x00\x09x")},
		{"broken meta", []byte("PRPC\x00\x00\x00\x02\x00\x00\x00\x02\xff\xff")},
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(c.in)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(conn); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("%s: not closed", c.name)
			}
		}
		conn.Close()
		select {
		case <-refused:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: not reported", c.name)
		}
		if _, err := send(t.Context(), good, "x"); err != nil {
			t.Errorf("%s: a good peer suffers: %v", c.name, err)
		}
	}
	send := &metapb.RpcRequestMeta{ServiceName: proto.String("SyncTool"), MethodName: proto.String("SendData")}
	for name, meta := range map[string]*metapb.RpcMeta{
		"no request":  {CorrelationId: proto.Int64(3)},
		"compression": {CorrelationId: proto.Int64(3), CompressType: proto.Int32(1), Request: send},
		"bad message": {CorrelationId: proto.Int64(3), Request: send},
	} {
		bufs, err := encodeFrame(meta, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		in := append(bufs[0], 0xff, 0xff)
		binary.BigEndian.PutUint32(in[4:], uint32(len(in)-headerLen))
		if e := rawAnswer(t, s.addr, in); e.GetErrorCode() != CodeRequest {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func rawAnswer(t *testing.T, addr string, in []byte) *metapb.RpcResponseMeta {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(in)
	f, lease, err := newReader(&pacedConn{Conn: conn}, nil, nil, 1<<20, "", 10*time.Second).next()
	if err != nil {
		t.Fatal(err)
	}
	lease.Release()
	return f.meta.GetResponse()
}

func TestStopLetsRunningCallsFinish(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	c := dial(t, s.addr, ClientOptions{})
	got := make(chan error, 1)
	go func() {
		_, err := send(t.Context(), c, "block")
		got <- err
	}()
	<-s.tool.reached
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("stopped under a running call")
	case <-time.After(30 * time.Millisecond):
	}
	close(s.tool.block)
	if err := <-got; err != nil {
		t.Errorf("the running call: %v", err)
	}
	<-stopped
}

func TestStopCancelsWhatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{Grace: 10 * time.Millisecond})
	c := dial(t, s.addr, ClientOptions{})
	got := make(chan error, 1)
	go func() {
		_, err := send(t.Context(), c, "block")
		got <- err
	}()
	<-s.tool.reached
	s.stop()
	if err := <-got; status.Code(err) != codes.Unavailable {
		t.Errorf("the running call: %v", err)
	}
}

// When a peer goes away without a word to the end, its handlers learn of it.
func TestHandlersEndWithTheirPeer(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write(rawFrame(t, "SyncTool", "SendData", 1, &datasyncpb.SendDataRequest{Token: proto.String("block")}, nil))
	<-s.tool.reached
	conn.(*net.TCPConn).SetLinger(0) // reset
	conn.Close()
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 0
	}, "the connection's handler still runs")
}

func TestInterceptorSeesEveryCall(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	s := start(t, ServerOptions{Interceptor: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		mu.Lock()
		seen[info.FullMethod]++
		mu.Unlock()
		return h(ctx, req)
	}})
	c := dial(t, s.addr, ClientOptions{})
	for range 3 {
		if _, err := send(t.Context(), c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if seen["/openmldb.datasync.SyncTool/SendData"] != 3 {
		t.Errorf("%v", seen)
	}
}
