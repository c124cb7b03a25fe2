package synctool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
)

// helper is openmldb.datasync.SyncTool, what upstream's synctool_helper.py and its users know (formats.md §6.3, §7). Refusals are answers
// with code -1, never RPC errors.
type helper struct {
	datasyncpb.UnimplementedSyncToolServer
	tool *Synctool
}

func good() *datasyncpb.GeneralResponse {
	return &datasyncpb.GeneralResponse{Code: proto.Int32(0)}
}

func bad(err error) *datasyncpb.GeneralResponse {
	text := err.Error()
	if f, ok := fault.Of(err); ok {
		text = fault.Text(f)
	}
	return &datasyncpb.GeneralResponse{Code: proto.Int32(-1), Msg: proto.String(text)}
}

func (h *helper) CreateSyncTask(ctx context.Context, r *datasyncpb.CreateSyncTaskRequest) (*datasyncpb.GeneralResponse, error) {
	t, err := h.tool.leading()
	if err != nil {
		return bad(err), nil
	}
	req := &omsyncpb.CreateRequest{Db: r.GetDb(), Table: r.GetName(), StartTs: int64(r.GetStartTs()), Dest: r.GetDest()}
	if r.Mode != nil {
		req.Mode = proto.Int32(int32(r.GetMode()))
	}
	if _, err := t.create(ctx, req); err != nil {
		return bad(h.tool.reply(err)), nil
	}
	return good(), nil
}

// DeleteSyncTask: no task is no error if there is such a table, as upstream.
func (h *helper) DeleteSyncTask(ctx context.Context, r *datasyncpb.DeleteSyncTaskRequest) (*datasyncpb.GeneralResponse, error) {
	t, err := h.tool.leading()
	if err != nil {
		return bad(err), nil
	}
	_, err = t.remove(ctx, r.GetDb(), r.GetName())
	var no *refusal
	if errors.As(err, &no) && no.status == codes.NotFound {
		if _, ok := t.world.Table(r.GetDb(), r.GetName()); ok {
			return good(), nil
		}
		return bad(fmt.Errorf("there is neither a task for %s.%s nor such a table", r.GetDb(), r.GetName())), nil
	}
	if err != nil {
		return bad(h.tool.reply(err)), nil
	}
	return good(), nil
}

// TaskStatus lists every subtask. Tokens are shown as their first 8 characters: the whole one would let anybody send rows.
func (h *helper) TaskStatus(ctx context.Context, r *datasyncpb.TaskStatusRequest) (*datasyncpb.TaskStatusResponse, error) {
	t, err := h.tool.leading()
	if err != nil {
		return &datasyncpb.TaskStatusResponse{Response: bad(err)}, nil
	}
	out := &datasyncpb.TaskStatusResponse{Response: good()}
	if r.GetClearAll() {
		if !h.tool.o.AllowClearAll {
			out.Response = bad(errors.New("clear_all would delete every task: it is refused unless api.allow_clear_all=true is set"))
			return out, nil
		}
		for _, k := range t.all() {
			if _, err := t.remove(ctx, k.spec.DB, k.spec.Table); err != nil {
				out.Response = bad(h.tool.reply(err))
				return out, nil
			}
		}
	}
	for _, k := range sorted(t.all()) {
		for _, pid := range k.spec.Partitions {
			s := k.subs[pid]
			if s == nil {
				continue
			}
			st := s.rec.get()
			p := progressOf(&k.spec, pid, &st, h.tool.o.Advertise, k.split)
			p.Token = proto.String(st.Token[:min(8, len(st.Token))])
			out.Task = append(out.Task, &datasyncpb.Task{
				Progress: p, DataCollector: proto.String(st.Collector), Count: proto.Uint64(st.Counters.Rows), Status: proto.String(string(st.Status)),
			})
			s.mu.Lock()
			updated := max(s.live.heardMs, st.UpdatedMs)
			s.mu.Unlock()
			path := filepath.Join(h.tool.o.ProgressPath, strconv.Itoa(int(k.spec.TID)), strconv.Itoa(int(pid))+".progress")
			out.ReadableInfo = append(out.ReadableInfo, fmt.Sprintf("lastUpdateTime=%d;progressPath=%s", updated, path))
		}
	}
	return out, nil
}

// RefuseJSON implements port.JSONRefuser: the helper prints whatever text it gets, its users look for the code.
func (h *helper) RefuseJSON(method string, err error) proto.Message {
	switch method {
	case "TaskStatus":
		return &datasyncpb.TaskStatusResponse{Response: bad(err)}
	case "SendData":
		return &datasyncpb.SendDataResponse{Response: bad(err)}
	}
	return bad(err)
}

// SendData is what upstream's C++ collectors call. They are not served: without delete_task they keep their point and try again, so nothing
// of theirs is lost while one migrates.
func (h *helper) SendData(context.Context, *datasyncpb.SendDataRequest) (*datasyncpb.SendDataResponse, error) {
	return &datasyncpb.SendDataResponse{Response: bad(errors.New("this synctool takes rows from omsync collectors only: put omsync's data_collector in the place of this one"))}, nil
}

// sorted orders tasks by table id.
func sorted(all []*task) []*task {
	slices.SortFunc(all, func(a, b *task) int { return cmp.Compare(a.spec.TID, b.spec.TID) })
	return all
}
