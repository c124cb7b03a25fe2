package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/omsyncpb"
)

func TestFaultTravelsInAStatus(t *testing.T) {
	t.Parallel()
	want := &omsyncpb.Fault{Code: "no-collector", Reason: "no living collector on 10.0.0.3", Hint: "start data_collector there"}
	err := Error(codes.FailedPrecondition, want)
	// what a client gets: the status after its trip as a message
	back := status.FromProto(proto.CloneOf(status.Convert(err).Proto())).Err()
	for _, e := range []error{err, back, fmt.Errorf("create db.t: %w", back)} {
		got, ok := Of(e)
		if !ok || !proto.Equal(got, want) {
			t.Fatalf("Of(%v) = %v %v", e, got, ok)
		}
		if status.Code(e) != codes.FailedPrecondition {
			t.Fatalf("code of %v: %s", e, status.Code(e))
		}
	}
	if s := status.Convert(back).Message(); s != "no living collector on 10.0.0.3: start data_collector there" {
		t.Fatalf("message %q", s)
	}
}

func TestFromMakesAFaultOfAnyError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err          error
		code, reason string
	}{
		{status.Error(codes.DeadlineExceeded, "too late"), "deadline-exceeded", "too late"},
		{status.Error(codes.NotFound, "no task"), "not-found", "no task"},
		{errors.New("boom"), "unknown", "boom"},
		{fmt.Errorf("read: %w", context.Canceled), "canceled", "read: context canceled"},
		{New(codes.Aborted, "fenced", "epoch 3 leads", ""), "fenced", "epoch 3 leads"},
	} {
		if f := From(c.err); f.Code != c.code || f.Reason != c.reason {
			t.Errorf("From(%v) = %v, want %s, %q", c.err, f, c.code, c.reason)
		}
	}
	if From(nil) != nil {
		t.Error("From(nil) is a fault")
	}
}
