package state

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"omsync/rpc/omsyncpb"
)

func TestRollUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		states []string
		want   string
	}{
		{nil, "INIT"},
		{[]string{"SUCCESS", "SUCCESS"}, "SUCCESS"},
		{[]string{"SUCCESS", "RUNNING"}, "RUNNING"},
		{[]string{"RUNNING", "INIT", "SUCCESS"}, "INIT"},
		{[]string{"INIT", "PAUSED"}, "PAUSED"},
		{[]string{"PAUSED", Stalled}, Stalled},
		{[]string{Stalled, "REASSIGNING"}, "REASSIGNING"},
		{[]string{"RUNNING", "FAILED", "REASSIGNING"}, "FAILED"},
		{[]string{"FAILED", "SOMETHING_NEW"}, "SOMETHING_NEW"}, // unknown ones must be seen
	} {
		if got := RollUp(c.states); got != c.want {
			t.Errorf("RollUp(%v) = %s, want %s", c.states, got, c.want)
		}
	}
}

func TestNumbersInFewCharacters(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{
		0: "0", 9999: "9999", 10_000: "10k", 12_345: "12.3k", 91_249: "91.2k", 99_949: "99.9k", 99_951: "100k", 123_456: "123k", 999_499: "999k",
		999_500: "1M", 999_999: "1M", 5_100_000: "5.1M", 41_700_000: "41.7M", 1_000_000_000: "1G", math.MaxUint64: "18.4E",
	} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1KiB", 1536: "1.5KiB", 64 << 20: "64MiB", 1<<30 - 1: "1GiB", math.MaxUint64: "16EiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", -3: "0", 0.2: "<1", 2890.4: "2890", 312_000: "312k"} {
		if got := Rate(n); got != want {
			t.Errorf("Rate(%v) = %s, want %s", n, got, want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		if s := Count(rapid.Uint64().Draw(rt, "n")); len(s) > 5 {
			rt.Fatalf("%q is longer than five characters", s)
		}
	})
}

func TestAges(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_795_313_021_000)
	for d, want := range map[time.Duration]string{
		0: "0s", -time.Hour: "0s", 4 * time.Second: "4s", 59*time.Second + 600*time.Millisecond: "1m00s", 124 * time.Second: "2m04s",
		3*time.Hour + 12*time.Minute: "3h12m", 122 * time.Hour: "5d02h",
	} {
		if got := Age(now, now.Add(-d)); got != want {
			t.Errorf("Age(%s) = %s, want %s", d, got, want)
		}
	}
	if got := Age(now, time.Time{}); got != "-" {
		t.Errorf("never = %s", got)
	}
}

func TestPoints(t *testing.T) {
	t.Parallel()
	ts := "\x00\x00\x01\x9a\x00\x00\x00\x00"
	for _, c := range []struct {
		p    *omsyncpb.Point
		want string
	}{
		{nil, "start"},
		{&omsyncpb.Point{}, "start"},
		{&omsyncpb.Point{Key: []byte("u_88123" + ts)}, `key "u_88123"`},
		{&omsyncpb.Point{Key: []byte("a\x00\n\xff中" + ts)}, `key "a\x00\n\xff中"`},
		{&omsyncpb.Point{Key: []byte(strings.Repeat("x", 100) + ts)}, `key "xxxxxxxxxxxxxxxxxxxxxxxx"…`},
		{&omsyncpb.Point{Key: []byte("short")}, `key "short"`},
		{&omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_BACKLOG}, "index 0"},
		{&omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG, LogIndex: 8812344}, "index 8812344"},
	} {
		if got := PointText(c.p); got != c.want {
			t.Errorf("PointText(%v) = %s, want %s", c.p, got, c.want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := PointText(&omsyncpb.Point{Key: rapid.SliceOf(rapid.Byte()).Draw(rt, "key")})
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x1b\t") {
			rt.Fatalf("%q does not fit into a line", s)
		}
	})
}

func task(subtasks ...*omsyncpb.SubtaskView) *omsyncpb.TaskView {
	return &omsyncpb.TaskView{TaskId: "t", Db: "d", Table: "t", State: "INIT", Subtasks: subtasks}
}

func TestTaskRollsUp(t *testing.T) {
	t.Parallel()
	log := &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG, LogIndex: 5}
	got := TaskOf(task(
		&omsyncpb.SubtaskView{State: "RUNNING", Point: log, TailIndex: 9, LagEntries: 4, LagMs: 70, Counters: &omsyncpb.Counters{Rows: 10, Bytes: 100}, RowsPerS: 1.5, Files: 1, UpdatedMs: 2000},
		&omsyncpb.SubtaskView{State: "RUNNING", Stalled: true, Point: log, TailIndex: 9, LagEntries: 7, LagMs: 60, WaitingFor: "room", Counters: &omsyncpb.Counters{Rows: 1}, RowsPerS: 2, Files: 2, UpdatedMs: 1000},
		&omsyncpb.SubtaskView{State: "SUCCESS", UpdatedMs: 1, Counters: &omsyncpb.Counters{Rows: 100}},
		&omsyncpb.SubtaskView{State: "RUNNING", Point: &omsyncpb.Point{}, UpdatedMs: 3000},
	))
	if got.State != Stalled || got.Reason != "waiting for room" || got.Done != 1 || got.Failed != 0 || got.Partitions != 4 || got.Rows != 111 || got.Bytes != 100 ||
		got.Files != 3 || got.RowsPerSecond != 3.5 || *got.LagEntries != 7 || got.LagMs != 70 || got.UpdatedAt != "1970-01-01T00:00:01.000Z" {
		t.Errorf("%+v", got)
	}
	if got := TaskOf(task()); got.State != "INIT" || got.LagEntries != nil || !got.Updated().IsZero() {
		t.Errorf("without partitions: %+v", got)
	}
	finished := task()
	finished.State, finished.EndedMs = "SUCCESS", 5
	if got := TaskOf(finished); got.State != "SUCCESS" || got.EndedAt != "1970-01-01T00:00:00.005Z" {
		t.Errorf("finished: %+v", got)
	}
}

func TestLagIsToldWhereThereIsOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		phase omsyncpb.Phase
		tail  uint64
		want  string
	}{
		{omsyncpb.Phase_PHASE_SNAPSHOT, 9, "-"}, {omsyncpb.Phase_PHASE_BACKLOG, 9, "-"}, {omsyncpb.Phase_PHASE_LOG, 9, "4"}, {omsyncpb.Phase_PHASE_LOG, 0, "-"}, {omsyncpb.Phase_PHASE_DONE, 9, "-"},
	} {
		s := SubtasksOf(&omsyncpb.ListResponse{Tasks: []*omsyncpb.TaskView{task(&omsyncpb.SubtaskView{Point: &omsyncpb.Point{Phase: c.phase, LogIndex: 5}, TailIndex: c.tail, LagEntries: 4})}})[0]
		if got := Lag(s.LagEntries); got != c.want {
			t.Errorf("%s with tail %d: lag %s, want %s", c.phase, c.tail, got, c.want)
		}
	}
}

// Numbers of clocks and counters that run backwards do not show as negative.
func TestNothingIsNegative(t *testing.T) {
	t.Parallel()
	s := SubtasksOf(&omsyncpb.ListResponse{Tasks: []*omsyncpb.TaskView{task(&omsyncpb.SubtaskView{LagMs: -5, RowsPerS: -1, BytesPerS: -1, UpdatedMs: -1})}})[0]
	if s.LagMs != 0 || s.RowsPerSecond != 0 || s.BytesPerSec != 0 || s.UpdatedAt != "" {
		t.Errorf("%+v", s)
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	r := &omsyncpb.ListResponse{Tasks: []*omsyncpb.TaskView{
		{Db: "b", Table: "a", Subtasks: []*omsyncpb.SubtaskView{{Pid: 10}, {Pid: 2}}}, {Db: "a", Table: "z", Subtasks: []*omsyncpb.SubtaskView{{Pid: 1}}}}}
	var names []string
	for _, s := range SubtasksOf(r) {
		names = append(names, s.Name())
	}
	if got := strings.Join(names, " "); got != "a.z b.a b.a" || SubtasksOf(r)[1].PID != 2 {
		t.Errorf("%s", got)
	}
	if tasks := TasksOf(r); tasks[0].Name() != "a.z" {
		t.Errorf("%v", tasks)
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := WriteJSON(&b, "TaskList", time.UnixMilli(0), "synctool", TasksOf(&omsyncpb.ListResponse{})); err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"apiVersion\": \"omsync/v1\",\n  \"kind\": \"TaskList\",\n  \"observedAt\": \"1970-01-01T00:00:00.000Z\",\n  \"sources\": {\n    \"synctool\": \"ok\"\n  },\n  \"items\": []\n}\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := WriteJSON(&b, "X", time.UnixMilli(0), "zk", []string{"<&>"}); err != nil || !strings.Contains(b.String(), `"<&>"`) || !json.Valid(b.Bytes()) {
		t.Errorf("%v %s", err, b.String())
	}
}
