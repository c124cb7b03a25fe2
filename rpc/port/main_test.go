package port

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/baidustd"
	"omsync/rpc/client"
	"omsync/rpc/omsyncpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tool answers SendData by its token.
type tool struct {
	datasyncpb.UnimplementedSyncToolServer
	block   chan struct{}
	reached chan struct{}
}

func (x *tool) SendData(ctx context.Context, r *datasyncpb.SendDataRequest) (*datasyncpb.SendDataResponse, error) {
	msg := r.GetToken()
	switch {
	case msg == "panic":
		panic("on request")
	case msg == "sleep": // through every deadline
		x.reached <- struct{}{}
		<-x.block
	case msg == "block":
		x.reached <- struct{}{}
		select {
		case <-x.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case msg == "refuse":
		return nil, status.Error(codes.FailedPrecondition, "not here")
	case msg == "fill":
		msg = strings.Repeat("x", int(r.GetCount()))
	}
	if in, ok := baidustd.RequestAttachment(ctx); ok && len(in) > 0 && msg != "block" {
		baidustd.SetResponseAttachment(ctx, in)
	}
	return &datasyncpb.SendDataResponse{Response: &datasyncpb.GeneralResponse{Code: proto.Int32(0), Msg: &msg}}, nil
}

// ingest answers every batch with a credit of its size.
type ingest struct {
	omsyncpb.UnimplementedIngestServer
	hold chan struct{} // not nil: each message is held until it closes
	got  chan int
}

func (x *ingest) Stream(s omsyncpb.Ingest_StreamServer) error {
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		n := len(m.GetBatch().GetRows())
		if m.GetHello() != nil && m.GetHello().Endpoint == "panic" {
			panic("in stream")
		}
		if x.got != nil {
			x.got <- n
		}
		if x.hold != nil {
			select {
			case <-x.hold:
			case <-s.Context().Done():
				return s.Context().Err()
			}
		}
		if err := s.Send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Credit{Credit: &omsyncpb.Credit{Bytes: uint64(n)}}}); err != nil {
			return err
		}
	}
}

type running struct {
	*Server
	addr   string
	tool   *tool
	ingest *ingest
	stop   func()
}

func start(t testing.TB, o Options) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Server: New(o), addr: l.Addr().String(), ingest: &ingest{},
		tool: &tool{block: make(chan struct{}), reached: make(chan struct{}, 1000)}}
	datasyncpb.RegisterSyncToolServer(r.Server, r.tool)
	omsyncpb.RegisterIngestServer(r.Server, r.ingest)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, l) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Serve did not end")
		}
		if used := r.InFlight(); used != 0 {
			t.Errorf("%d bytes in flight after the end", used)
		}
		if n := r.doors.count(); n != 0 {
			t.Errorf("%d connections after the end", n)
		}
	}
	t.Cleanup(r.stop)
	return r
}

func grpcTo(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	c, err := client.Dial(addr, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func baiduTo(t testing.TB, addr string) *baidustd.Client {
	c := baidustd.NewClient(addr, baidustd.ClientOptions{})
	t.Cleanup(func() { c.Close() })
	return c
}

// browser returns an HTTP client of its own.
func browser(t testing.TB) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func send(ctx context.Context, cc grpc.ClientConnInterface, token string, opts ...grpc.CallOption) (string, error) {
	r, err := datasyncpb.NewSyncToolClient(cc).SendData(ctx, &datasyncpb.SendDataRequest{Token: &token}, opts...)
	return r.GetResponse().GetMsg(), err
}

// post calls SendData by HTTP/JSON.
func post(h *http.Client, addr, body string) (int, string, error) {
	r, err := h.Post("http://"+addr+"/openmldb.datasync.SyncTool/SendData", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

func get(t testing.TB, h *http.Client, addr, path string) (int, string) {
	t.Helper()
	r, err := h.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func eventually(t testing.TB, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}
