package state

import (
	"cmp"
	"slices"
	"time"

	"omsync/rpc/omsyncpb"
)

// Task is one table task, rolled up over its partitions.
type Task struct {
	TaskID        string  `json:"taskId"`
	DB            string  `json:"db"`
	Table         string  `json:"table"`
	TID           uint32  `json:"tid"`
	Mode          int32   `json:"mode"`
	ModeName      string  `json:"modeName"`
	StartTs       uint64  `json:"startTs"` // ms; mode 1
	Dest          string  `json:"dest"`
	Format        string  `json:"format"`
	Dialect       string  `json:"dialect"`
	Deletes       string  `json:"deletes,omitempty"` // ignore or log
	State         string  `json:"state"`             // the worst of its partitions
	Partitions    int     `json:"partitions"`
	Done          int     `json:"done"` // partitions in SUCCESS
	Failed        int     `json:"failed"`
	Rows          uint64  `json:"rows"` // committed
	Bytes         uint64  `json:"bytes"`
	Files         uint64  `json:"files"`
	RowsPerSecond float64 `json:"rowsPerSecond"`
	LagEntries    *uint64 `json:"lagEntries,omitempty"` // the largest of the partitions that read the log; absent when none does
	LagMs         int64   `json:"lagMs"`                // age of the oldest row that is read and not committed; 0 = none
	CreatedAt     string  `json:"createdAt,omitempty"`
	UpdatedAt     string  `json:"updatedAt,omitempty"` // of the partition heard of least recently
	EndedAt       string  `json:"endedAt,omitempty"`   // of a finished task
	Reason        string  `json:"reason,omitempty"`    // of the worst partition

	updated time.Time
}

// Subtask is one partition of a task.
type Subtask struct {
	TaskID        string   `json:"taskId"`
	DB            string   `json:"db"`
	Table         string   `json:"table"`
	TID           uint32   `json:"tid"`
	PID           uint32   `json:"pid"`
	State         string   `json:"state"`
	Phase         string   `json:"phase"`
	Point         string   `json:"point"`
	Generation    string   `json:"generation"` // hex
	Published     bool     `json:"published"`
	LogIndex      *uint64  `json:"logIndex,omitempty"` // committed; absent in the snapshot phase
	TailIndex     uint64   `json:"tailIndex"`          // last index in the log files, 0 = unknown
	HandoffIndex  uint64   `json:"handoffIndex"`       // z, 0 = not yet planned
	BacklogRows   uint64   `json:"backlogRows"`
	Vanished      uint64   `json:"vanished"`
	LagEntries    *uint64  `json:"lagEntries,omitempty"`
	LagMs         int64    `json:"lagMs"`
	RowsPerSecond float64  `json:"rowsPerSecond"`
	BytesPerSec   float64  `json:"bytesPerSecond"`
	RecordCount   uint64   `json:"recordCount"` // the tablet's estimate
	Files         uint64   `json:"files"`
	Counters      Counters `json:"counters"`
	Collector     string   `json:"collector"`
	Tablet        string   `json:"tablet"`
	WaitingFor    string   `json:"waitingFor,omitempty"`
	UpdatedAt     string   `json:"updatedAt,omitempty"`
	CommittedAt   string   `json:"committedAt,omitempty"`
	Code          string   `json:"code,omitempty"` // stable; why it does not go on
	Reason        string   `json:"reason,omitempty"`
	Hint          string   `json:"hint,omitempty"`

	updated time.Time
}

// Counters of a partition since its generation began; committed.
type Counters struct {
	Rows          uint64 `json:"rows"`
	Bytes         uint64 `json:"bytes"`
	Expired       uint64 `json:"expired"`
	Filtered      uint64 `json:"filtered"`
	Deletes       uint64 `json:"deletes"`
	Foreign       uint64 `json:"foreign"`
	Repeated      uint64 `json:"repeated"`
	Holes         uint64 `json:"holes"`
	SkippedBlocks uint64 `json:"skippedBlocks"`
}

// Stalled is shown for a partition that retries by itself: its state is RUNNING there.
const Stalled = "STALLED"

// badness orders states from worst to best; unknown ones come first, so that they are seen.
var badness = []string{"FAILED", "REASSIGNING", Stalled, "PAUSED", "INIT", "RUNNING", "SUCCESS"}

func rank(state string) int { return slices.Index(badness, state) }

// RollUp returns the worst of states, INIT when there are none.
func RollUp(states []string) string {
	if len(states) == 0 {
		return "INIT"
	}
	return slices.MinFunc(states, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
}

// ModeName is upstream's name of a mode.
func ModeName(mode int32) string {
	switch mode {
	case 0:
		return "FULL"
	case 1:
		return "INCREMENTAL_BY_TIMESTAMP"
	case 2:
		return "FULL_AND_CONTINUOUS"
	}
	return "UNKNOWN"
}

// TaskOf rolls a task up. A task without partitions in the answer (a finished one) keeps the state it came with.
func TaskOf(v *omsyncpb.TaskView) Task {
	t := Task{
		TaskID: v.GetTaskId(), DB: v.GetDb(), Table: v.GetTable(), TID: v.GetTid(), Mode: v.GetMode(), ModeName: ModeName(v.GetMode()),
		StartTs: v.GetStartTs(), Dest: v.GetDest(), Format: v.GetFormat(), Dialect: v.GetDialect(), Deletes: v.GetDeletes(), State: v.GetState(),
		Partitions: len(v.GetSubtasks()), CreatedAt: stamp(v.GetCreatedMs()), EndedAt: stamp(v.GetEndedMs()),
	}
	var states []string
	worst := -1
	for i, one := range v.GetSubtasks() {
		s := subtaskOf(v, one)
		states = append(states, s.State)
		if worst < 0 || rank(s.State) < rank(states[worst]) {
			worst = i
			t.Reason = s.Why()
		}
		switch s.State {
		case "SUCCESS":
			t.Done++
		case "FAILED":
			t.Failed++
		}
		t.Rows += s.Counters.Rows
		t.Bytes += s.Counters.Bytes
		t.Files += s.Files
		t.RowsPerSecond += s.RowsPerSecond
		if s.LagEntries != nil && (t.LagEntries == nil || *s.LagEntries > *t.LagEntries) {
			t.LagEntries = s.LagEntries
		}
		t.LagMs = max(t.LagMs, s.LagMs)
		if s.State != "SUCCESS" && !s.updated.IsZero() && (t.updated.IsZero() || s.updated.Before(t.updated)) {
			t.updated, t.UpdatedAt = s.updated, s.UpdatedAt
		}
	}
	if len(states) > 0 {
		t.State = RollUp(states)
	}
	return t
}

// Name is db.table.
func (t *Task) Name() string    { return t.DB + "." + t.Table }
func (s *Subtask) Name() string { return s.DB + "." + s.Table }

// Updated is when the synctool last heard of the partition, or of the task's least recently heard one; zero = never.
func (t *Task) Updated() time.Time    { return t.updated }
func (s *Subtask) Updated() time.Time { return s.updated }

// Why says in one line why a partition does not go on, or what it waits for.
func (s *Subtask) Why() string {
	switch {
	case s.Code != "" && s.Hint != "":
		return s.Code + ": " + s.Reason + ": " + s.Hint
	case s.Code != "":
		return s.Code + ": " + s.Reason
	case s.WaitingFor != "":
		return "waiting for " + s.WaitingFor
	}
	return ""
}

// TasksOf returns the tasks of an answer by name.
func TasksOf(r *omsyncpb.ListResponse) []Task {
	out := []Task{}
	for _, v := range r.GetTasks() {
		out = append(out, TaskOf(v))
	}
	slices.SortStableFunc(out, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.DB, b.DB), cmp.Compare(a.Table, b.Table), cmp.Compare(a.CreatedAt, b.CreatedAt))
	})
	return out
}

// SubtasksOf returns every partition of every task, by name and number.
func SubtasksOf(r *omsyncpb.ListResponse) []Subtask {
	out := []Subtask{}
	for _, v := range r.GetTasks() {
		for _, one := range v.GetSubtasks() {
			out = append(out, subtaskOf(v, one))
		}
	}
	slices.SortStableFunc(out, func(a, b Subtask) int {
		return cmp.Or(cmp.Compare(a.DB, b.DB), cmp.Compare(a.Table, b.Table), cmp.Compare(a.PID, b.PID))
	})
	return out
}

func subtaskOf(t *omsyncpb.TaskView, v *omsyncpb.SubtaskView) Subtask {
	c := v.GetCounters()
	s := Subtask{
		TaskID: t.GetTaskId(), DB: t.GetDb(), Table: t.GetTable(), TID: t.GetTid(), PID: v.GetPid(), State: v.GetState(),
		Phase: PhaseName(v.GetPoint().GetPhase()), Point: PointText(v.GetPoint()), Generation: hex64(v.GetGeneration()), Published: v.GetPublished(),
		TailIndex: v.GetTailIndex(), HandoffIndex: v.GetZ(), BacklogRows: v.GetBacklogRows(), Vanished: v.GetVanished(),
		LagMs: max(0, v.GetLagMs()), RowsPerSecond: max(0, v.GetRowsPerS()), BytesPerSec: max(0, v.GetBytesPerS()),
		RecordCount: v.GetRecordCnt(), Files: v.GetFiles(), Collector: v.GetCollector(), Tablet: v.GetTablet(), WaitingFor: v.GetWaitingFor(),
		UpdatedAt: stamp(v.GetUpdatedMs()), CommittedAt: stamp(v.GetCommittedMs()), updated: at(v.GetUpdatedMs()),
		Code: v.GetFault().GetCode(), Reason: v.GetFault().GetReason(), Hint: v.GetFault().GetHint(),
		Counters: Counters{c.GetRows(), c.GetBytes(), c.GetExpired(), c.GetFiltered(), c.GetDeletes(), c.GetForeign(), c.GetRepeated(), c.GetHoles(), c.GetSkippedBlocks()},
	}
	if s.State == "RUNNING" && v.GetStalled() {
		s.State = Stalled
	}
	switch v.GetPoint().GetPhase() {
	case omsyncpb.Phase_PHASE_LOG, omsyncpb.Phase_PHASE_DONE:
		index := v.GetPoint().GetLogIndex()
		s.LogIndex = &index
		if v.GetTailIndex() > 0 && v.GetPoint().GetPhase() == omsyncpb.Phase_PHASE_LOG {
			lag := v.GetLagEntries()
			s.LagEntries = &lag
		}
	case omsyncpb.Phase_PHASE_BACKLOG:
		if index := v.GetPoint().GetLogIndex(); index > 0 {
			s.LogIndex = &index
		}
	}
	return s
}
