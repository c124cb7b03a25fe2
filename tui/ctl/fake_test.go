package ctl

import (
	"context"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
)

// fake is a synctool that says what it is told to.
type fake struct {
	omsyncpb.UnimplementedSyncToolServer
	mu         sync.Mutex
	tasks      *omsyncpb.ListResponse
	finished   *omsyncpb.ListResponse
	collectors *omsyncpb.CollectorsResponse
	preflight  *omsyncpb.PreflightResponse
	warnings   []string
	refuse     error
	mute       bool
	play       []string // states of the created task, one per look; the last one stays; GONE: no such task; ENDED: finished with SUCCESS
	asked      string   // last request
}

func newFake() *fake {
	return &fake{tasks: &omsyncpb.ListResponse{}, finished: &omsyncpb.ListResponse{}, collectors: &omsyncpb.CollectorsResponse{}, preflight: &omsyncpb.PreflightResponse{}}
}

var grpcCodes = map[string]codes.Code{
	"FAILED_PRECONDITION": codes.FailedPrecondition, "NOT_FOUND": codes.NotFound, "ALREADY_EXISTS": codes.AlreadyExists,
	"INVALID_ARGUMENT": codes.InvalidArgument, "INTERNAL": codes.Internal, "UNAVAILABLE": codes.Unavailable,
	"UNIMPLEMENTED": codes.Unimplemented, "RESOURCE_EXHAUSTED": codes.ResourceExhausted,
}

func refusal(ts *testscript.TestScript, args []string) error {
	code, ok := grpcCodes[args[0]]
	if !ok || len(args) < 3 {
		ts.Fatalf("fake refuse CODE fault reason [hint]")
	}
	return fault.New(code, args[1], args[2], strings.Join(args[3:], " "))
}

// take notes a request and says whether to refuse it.
func (f *fake) take(ctx context.Context, q proto.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = strings.ReplaceAll(prototext.MarshalOptions{Multiline: false}.Format(q), "  ", " ")
	if f.mute {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return ctx.Err()
	}
	return f.refuse
}

func (f *fake) Create(ctx context.Context, q *omsyncpb.CreateRequest) (*omsyncpb.CreateResponse, error) {
	if err := f.take(ctx, q); err != nil {
		return nil, err
	}
	return &omsyncpb.CreateResponse{TaskId: "t-1", Warnings: f.warnings}, nil
}

func (f *fake) Delete(ctx context.Context, q *omsyncpb.DeleteRequest) (*omsyncpb.DeleteResponse, error) {
	if err := f.take(ctx, q); err != nil {
		return nil, err
	}
	return &omsyncpb.DeleteResponse{TaskId: "t-1"}, nil
}

func (f *fake) Recover(ctx context.Context, q *omsyncpb.RecoverRequest) (*omsyncpb.RecoverResponse, error) {
	if err := f.take(ctx, q); err != nil {
		return nil, err
	}
	return &omsyncpb.RecoverResponse{Recovered: uint32(len(q.GetPids()))}, nil
}

func (f *fake) Preflight(ctx context.Context, q *omsyncpb.CreateRequest) (*omsyncpb.PreflightResponse, error) {
	if err := f.take(ctx, q); err != nil {
		return nil, err
	}
	return f.preflight, nil
}

func (f *fake) Collectors(ctx context.Context, q *omsyncpb.CollectorsRequest) (*omsyncpb.CollectorsResponse, error) {
	if err := f.take(ctx, q); err != nil {
		return nil, err
	}
	return f.collectors, nil
}

func (f *fake) List(ctx context.Context, q *omsyncpb.ListRequest) (*omsyncpb.ListResponse, error) {
	if err := f.take(ctx, q); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.play) > 0 {
		return f.next(q.GetFinished()), nil
	}
	from := f.tasks
	if q.GetFinished() {
		from = f.finished
	}
	out := &omsyncpb.ListResponse{}
	for _, t := range from.GetTasks() {
		if q.GetTable() == "" || q.GetTable() == t.GetTable() && q.GetDb() == t.GetDb() {
			out.Tasks = append(out.Tasks, t)
		}
	}
	return out, nil
}

// next plays the created task's life. Looks at finished tasks do not move it on.
func (f *fake) next(finished bool) *omsyncpb.ListResponse {
	now := f.play[0]
	v := &omsyncpb.TaskView{TaskId: "t-1", Db: "demo", Table: "orders", State: now}
	switch {
	case finished && now == "ENDED":
		v.State = "SUCCESS"
		return &omsyncpb.ListResponse{Tasks: []*omsyncpb.TaskView{v}}
	case finished || now == "ENDED" || now == "GONE":
		return &omsyncpb.ListResponse{}
	}
	if len(f.play) > 1 {
		f.play = f.play[1:]
	}
	one := &omsyncpb.SubtaskView{State: now}
	if now == "FAILED" {
		one.Fault = &omsyncpb.Fault{Code: "dest-write", Reason: "no space left at the destination", Hint: "make room, then recover"}
	}
	v.Subtasks = []*omsyncpb.SubtaskView{one}
	return &omsyncpb.ListResponse{Tasks: []*omsyncpb.TaskView{v}}
}
