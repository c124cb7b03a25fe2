package synctool

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// many is a kit with a table of n partitions on host h1 and one on h2.
func many(t *testing.T, n int) (*kit, simTable) {
	k, data := newKit(t), simTable{}
	leaders := make([]string, n+1)
	for pid := range leaders {
		leaders[pid] = "h1:1"
		data[uint32(pid)] = newSimData(pid, 1, 0)
	}
	leaders[n] = "h2:1"
	k.z.table("db", "t", 7, leaders...)
	k.tool()
	return k, data
}

// TestAssignmentIsParallel: a collector gets its partitions all at once: none of these calls is answered before the last one came.
func TestAssignmentIsParallel(t *testing.T) {
	t.Parallel()
	const n = 24
	k, data := many(t, n)
	c := k.collector("h1:9", data)
	k.collector("h2:9", data)
	var calls atomic.Int32
	all := make(chan struct{})
	c.refuse = func(*omsyncpb.Assignment) error {
		if calls.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
			return nil
		case <-time.After(30 * time.Second):
			return errors.New("the other calls did not come")
		}
	}
	k.create(modeFullContinuous)
	for pid := range data {
		k.status(pid, "RUNNING")
	}
	k.holds(data, true)
}

// TestDeadCollectorHoldsUpNobody: more partitions than may be assigned at a time wait for a collector that does not answer; the others' go on.
func TestDeadCollectorHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const n = maxAssigning + 16
	k, data := many(t, n)
	dead := k.collector("h1:9", data)
	k.collector("h2:9", data)
	answer := make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(release) // before the synctool's end, which waits for its calls
	var calls atomic.Int32
	dead.refuse = func(*omsyncpb.Assignment) error {
		calls.Add(1)
		<-answer
		return nil
	}
	alive := k.sims["h2:9"]
	alive.refuse = func(*omsyncpb.Assignment) error { // comes when the dead one has all calls it may have
		for end := time.Now().Add(30 * time.Second); calls.Load() < maxAssigning; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				return errors.New("the dead collector is not asked")
			}
		}
		return nil
	}
	k.create(modeFullContinuous)
	k.status(n, "RUNNING")
	if calls.Load() != maxAssigning {
		t.Errorf("%d calls to one collector at a time", calls.Load())
	}
	release()
	for pid := range data {
		k.status(pid, "RUNNING")
	}
}

// TestStandbyCollectorTakesOver: when the active collector of a host is gone and another one became active there, its subtasks are reassigned at
// once, without a wait for the first; what is published goes on where it stands.
func TestStandbyCollectorTakesOver(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.CheckPeriod = time.Hour }
	data := simTable{0: newSimData(0, 50, 10)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	first := k.collector("h1:9", data)
	k.create(modeFullContinuous)
	k.holds(data, true)
	k.collector("h1:8", data)
	k.z.edit(func() { k.z.collectors[1].State = coord.Standby })
	generation := k.z.state(0).Generation
	first.stop()
	k.z.edit(func() { k.z.collectors = k.z.collectors[1:]; k.z.collectors[0].State = coord.Active })
	k.eventually("the other one has it", func() bool { return k.z.state(0).Collector == "h1:8" })
	data[0].grow(0, 30)
	k.holds(data, true)
	if k.z.state(0).Generation != generation {
		t.Error("a published generation was begun anew")
	}
}

// TestCollectorThatStandsByIsLeft: a leader that finds a subtask RUNNING on a collector that stands by now does not wait for it.
func TestCollectorThatStandsByIsLeft(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.CheckPeriod = time.Hour }
	data := simTable{0: newSimData(0, 50, 10)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	first := k.collector("h1:9", data)
	k.create(modeFullContinuous)
	k.holds(data, true)
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	first.stop()
	k.collector("h1:8", data)
	k.z.edit(func() { k.z.collectors[0].State = coord.Standby })
	k.tool()
	data[0].grow(0, 30)
	k.holds(data, true)
	if c := k.z.state(0).Collector; c != "h1:8" {
		t.Errorf("assigned to %s", c)
	}
}

// TestCollectorNeverComes: one that takes the subtask and opens no stream, because it can not reach the synctool, is no reason to wait for ever.
func TestCollectorNeverComes(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.CheckPeriod, o.AssignTimeout = 50*time.Millisecond, 400*time.Millisecond }
	data := simTable{0: newSimData(0, 20, 0)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	c := newSimCollector(k.z, "h1:9", data, func() string { return (&fakeCluster{z: k.z}).LeaderAddress() })
	k.add(c)
	k.create(modeFullContinuous)
	k.status(0, "FAILED")
	if s := k.z.state(0); s.Code != codeAssignTimeout || !strings.Contains(s.Reason, "h1:9") || !strings.Contains(s.Hint, "server.advertise") {
		t.Errorf("failed as %q: %q, %q", s.Code, s.Reason, s.Hint)
	}
	c.start()
	k.recover(&omsyncpb.RecoverRequest{}, 1)
	k.holds(data, true)
	k.status(0, "RUNNING")
}

// TestGivenUpEachTime: a collector that gives the subtask up each time it has it is asked again at a growing pace, not without a pause.
func TestGivenUpEachTime(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.firstPause, o.CheckPeriod = 100*time.Millisecond, time.Hour }
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	c := newSimCollector(k.z, "h1:9", nil, nil)
	k.add(c)
	k.create(modeFullContinuous)
	stream := k.stream(t, "h1:9")
	send := func(m *omsyncpb.CollectorMessage) {
		t.Helper()
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	began, token := time.Now(), ""
	for round := uint64(1); round <= 5; round++ {
		var a *omsyncpb.Assignment
		k.eventually("it is assigned anew", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			a = c.tasks[0]
			return a != nil && a.GetToken() != token
		})
		token = a.GetToken()
		send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Attach{Attach: &omsyncpb.Attach{Key: a.GetKey(), Token: token, AttachId: round, Generation: a.GetGeneration()}}})
		for attached := false; !attached; {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			attached = m.GetAttached().GetAttachId() == round
		}
		send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Detach{Detach: &omsyncpb.Detach{Key: a.GetKey(), AttachId: round, Reason: "another collector of this host is active"}}})
	}
	// The first at once, then after 100, 200 and 400 ms, each ±10 %.
	if d := time.Since(began); d < 600*time.Millisecond {
		t.Errorf("four reassignments within %s", d)
	}
}

// TestRestartResumesAll: whatever a subtask's status was, a new leader goes on with it; only PAUSED is the operator's wish. What ran on a living
// collector runs on: no new assignment.
func TestRestartResumesAll(t *testing.T) {
	t.Parallel()
	before := []coord.Status{coord.Running, coord.Init, coord.Reassigning, coord.Failed, coord.Paused}
	k, data := newKit(t), simTable{}
	var leaders []string
	for pid := range before {
		leaders = append(leaders, "h1:1")
		data[uint32(pid)] = newSimData(pid, 40, 5)
	}
	k.z.table("db", "t", 7, leaders...)
	k.tool()
	k.collector("h1:9", data)
	k.create(modeFullContinuous)
	k.holds(data, true)
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	var task string
	for task = range k.z.tasks {
	}
	tokens := map[uint32]string{}
	for pid, status := range before {
		k.z.edit(func() {
			v := k.z.tasks[task].States[uint32(pid)]
			v.State.Status, v.Version = status, v.Version+1
			if status == coord.Failed {
				v.State.Code, v.State.Reason = "log-gap", "before"
			}
			k.z.tasks[task].States[uint32(pid)] = v
		})
		tokens[uint32(pid)] = k.z.state(uint32(pid)).Token
	}
	for pid, status := range before {
		if status != coord.Paused {
			data[uint32(pid)].grow(pid, 20)
		}
	}
	k.tool()
	k.holds(data, true)
	for pid, status := range before {
		want := coord.Running
		if status == coord.Paused {
			want = coord.Paused
		}
		k.status(uint32(pid), string(want))
		if s := k.z.state(uint32(pid)); s.Code != "" || s.Reason != "" {
			t.Errorf("%s: %q, %q stays", status, s.Code, s.Reason)
		}
	}
	if k.z.state(0).Token != tokens[0] {
		t.Error("what ran on a living collector was assigned anew")
	}
}

// TestRecoverAcceptMissing: a committed file that is gone keeps its subtask FAILED until the operator gives it up; then it goes on without a
// restart.
func TestRecoverAcceptMissing(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 100)
	k.holds(data, true)
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	st := k.z.state(0)
	final := namer{pid: 0, suffix: ".csv"}.final(st.Generation, st.Seq)
	lost, err := os.ReadFile(filepath.Join(k.dest("out"), final))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(k.dest("out"), final)); err != nil {
		t.Fatal(err)
	}
	k.z.put(0, func(s *coord.SubtaskState) {
		s.Pending = &coord.Pending{Stage: stageDir + "/test-x-p0-e1-99.csv", Final: final, Len: int64(len(lost)), Rows: uint64(strings.Count(string(lost), "\n"))}
	})
	k.tool()
	missing := func() {
		t.Helper()
		k.status(0, "FAILED")
		if s := k.z.state(0); s.Code != codeDestMissing || !strings.Contains(s.Reason, final) || !strings.Contains(s.Hint, "--accept-missing") {
			t.Errorf("failed as %q: %q, %q", s.Code, s.Reason, s.Hint)
		}
	}
	missing()
	version := func() int32 {
		k.z.mu.Lock()
		defer k.z.mu.Unlock()
		for _, x := range k.z.tasks {
			return x.States[0].Version
		}
		return 0
	}
	was := version()
	k.recover(&omsyncpb.RecoverRequest{}, 1)
	k.eventually("it was tried and failed again", func() bool { return version() >= was+2 && k.z.state(0).Status == coord.Failed })
	missing()
	k.recover(&omsyncpb.RecoverRequest{AcceptMissing: true}, 1)
	data[0].grow(0, 30)
	want := map[string]int{}
	data[0].all(want, true)
	for row := range strings.Lines(string(lost)) {
		delete(want, strings.TrimSuffix(row, "\n"))
	}
	k.eventually(fmt.Sprintf("the other %d rows", len(want)), func() bool {
		got, err := exported(k.dest("out"))
		if err != nil {
			t.Fatal(err)
		}
		return maps.Equal(got, want)
	})
	k.status(0, "RUNNING")
}
