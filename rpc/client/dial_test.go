package client

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/rpc/omsyncpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type collector struct {
	omsyncpb.UnimplementedCollectorServer
}

// Status waits for the caller to give up and says how long it had.
func (collector) Status(ctx context.Context, _ *omsyncpb.CollectorStatusRequest) (*omsyncpb.CollectorStatusResponse, error) {
	if _, has := ctx.Deadline(); !has {
		return nil, status.Error(codes.Internal, "no deadline arrived")
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (collector) Holds(context.Context, *omsyncpb.HoldsRequest) (*omsyncpb.HoldsResponse, error) {
	return &omsyncpb.HoldsResponse{Holds: []*omsyncpb.Hold{{SnapshotName: string(make([]byte, 32<<20))}}}, nil
}

func serve(t *testing.T, addr string) (string, func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxSendMsgSize(MaxMessage))
	omsyncpb.RegisterCollectorServer(s, collector{})
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	stop := func() { s.Stop(); <-done }
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func dial(t *testing.T, addr string, o Options) omsyncpb.CollectorClient {
	t.Helper()
	c, err := Dial(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return omsyncpb.NewCollectorClient(c)
}

func TestEveryCallHasADeadline(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, "127.0.0.1:0")
	_, err := dial(t, addr, Options{CallTimeout: 50 * time.Millisecond}).Status(t.Context(), &omsyncpb.CollectorStatusRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

func TestLargeAnswers(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, "127.0.0.1:0")
	r, err := dial(t, addr, Options{}).Holds(t.Context(), &omsyncpb.HoldsRequest{})
	if err != nil || len(r.GetHolds()[0].GetSnapshotName()) != 32<<20 {
		t.Errorf("%v", err)
	}
}

func TestComesBackAfterARestart(t *testing.T) {
	t.Parallel()
	addr, stop := serve(t, "127.0.0.1:0")
	c := dial(t, addr, Options{})
	call := func() error { _, err := c.Holds(t.Context(), &omsyncpb.HoldsRequest{}); return err }
	if err := call(); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := call(); status.Code(err) != codes.Unavailable {
		t.Errorf("to a stopped server: %v", err)
	}
	serve(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if _, err := c.Holds(ctx, &omsyncpb.HoldsRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func TestBadAddresses(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"", "host", ":8848", "host:", "a:b:c", "http://x:1/"} {
		if c, err := Dial(addr, Options{}); err == nil {
			c.Close()
			t.Errorf("%q was taken", addr)
		}
	}
}
