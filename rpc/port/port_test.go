package port

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/baidustd"
	"omsync/rpc/omsyncpb"
)

// All three protocols at once on one port, many callers each, and not a byte left in flight.
func TestThreeProtocolsOnOnePort(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	g, b, h := grpcTo(t, s.addr), baiduTo(t, s.addr), browser(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 40 {
				token := fmt.Sprintf("t%d-%d", i, j)
				if got, err := send(t.Context(), g, token); err != nil || got != token {
					t.Errorf("grpc %s: %q %v", token, got, err)
				}
				in := bytes.Repeat([]byte(token), j*50)
				var out []byte
				if got, err := send(t.Context(), b, token, baidustd.Attach(in), baidustd.Attachment(&out)); err != nil || got != token || !bytes.Equal(in, out) {
					t.Errorf("baidu_std %s: %q %v, %d bytes back of %d", token, got, err, len(out), len(in))
				}
				want := "{\n  \"response\": {\n    \"code\": 0,\n    \"msg\": \"" + token + "\"\n  }\n}"
				if code, got, err := post(h, s.addr, `{"token":"`+token+`"}`); err != nil || code != 200 || got != want {
					t.Errorf("http %s: %d %q %v", token, code, got, err)
				}
			}
		})
	}
	wg.Go(func() {
		stream, err := omsyncpb.NewIngestClient(g).Stream(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		rows := make([]byte, 1<<20)
		for range 50 {
			if err := stream.Send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{Batch: &omsyncpb.Batch{Rows: rows}}}); err != nil {
				t.Error(err)
				return
			}
			if m, err := stream.Recv(); err != nil || m.GetCredit().GetBytes() != 1<<20 {
				t.Errorf("stream: %v %v", m, err)
				return
			}
		}
		stream.CloseSend()
		stream.Recv()
	})
	wg.Wait()
	eventually(t, func() bool { return s.InFlight() == 0 }, "bytes in flight when nothing is under way")
	_, text := get(t, h, s.addr, "/status")
	if !strings.Contains(text, "/openmldb.datasync.SyncTool/SendData  960  ") || !strings.Contains(text, "/omsync.v1.Ingest/Stream              1  ") {
		t.Errorf("status:\n%s", text)
	}
}

func TestSixteenMiBAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	n := uint64(16 << 20)
	for name, cc := range map[string]grpc.ClientConnInterface{"grpc": grpcTo(t, s.addr), "baidu_std": baiduTo(t, s.addr)} {
		r, err := datasyncpb.NewSyncToolClient(cc).SendData(t.Context(), &datasyncpb.SendDataRequest{Token: proto.String("fill"), Count: &n})
		if err != nil || len(r.GetResponse().GetMsg()) != int(n) {
			t.Errorf("%s: %v, %d bytes", name, err, len(r.GetResponse().GetMsg()))
		}
	}
	code, body, err := post(browser(t), s.addr, `{"token":"fill","count":16777216}`)
	if err != nil || code != 200 || len(body) < int(n) {
		t.Errorf("http: %d %v, %d bytes", code, err, len(body))
	}
}

// The largest row there may be, 64 MiB, goes through a stream.
func TestTheLargestRow(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	stream, err := omsyncpb.NewIngestClient(grpcTo(t, s.addr)).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := &omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{Batch: &omsyncpb.Batch{Rows: make([]byte, 64<<20)}}}
	for range 2 {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
		if r, err := stream.Recv(); err != nil || r.GetCredit().GetBytes() != 64<<20 {
			t.Fatal(err)
		}
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream goes on")
	}
}

func TestPanicsBecomeErrors(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Pages: Pages{Status: nil, Health: func(context.Context) []string { panic("in page") }}})
	g, b, h := grpcTo(t, s.addr), baiduTo(t, s.addr), browser(t)
	if _, err := send(t.Context(), g, "panic"); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "on request") {
		t.Errorf("grpc: %v", err)
	}
	if _, err := send(t.Context(), b, "panic"); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "2001") {
		t.Errorf("baidu_std: %v", err)
	}
	if code, body, err := post(h, s.addr, `{"token":"panic"}`); err != nil || code != 500 || !strings.Contains(body, "on request") {
		t.Errorf("http: %d %q %v", code, body, err)
	}
	if code, body := get(t, h, s.addr, "/health"); code != 500 || !strings.Contains(body, "in page") {
		t.Errorf("page: %d %q", code, body)
	}
	stream, err := omsyncpb.NewIngestClient(g).Stream(t.Context())
	if err == nil {
		stream.Send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Hello{Hello: &omsyncpb.Hello{Endpoint: "panic"}}})
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "in stream") {
		t.Errorf("stream: %v", err)
	}
	if n := s.calls.panics.Load(); n != 5 {
		t.Errorf("%d panics counted", n)
	}
	if _, err := send(t.Context(), g, "fine"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A handler that sleeps through its deadline is answered for, and what it holds stays counted until it ends.
func TestServerSideDeadline(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Caps: Caps{CallTimeout: 50 * time.Millisecond}})
	g, b, h := grpcTo(t, s.addr), baiduTo(t, s.addr), browser(t)
	for _, token := range []string{"block", "sleep"} {
		if _, err := send(t.Context(), g, token); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("grpc %s: %v", token, err)
		}
		if _, err := send(t.Context(), b, token); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("baidu_std %s: %v", token, err)
		}
		if code, body, err := post(h, s.addr, `{"token":"`+token+`"}`); err != nil || code != 504 {
			t.Errorf("http %s: %d %q %v", token, code, body, err)
		}
	}
	eventually(t, func() bool { return s.calls.abandoned.Load() == 3 }, "abandoned calls are not counted")
	if s.InFlight() == 0 {
		t.Error("the sleeping handlers hold nothing")
	}
	close(s.tool.block)
	eventually(t, func() bool { return s.InFlight() == 0 }, "they hold bytes after their end")
}

func TestClientsShorterDeadlineWins(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	defer close(s.tool.block)
	for name, cc := range map[string]grpc.ClientConnInterface{"grpc": grpcTo(t, s.addr), "baidu_std": baiduTo(t, s.addr)} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := send(ctx, cc, "block")
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
	}
	eventually(t, func() bool { return s.InFlight() == 0 }, "the handlers did not learn of it")
}

func TestUnknownServices(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for name, cc := range map[string]grpc.ClientConnInterface{"grpc": grpcTo(t, s.addr), "baidu_std": baiduTo(t, s.addr)} {
		for _, m := range []string{"/openmldb.datasync.Nope/SendData", "/openmldb.datasync.SyncTool/Nope"} {
			err := cc.Invoke(t.Context(), m, &datasyncpb.SendDataRequest{}, &datasyncpb.SendDataResponse{})
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%s %s: %v", name, m, err)
			}
		}
	}
}

func TestStopEndsStreamsAndLetsCallsFinish(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	g, b, h := grpcTo(t, s.addr), baiduTo(t, s.addr), browser(t)
	stream, err := omsyncpb.NewIngestClient(g).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 3)
	go func() { _, err := send(t.Context(), g, "block"); results <- err }()
	go func() { _, err := send(t.Context(), b, "block"); results <- err }()
	go func() {
		code, body, err := post(h, s.addr, `{"token":"block"}`)
		if err == nil && code != 200 {
			err = fmt.Errorf("%d %s", code, body)
		}
		results <- err
	}()
	for range 3 {
		<-s.tool.reached
	}
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("stream: %v", err)
	}
	select {
	case <-stopped:
		t.Error("stopped under running calls")
	case <-time.After(30 * time.Millisecond):
	}
	close(s.tool.block)
	for range 3 {
		if err := <-results; err != nil {
			t.Errorf("running call: %v", err)
		}
	}
	<-stopped
}

func TestStopCancelsWhatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Grace: 20 * time.Millisecond})
	g, b, h := grpcTo(t, s.addr), baiduTo(t, s.addr), browser(t)
	results := make(chan error, 3)
	go func() { _, err := send(t.Context(), g, "block"); results <- err }()
	go func() { _, err := send(t.Context(), b, "block"); results <- err }()
	go func() { _, _, err := post(h, s.addr, `{"token":"block"}`); results <- err }()
	for range 3 {
		<-s.tool.reached
	}
	s.stop()
	for range 3 {
		if err := <-results; err == nil {
			t.Error("a call was answered")
		}
	}
}

func BenchmarkPort(b *testing.B) {
	s := start(b, Options{})
	g, p := grpcTo(b, s.addr), baiduTo(b, s.addr)
	for name, cc := range map[string]grpc.ClientConnInterface{"grpc": g, "baidu_std": p} {
		b.Run(name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := send(context.Background(), cc, "x"); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	b.Run("stream 1MiB", func(b *testing.B) {
		stream, err := omsyncpb.NewIngestClient(g).Stream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		m := &omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{Batch: &omsyncpb.Batch{Rows: make([]byte, 1<<20)}}}
		b.SetBytes(1 << 20)
		go func() {
			for {
				if _, err := stream.Recv(); err != nil {
					return
				}
			}
		}()
		for b.Loop() {
			if err := stream.Send(m); err != nil {
				b.Fatal(err)
			}
		}
		stream.CloseSend()
	})
}
