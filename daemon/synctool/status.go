package synctool

import (
	"cmp"
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// view shows one subtask.
func (s *subtask) view(now time.Time, wallMs int64) *omsyncpb.SubtaskView {
	st := s.rec.get()
	s.mu.Lock()
	v := &omsyncpb.SubtaskView{
		Pid: s.pid, State: string(st.Status), Point: pointTo(st.Point), Generation: st.Generation, Published: st.PublishDone,
		TailIndex: s.live.tail, Counters: countersTo(st.Counters), Files: st.Files, Collector: st.Collector, Tablet: st.Tablet,
		UpdatedMs: max(s.live.heardMs, st.UpdatedMs), CommittedMs: st.CommittedMs, WaitingFor: s.live.waiting,
		Vanished: s.live.vanished, RecordCnt: s.live.recordCnt,
	}
	v.RowsPerS, v.BytesPerS = s.live.rates.perSecond(now)
	stalled, oldest := s.live.stalled, s.live.oldest
	s.mu.Unlock()
	if isKeyRef(st.Point.Key) {
		v.Point.Key = nil // too long to be shown
	}
	if st.Plan != nil {
		v.Z, v.BacklogRows = st.Plan.Z, st.Plan.BacklogRows
	}
	if oldest > 0 {
		v.LagMs = max(wallMs-oldest, 0)
	}
	if st.Point.Phase == phaseLog && v.TailIndex > st.Point.Index {
		v.LagEntries = v.TailIndex - st.Point.Index
	}
	switch {
	case st.Code != "":
		v.Fault = &omsyncpb.Fault{Code: st.Code, Reason: st.Reason, Hint: st.Hint}
	case stalled != nil && st.Status != coord.Success:
		v.Fault, v.Stalled = proto.Clone(stalled).(*omsyncpb.Fault), st.Status == coord.Running
	}
	return v
}

// severity orders states for the roll-up, worst first.
var severity = map[coord.Status]int{
	coord.Failed: 6, coord.Reassigning: 5, coord.Paused: 4, coord.Init: 3, coord.Running: 2, coord.Success: 1,
}

// worst is the roll-up of a task's subtasks.
func worst(views []*omsyncpb.SubtaskView) string {
	out, top := string(coord.Success), 0
	for _, v := range views {
		if n := severity[coord.Status(v.GetState())]; n > top {
			out, top = v.GetState(), n
		}
	}
	return out
}

func taskView(spec *coord.TaskSpec, subs []*omsyncpb.SubtaskView) *omsyncpb.TaskView {
	sort.Slice(subs, func(i, j int) bool { return subs[i].GetPid() < subs[j].GetPid() })
	return &omsyncpb.TaskView{
		TaskId: spec.ID, Tid: spec.TID, Db: spec.DB, Table: spec.Table, Mode: int32(spec.Mode), StartTs: spec.StartTS, Dest: spec.Dest,
		Format: spec.Format, Dialect: spec.Dialect, Deletes: cmp.Or(spec.Deletes, deletesIgnore), CreatedMs: spec.CreatedMs, State: worst(subs), Subtasks: subs,
	}
}

func (k *task) view(now time.Time, wallMs int64) *omsyncpb.TaskView {
	subs := make([]*omsyncpb.SubtaskView, 0, len(k.subs))
	for _, s := range k.subs {
		subs = append(subs, s.view(now, wallMs))
	}
	return taskView(&k.spec, subs)
}

// list shows the tasks that want lets pass, by name.
func (t *term) list(want func(*task) bool) *omsyncpb.ListResponse {
	now, wallMs := time.Now(), t.o.Wall().UnixMilli()
	r := &omsyncpb.ListResponse{Epoch: t.epoch, Leader: t.o.Advertise, AtMs: wallMs}
	for _, k := range t.all() {
		if want(k) {
			r.Tasks = append(r.Tasks, k.view(now, wallMs))
		}
	}
	sort.Slice(r.Tasks, func(i, j int) bool {
		a, b := r.Tasks[i], r.Tasks[j]
		if a.GetDb() != b.GetDb() {
			return a.GetDb() < b.GetDb()
		}
		return a.GetTable() < b.GetTable()
	})
	return r
}

// finishedView shows a task that is over.
func finishedView(f *coord.FinishedRecord) *omsyncpb.TaskView {
	subs := make([]*omsyncpb.SubtaskView, 0, len(f.States))
	for pid, st := range f.States {
		v := &omsyncpb.SubtaskView{
			Pid: pid, State: string(st.Status), Point: pointTo(st.Point), Generation: st.Generation, Published: st.PublishDone,
			Counters: countersTo(st.Counters), Files: st.Files, Collector: st.Collector, Tablet: st.Tablet, UpdatedMs: st.UpdatedMs, CommittedMs: st.CommittedMs,
		}
		if st.Plan != nil {
			v.Z, v.BacklogRows = st.Plan.Z, st.Plan.BacklogRows
		}
		subs = append(subs, v)
	}
	out := taskView(&f.Spec, subs)
	out.EndedMs = f.EndedMs
	return out
}

// collectors shows every registered collector and those that only have a stream.
func (t *term) collectors() []*omsyncpb.CollectorView {
	subs, failed := map[string]uint32{}, map[string]uint32{}
	for _, k := range t.all() {
		for _, s := range k.subs {
			st := s.rec.get()
			subs[st.Collector]++
			if st.Status == coord.Failed {
				failed[st.Collector]++
			}
		}
	}
	var out []*omsyncpb.CollectorView
	for _, c := range t.world.Collectors() {
		out = append(out, &omsyncpb.CollectorView{
			Endpoint: c.Endpoint, Host: c.Host, Version: c.Version, DataDir: c.DataDir, State: c.State, SinceMs: c.SinceMs,
			Connected: t.linkOf(c.Endpoint) != nil, Subtasks: subs[c.Endpoint], Failed: failed[c.Endpoint],
		})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].GetEndpoint() < out[j].GetEndpoint() })
	return out
}

// statusText is the daemon's part of GET /status.
func (t *term) statusText(w io.Writer) {
	l := t.list(func(*task) bool { return true })
	fmt.Fprintf(w, "leading with epoch %d, %d tasks\n", t.epoch, len(l.GetTasks()))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TABLE\tPID\tSTATE\tPOINT\tROWS\tROWS/S\tLAG MS\tCOLLECTOR\tREASON")
	for _, k := range l.GetTasks() {
		for _, s := range k.GetSubtasks() {
			state := s.GetState()
			if s.GetStalled() {
				state += " stalled"
			}
			fmt.Fprintf(tw, "%s.%s\t%d\t%s\t%s\t%d\t%.0f\t%d\t%s\t%s\n", k.GetDb(), k.GetTable(), s.GetPid(), state,
				pointText(pointOf(s.GetPoint())), s.GetCounters().GetRows(), s.GetRowsPerS(), s.GetLagMs(), s.GetCollector(), s.GetFault().GetReason())
		}
	}
	tw.Flush()
}
