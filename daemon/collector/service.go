package collector

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/datasyncpb"
	"omsync/openmldb/tablet"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
)

// service is omsync.v1.Collector.
type service struct {
	omsyncpb.UnimplementedCollectorServer
	c *Collector
}

// AddTask checks that the partition can be read here, stores the assignment and starts it.
func (s *service) AddTask(ctx context.Context, q *omsyncpb.AddTaskRequest) (*omsyncpb.AddTaskResponse, error) {
	a := q.GetAssignment()
	if err := checkAssignment(a); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if has := s.c.reg.has(placeOf(a.GetKey())); has.GetToken() == a.GetToken() {
		return &omsyncpb.AddTaskResponse{}, nil
	}
	src, err := s.look(ctx, a)
	if err != nil {
		t := classify(partitionName(a)+" on "+a.GetTabletEndpoint(), err)
		s.c.log.Warn("assignment is refused", "table", tableName(a), "partition", a.GetKey().GetPid(), "code", t.fault.GetCode(), "reason", t.fault.GetReason())
		return nil, fault.Error(codes.FailedPrecondition, t.fault)
	}
	st := stored{proto.Clone(a).(*omsyncpb.Assignment), src}
	if err := s.c.reg.add(st); err != nil {
		if errors.Is(err, errNotRunning) {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		var stale *staleError
		if errors.As(err, &stale) {
			return nil, status.Error(codes.Aborted, err.Error())
		}
		return nil, fault.Error(codes.FailedPrecondition, classify(partitionName(a)+": store the assignment", err).fault)
	}
	s.c.log.Info("subtask is assigned", "table", tableName(a), "partition", a.GetKey().GetPid(), "mode", a.GetMode(), "tablet", a.GetTabletEndpoint(),
		"epoch", a.GetEpoch(), "token", maskedToken(a.GetToken()))
	return &omsyncpb.AddTaskResponse{}, nil
}

// look asks the tablet about a partition and tries whether its files can be linked. nil without error: the tablet is still loading it, or does not
// answer though this collector holds what is needed to go on.
func (s *service) look(ctx context.Context, a *omsyncpb.Assignment) (*source, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.o.RequestTimeout)
	defer cancel()
	src, err := s.c.sourceOf(ctx, a)
	switch {
	case errors.Is(err, tablet.ErrLoading):
		return nil, nil
	case err != nil && tablet.Unreachable(err):
		old, rerr := readStored(s.c.o.Files, s.c.reg.dir(placeOf(a.GetKey())))
		if rerr == nil && old.Source != nil && old.Assignment.GetGeneration() == a.GetGeneration() {
			return old.Source, nil
		}
		return nil, err
	case err != nil:
		return nil, err
	}
	if err := s.c.tryLink(src); err != nil && !errors.Is(err, errNothingToLink) {
		return nil, err
	}
	return src, nil
}

// RemoveTask drops a subtask and its links.
func (s *service) RemoveTask(_ context.Context, q *omsyncpb.RemoveTaskRequest) (*omsyncpb.RemoveTaskResponse, error) {
	if err := s.c.reg.remove(q.GetKey(), q.GetToken()); err != nil {
		return nil, fault.Error(codes.Internal, classify("drop partition "+placeOf(q.GetKey()).String(), err).fault)
	}
	return &omsyncpb.RemoveTaskResponse{}, nil
}

// Keep takes over which logs are to be held for subtasks of other collectors.
func (s *service) Keep(_ context.Context, q *omsyncpb.KeepRequest) (*omsyncpb.KeepResponse, error) {
	for _, h := range q.GetHolds() {
		if h.GetKey().GetTaskId() == "" || h.GetTabletAddress() == "" {
			return nil, status.Error(codes.InvalidArgument, "a standby hold names no task or no tablet")
		}
	}
	err := s.c.reg.keep(q)
	var stale *staleRound
	switch {
	case errors.Is(err, errNotRunning):
		return nil, status.Error(codes.Unavailable, err.Error())
	case errors.As(err, &stale):
		return nil, status.Error(codes.Aborted, err.Error())
	case err != nil:
		return nil, fault.Error(codes.Internal, classify("keep logs for other collectors", err).fault)
	}
	return &omsyncpb.KeepResponse{}, nil
}

// Status shows every subtask.
func (s *service) Status(context.Context, *omsyncpb.CollectorStatusRequest) (*omsyncpb.CollectorStatusResponse, error) {
	out := &omsyncpb.CollectorStatusResponse{Endpoint: s.c.o.Endpoint, Version: s.c.o.Version, Active: s.c.active()}
	for _, one := range s.c.reg.all() {
		out.Subtasks = append(out.Subtasks, one.view())
	}
	return out, nil
}

// Holds shows what is kept alive.
func (s *service) Holds(context.Context, *omsyncpb.HoldsRequest) (*omsyncpb.HoldsResponse, error) {
	out := &omsyncpb.HoldsResponse{BudgetBytes: uint64(s.c.o.HoldBudget)}
	for _, one := range s.c.reg.all() {
		h, err := one.held()
		if err != nil {
			return nil, fault.Error(codes.Internal, classify(partitionName(one.a)+": look at the links", err).fault)
		}
		out.Holds = append(out.Holds, h)
		out.HeldBytes += h.GetBytes()
	}
	for _, k := range s.c.reg.standbys() {
		h, err := k.held()
		if err != nil {
			return nil, fault.Error(codes.Internal, classify(k.name()+": look at the links", err).fault)
		}
		out.Holds = append(out.Holds, h)
		out.HeldBytes += h.GetBytes()
	}
	return out, nil
}

// foreign is upstream's DataCollector service: an upstream SyncTool assigns by it.
type foreign struct {
	datasyncpb.UnimplementedDataCollectorServer
}

// AddSyncTask is refused: two synctools on one table would each export half.
func (foreign) AddSyncTask(context.Context, *datasyncpb.AddSyncTaskRequest) (*datasyncpb.GeneralResponse, error) {
	return &datasyncpb.GeneralResponse{Code: proto.Int32(-1), Msg: proto.String("serves omsync only: migrate the synctool first")}, nil
}

// client is a connection to the tablet of an assignment. Where ZooKeeper has another address for it by now, that is taken.
func (c *Collector) client(a *omsyncpb.Assignment) (*tablet.Client, error) {
	address := a.GetTabletAddress()
	if now := c.cluster.Resolve(a.GetTabletEndpoint()); now != a.GetTabletEndpoint() && strings.Contains(now, ":") {
		address = now
	}
	return c.tablets.At(address)
}

// statusOf asks for the partition's state.
func (c *Collector) statusOf(ctx context.Context, a *omsyncpb.Assignment) (*apipb.TableStatus, error) {
	t, err := c.client(a)
	if err != nil {
		return nil, err
	}
	return t.Status(ctx, a.GetKey().GetTid(), a.GetKey().GetPid())
}

// sourceOf asks where a partition lies and for its schema. The error tells when it can not be read.
func (c *Collector) sourceOf(ctx context.Context, a *omsyncpb.Assignment) (*source, error) {
	st, err := c.statusOf(ctx, a)
	if err != nil {
		return nil, err
	}
	if err := tablet.Ready(st); err != nil {
		return nil, err
	}
	t, err := c.client(a)
	if err != nil {
		return nil, err
	}
	meta, err := t.Schema(ctx, a.GetKey().GetTid(), a.GetKey().GetPid())
	if err != nil {
		return nil, err
	}
	return &source{Snapshots: filepath.Clean(st.GetSnapshotPath()), Logs: filepath.Clean(st.GetBinlogPath()), Meta: meta}, nil
}
