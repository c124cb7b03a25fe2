package synctool

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"omsync/rpc/omsyncpb"
)

// api is omsync.v1.SyncTool.
type api struct {
	omsyncpb.UnimplementedSyncToolServer
	tool *Synctool
}

func (a *api) Create(ctx context.Context, r *omsyncpb.CreateRequest) (*omsyncpb.CreateResponse, error) {
	t, err := a.tool.leading()
	if err != nil {
		return nil, err
	}
	d, err := t.create(ctx, r)
	if err != nil {
		return nil, a.tool.reply(err)
	}
	return &omsyncpb.CreateResponse{TaskId: d.spec.ID, Warnings: d.warnings}, nil
}

func (a *api) Preflight(ctx context.Context, r *omsyncpb.CreateRequest) (*omsyncpb.PreflightResponse, error) {
	t, err := a.tool.leading()
	if err != nil {
		return nil, err
	}
	d := t.draft(ctx, r)
	out := &omsyncpb.PreflightResponse{Warnings: d.warnings, Partitions: d.plans}
	for _, p := range d.problems {
		out.Problems = append(out.Problems, p.fault())
	}
	if d.files != nil {
		if err := d.files.Close(); err != nil {
			t.log.Warn("close destination", "dest", r.GetDest(), "err", err)
		}
	}
	return out, nil
}

func (a *api) Delete(ctx context.Context, r *omsyncpb.DeleteRequest) (*omsyncpb.DeleteResponse, error) {
	t, err := a.tool.leading()
	if err != nil {
		return nil, err
	}
	k, err := t.remove(ctx, r.GetDb(), r.GetTable())
	if err != nil {
		return nil, a.tool.reply(err)
	}
	return &omsyncpb.DeleteResponse{TaskId: k.spec.ID}, nil
}

func (a *api) Recover(ctx context.Context, r *omsyncpb.RecoverRequest) (*omsyncpb.RecoverResponse, error) {
	t, err := a.tool.leading()
	if err != nil {
		return nil, err
	}
	n, err := t.recover(ctx, r)
	if err != nil {
		return nil, a.tool.reply(err)
	}
	return &omsyncpb.RecoverResponse{Recovered: n}, nil
}

func (a *api) List(ctx context.Context, r *omsyncpb.ListRequest) (*omsyncpb.ListResponse, error) {
	t, err := a.tool.leading()
	if err != nil {
		return nil, err
	}
	match := func(db, table string) bool {
		return (r.GetDb() == "" || r.GetDb() == db) && (r.GetTable() == "" || r.GetTable() == table)
	}
	if !r.GetFinished() {
		return t.list(func(k *task) bool { return match(k.spec.DB, k.spec.Table) }), nil
	}
	ended, err := t.store.Finished(ctx)
	if err != nil {
		return nil, a.tool.reply(fmt.Errorf("read the records of ended tasks: %w", err))
	}
	out := &omsyncpb.ListResponse{Epoch: t.epoch, Leader: t.o.Advertise, AtMs: t.o.Wall().UnixMilli()}
	for i := range ended {
		if match(ended[i].Spec.DB, ended[i].Spec.Table) {
			out.Tasks = append(out.Tasks, finishedView(&ended[i]))
		}
	}
	return out, nil
}

// Bounds of Watch's interval.
const (
	leastInterval   = 100 * time.Millisecond
	defaultInterval = time.Second
	mostInterval    = time.Minute
)

// Watch sends everything, then everything again whenever something changed, at most once per interval. Rates and lags move by themselves, so
// with rows under way there is an event per interval.
func (a *api) Watch(r *omsyncpb.WatchRequest, stream omsyncpb.SyncTool_WatchServer) error {
	t, err := a.tool.leading()
	if err != nil {
		return err
	}
	interval := defaultInterval
	if ms := r.GetIntervalMs(); ms > 0 {
		interval = min(max(time.Duration(ms)*time.Millisecond, leastInterval), mostInterval)
	}
	pace := time.NewTimer(0)
	defer pace.Stop()
	for {
		changed := t.changes.wait()
		l := t.list(func(*task) bool { return true })
		if err := stream.Send(&omsyncpb.WatchEvent{Snapshot: l}); err != nil {
			return err
		}
		pace.Reset(interval)
		select {
		case <-pace.C:
		case <-stream.Context().Done():
			return nil
		case <-t.ctx.Done():
			return a.tool.notLeading()
		}
		if moving(l) {
			continue
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		case <-t.ctx.Done():
			return a.tool.notLeading()
		}
	}
}

// moving tells that figures change though nothing happens: a rate decays, a lag grows.
func moving(l *omsyncpb.ListResponse) bool {
	for _, k := range l.GetTasks() {
		for _, s := range k.GetSubtasks() {
			if s.GetRowsPerS() > 0 || s.GetLagMs() > 0 {
				return true
			}
		}
	}
	return false
}

func (a *api) Collectors(context.Context, *omsyncpb.CollectorsRequest) (*omsyncpb.CollectorsResponse, error) {
	t, err := a.tool.leading()
	if err != nil {
		return nil, err
	}
	return &omsyncpb.CollectorsResponse{Collectors: t.collectors()}, nil
}

// leading returns the term, or the error that names who leads.
func (s *Synctool) leading() (*term, error) {
	if t := s.term.Load(); t != nil && t.ctx.Err() == nil {
		return t, nil
	}
	return nil, s.notLeading()
}

func (s *Synctool) notLeading() error {
	leader := ""
	if s.cluster != nil {
		leader = s.cluster.LeaderAddress()
	}
	r := &refusal{codes.FailedPrecondition, "not-leading", "this synctool stands by", "no synctool leads at the moment: try again soon"}
	if leader != "" && leader != s.o.Advertise {
		r.hint = "ask the leader, " + leader
	} else if leader == s.o.Advertise {
		r.reason, r.hint = "this synctool is about to lead", "try again soon"
	}
	return r.asError()
}
