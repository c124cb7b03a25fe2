package tabletsim

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
)

// Return codes of upstream (formats.md §2.6).
const (
	codeOK         = 0
	codeError      = -1
	codeNoTable    = 100
	codeNoFollower = 134
)

// service answers as a TabletServer of 0.9.x.
type service struct {
	apipb.UnimplementedTabletServerServer
	t *Tablet
}

func (s service) GetTableStatus(_ context.Context, r *apipb.GetTableStatusRequest) (*apipb.GetTableStatusResponse, error) {
	out := &apipb.GetTableStatusResponse{Code: proto.Int32(codeOK)}
	for _, p := range s.t.Partitions() {
		if (r.Tid != nil && r.GetTid() != p.TID) || (r.Pid != nil && r.GetPid() != p.PID) {
			continue
		}
		if st := p.Status(s.t.opts.OldPaths); st != nil {
			out.AllTableStatus = append(out.AllTableStatus, st)
		}
	}
	return out, nil
}

func (s service) GetTableSchema(_ context.Context, r *apipb.GetTableSchemaRequest) (*apipb.GetTableSchemaResponse, error) {
	p, ok := s.t.Partition(uint32(r.GetTid()), uint32(r.GetPid()))
	if !ok {
		return &apipb.GetTableSchemaResponse{Code: proto.Int32(codeNoTable), Msg: proto.String("table is not exist")}, nil
	}
	return &apipb.GetTableSchemaResponse{Code: proto.Int32(codeOK), TableMeta: p.Meta()}, nil
}

func (s service) GetManifest(_ context.Context, r *apipb.GetManifestRequest) (*apipb.GetManifestResponse, error) {
	p, ok := s.t.Partition(r.GetTid(), r.GetPid())
	if !ok {
		return &apipb.GetManifestResponse{Code: proto.Int32(codeNoTable), Msg: proto.String("table is not exist")}, nil
	}
	m, err := p.Manifest()
	if err != nil {
		return &apipb.GetManifestResponse{Code: proto.Int32(codeError), Msg: proto.String(err.Error())}, nil
	}
	if m == nil {
		m = &apipb.Manifest{Offset: proto.Uint64(0)}
	}
	return &apipb.GetManifestResponse{Code: proto.Int32(codeOK), Manifest: m}, nil
}

func (s service) GetTableFollower(_ context.Context, r *apipb.GetTableFollowerRequest) (*apipb.GetTableFollowerResponse, error) {
	p, ok := s.t.Partition(r.GetTid(), r.GetPid())
	if !ok {
		return &apipb.GetTableFollowerResponse{Code: proto.Int32(codeNoTable), Msg: proto.String("table is not exist")}, nil
	}
	fs := p.Followers()
	if len(fs) == 0 {
		return &apipb.GetTableFollowerResponse{Code: proto.Int32(codeNoFollower), Msg: proto.String("has no follower")}, nil
	}
	out := &apipb.GetTableFollowerResponse{Code: proto.Int32(codeOK), Offset: proto.Uint64(p.Last())}
	for f, pos := range fs {
		out.FollowerInfo = append(out.FollowerInfo, &apipb.FollowerInfo{Endpoint: proto.String(f.Endpoint()), Offset: &pos})
	}
	return out, nil
}

func (s service) GetTermPair(_ context.Context, r *apipb.GetTermPairRequest) (*apipb.GetTermPairResponse, error) {
	p, ok := s.t.Partition(r.GetTid(), r.GetPid())
	out := &apipb.GetTermPairResponse{Code: proto.Int32(codeOK), HasTable: &ok}
	if ok {
		out.Term, out.Offset, out.IsLeader = proto.Uint64(p.Term()), proto.Uint64(p.Last()), proto.Bool(p.Leads())
	}
	return out, nil
}

func (s service) MakeSnapshot(_ context.Context, r *apipb.GeneralRequest) (*apipb.GeneralResponse, error) {
	p, ok := s.t.Partition(uint32(r.GetTid()), uint32(r.GetPid()))
	if !ok {
		return &apipb.GeneralResponse{Code: proto.Int32(codeNoTable), Msg: proto.String("table is not exist")}, nil
	}
	if r.GetOffset() > 0 {
		return &apipb.GeneralResponse{Code: proto.Int32(codeError), Msg: proto.String("disk table does not support offset")}, nil
	}
	if _, err := p.Snapshot(); err != nil {
		return &apipb.GeneralResponse{Code: proto.Int32(codeError), Msg: proto.String(fmt.Sprint(err))}, nil
	}
	return &apipb.GeneralResponse{Code: proto.Int32(codeOK)}, nil
}
