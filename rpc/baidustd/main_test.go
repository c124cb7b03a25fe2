package baidustd

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/baidustd/metapb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// syncTool answers SendData by its token; what it gets as an attachment it sends back.
type syncTool struct {
	datasyncpb.UnimplementedSyncToolServer
	block   chan struct{} // "block" waits for it to close, or for the context
	reached chan struct{} // one value per blocked call
}

func (s *syncTool) SendData(ctx context.Context, r *datasyncpb.SendDataRequest) (*datasyncpb.SendDataResponse, error) {
	token := r.GetToken()
	switch {
	case token == "panic":
		panic("on request")
	case token == "ok!":
		return &datasyncpb.SendDataResponse{Response: &datasyncpb.GeneralResponse{Code: proto.Int32(0)}}, nil
	case token == "nil":
		return nil, nil
	case token == "not-found":
		return nil, status.Error(codes.NotFound, "no such subtask")
	case token == "sleep":
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	case token == "block":
		s.reached <- struct{}{}
		select {
		case <-s.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case strings.HasPrefix(token, "fill"):
		SetResponseAttachment(ctx, make([]byte, r.GetCount()))
	default:
		if in, ok := RequestAttachment(ctx); ok && len(in) > 0 {
			SetResponseAttachment(ctx, append([]byte("got "), in...))
		}
	}
	return &datasyncpb.SendDataResponse{Response: &datasyncpb.GeneralResponse{Code: proto.Int32(0), Msg: r.Token}}, nil
}

// collector is called by the short name DataCollector.
type collector struct {
	datasyncpb.UnimplementedDataCollectorServer
}

func (collector) AddSyncTask(context.Context, *datasyncpb.AddSyncTaskRequest) (*datasyncpb.GeneralResponse, error) {
	return &datasyncpb.GeneralResponse{}, nil
}

type running struct {
	*Server
	addr string
	stop func() // ends Serve and waits for it
	tool *syncTool
}

func start(t *testing.T, o ServerOptions) *running {
	t.Helper()
	return startOn(t, o, "127.0.0.1:0")
}

func startOn(t *testing.T, o ServerOptions, addr string) *running {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	tool := &syncTool{block: make(chan struct{}), reached: make(chan struct{}, 100)}
	s := NewServer(o)
	datasyncpb.RegisterSyncToolServer(s, tool)
	datasyncpb.RegisterDataCollectorServer(s, collector{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	var stopped bool
	stop := func() {
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
		case <-time.After(20 * time.Second):
			t.Error("Serve did not end")
		}
	}
	t.Cleanup(stop)
	return &running{Server: s, addr: l.Addr().String(), stop: stop, tool: tool}
}

func dial(t *testing.T, addr string, o ClientOptions) *Client {
	t.Helper()
	c := NewClient(addr, o)
	t.Cleanup(func() { c.Close() })
	return c
}

func send(ctx context.Context, c *Client, token string, opts ...grpc.CallOption) (string, error) {
	r, err := datasyncpb.NewSyncToolClient(c).SendData(ctx, &datasyncpb.SendDataRequest{Token: &token}, opts...)
	return r.GetResponse().GetMsg(), err
}

// rawFrame encodes a frame as a peer would.
func rawFrame(t testing.TB, service, method string, cid int64, msg proto.Message, attachment []byte) []byte {
	t.Helper()
	meta := &metapb.RpcMeta{CorrelationId: &cid, Request: &metapb.RpcRequestMeta{ServiceName: &service, MethodName: &method}}
	bufs, err := encodeFrame(meta, msg, attachment)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, one := range bufs {
		b = append(b, one...)
	}
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
