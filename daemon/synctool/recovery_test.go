package synctool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// left is a committer over a directory and a node as a former leader left them.
func left(t *testing.T, st coord.SubtaskState, files map[string]string) (*committer, *diskDest, *fakeZK) {
	t.Helper()
	d := &diskDest{dir: t.TempDir(), inject: &injector{}}
	for name, text := range files {
		if err := d.WriteFile(t.Context(), name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	z := newFakeZK()
	z.epoch = 5
	z.tasks["t"] = &coord.Task{States: map[uint32]coord.Versioned{0: {State: st, Version: 3}}}
	rec := newRecord("t", 0, z.tasks["t"].States[0], &fakeLedger{z, 5}, fixedClock)
	c := &committer{rec: rec, files: d, where: d.dir, names: namer{cluster: "c", task: "t", epoch: 5, suffix: ".csv", n: new(atomic.Uint64)}}
	return c, d, z
}

func pendingState(status coord.Status) coord.SubtaskState {
	n := namer{cluster: "c", task: "t", epoch: 4, suffix: ".csv", n: new(atomic.Uint64)}
	return coord.SubtaskState{
		Status: status, Generation: 1, Seq: 3, Published: true, PublishDone: true, SnapshotDone: true, Point: coord.Point{Phase: phaseLog, Index: 9},
		Pending: &coord.Pending{Stage: n.stage(), Final: n.final(1, 3), Len: 4, Rows: 2},
	}
}

// TestRecoverPending: stage there → rename; final there with its length → done; neither, or another length → FAILED as dest-missing. The
// same for every status: a FAILED subtask's pending segment counts like any other.
func TestRecoverPending(t *testing.T) {
	t.Parallel()
	st := pendingState(coord.Running)
	stage, final := st.Pending.Stage, st.Pending.Final
	for _, status := range []coord.Status{coord.Init, coord.Running, coord.Reassigning, coord.Failed, coord.Success, coord.Paused} {
		for _, c := range []struct {
			name  string
			files map[string]string
			want  string // code of the fault, "" = good
		}{
			{"stage", map[string]string{stage: "a\nb\n"}, ""},
			{"final", map[string]string{final: "a\nb\n"}, ""},
			{"both, of a rename that stopped in its middle", map[string]string{stage: "a\nb\n", final: "a\nb\n"}, ""},
			{"neither", nil, codeDestMissing},
			{"stage cut", map[string]string{stage: "a\n"}, codeDestMissing},
			{"final of another length", map[string]string{final: "a\n"}, codeDestMissing},
			{"both, final of another length", map[string]string{stage: "a\nb\n", final: "x\n"}, codeDestForeign},
		} {
			t.Run(string(status)+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				com, d, _ := left(t, pendingState(status), c.files)
				err := com.recover(t.Context())
				if got := faultCode(err); got != c.want {
					t.Fatalf("recovery says %q (%v), want %q", got, err, c.want)
				}
				_, serr := os.Stat(d.path(stage))
				b, ferr := os.ReadFile(d.path(final))
				if c.want == "" && (!os.IsNotExist(serr) || ferr != nil || string(b) != "a\nb\n") {
					t.Errorf("stage: %v, final: %q, %v", serr, b, ferr)
				}
				if c.want != "" && c.files[final] == "" && ferr == nil {
					t.Error("readers see a file that recovery refused")
				}
			})
		}
	}
}

func faultCode(err error) string {
	var t *trouble
	if errors.As(err, &t) {
		return t.fault.GetCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestAcceptMissing: with the operator's word a missing segment is passed, and what is there is not touched.
func TestAcceptMissing(t *testing.T) {
	t.Parallel()
	com, _, _ := left(t, pendingState(coord.Failed), nil)
	com.tolerate = true
	if err := com.recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if com.rec.settled != com.rec.get().Pending.Stage {
		t.Error("pending is not settled")
	}
}

// TestRecoverPublication: whatever part of the renames was done, the rest is done, once.
func TestRecoverPublication(t *testing.T) {
	t.Parallel()
	n := namer{suffix: ".csv"}
	for done := range 4 {
		t.Run(fmt.Sprintf("%d of 3 done", done), func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for seq := uint64(1); seq <= 3; seq++ {
				if int(seq) <= done {
					files[n.final(1, seq)] = fmt.Sprintf("%d\n", seq)
				} else {
					files[n.unpublished(1, seq)] = fmt.Sprintf("%d\n", seq)
				}
			}
			com, d, _ := left(t, coord.SubtaskState{
				Status: coord.Failed, Generation: 1, Seq: 3, SnapshotDone: true, Published: true, PublishSeq: 3, Plan: &coord.PlanRef{},
			}, files)
			if err := com.recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, err := exported(d.dir)
			if err != nil || len(got) != 3 || got["1"] != 1 || got["2"] != 1 || got["3"] != 1 {
				t.Errorf("readers see %v, %v", got, err)
			}
			if !com.rec.get().PublishDone {
				t.Error("the publication is not noted as done")
			}
		})
	}
}

// TestPublishClearsPending: the last segment may still be pending when the publication is decided; a leader after that must not look for it
// where the publication took it away.
func TestPublishClearsPending(t *testing.T) {
	t.Parallel()
	n := namer{cluster: "c", task: "t", epoch: 5, suffix: ".csv", n: new(atomic.Uint64)}
	com, _, z := left(t, coord.SubtaskState{
		Status: coord.Running, Generation: 1, Seq: 1, SnapshotDone: true, Plan: &coord.PlanRef{},
		Pending: &coord.Pending{Stage: n.stage(), Final: n.unpublished(1, 1), Len: 2, Rows: 1},
	}, map[string]string{n.unpublished(1, 1): "1\n"})
	if err := com.recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := com.publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := z.tasks["t"].States[0]
	if v.State.Pending != nil {
		t.Fatal("pending outlives the publication")
	}
	next := *com
	next.rec = newRecord("t", 0, v, com.rec.store, fixedClock)
	if err := next.recover(t.Context()); err != nil {
		t.Errorf("the next leader: %v", err)
	}
}

// TestPublicationIsGuarded: not before the scan's end, not without a plan, not onto names that exist, not before a pending rename.
func TestPublicationIsGuarded(t *testing.T) {
	t.Parallel()
	ready := coord.SubtaskState{Status: coord.Running, Generation: 1, Seq: 1, SnapshotDone: true, Plan: &coord.PlanRef{}}
	n := namer{suffix: ".csv"}
	for name, c := range map[string]struct {
		edit  func(*coord.SubtaskState)
		files map[string]string
		want  string
	}{
		"ready":         {func(*coord.SubtaskState) {}, nil, ""},
		"scan not done": {func(s *coord.SubtaskState) { s.SnapshotDone = false }, nil, codeInternal},
		"no plan":       {func(s *coord.SubtaskState) { s.Plan = nil }, nil, codeInternal},
		"pending":       {func(s *coord.SubtaskState) { s.Pending = &coord.Pending{Stage: "x"} }, nil, codeInternal},
		"name taken":    {func(*coord.SubtaskState) {}, map[string]string{n.final(1, 1): "strange\n"}, codeDestForeign},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := ready
			c.edit(&st)
			files := map[string]string{n.unpublished(1, 1): "1\n"}
			for f, text := range c.files {
				files[f] = text
			}
			com, d, z := left(t, st, files)
			err := com.publish(t.Context())
			if got := faultCode(err); got != c.want {
				t.Fatalf("publish says %q (%v), want %q", got, err, c.want)
			}
			if c.want != "" && z.tasks["t"].States[0].State.Published {
				t.Error("the publication was decided all the same")
			}
			if b, _ := os.ReadFile(d.path(n.final(1, 1))); name == "name taken" && string(b) != "strange\n" {
				t.Errorf("somebody's file was overwritten: %q", b)
			}
		})
	}
}

// TestNoDecisionOverUnsettledPending: the next segment waits for the former one's rename.
func TestNoDecisionOverUnsettledPending(t *testing.T) {
	t.Parallel()
	com, _, z := left(t, pendingState(coord.Running), nil)
	err := com.commit(t.Context(), t.Context(), &sealed{generation: 1, to: coord.Point{Phase: phaseLog, Index: 10}}, nil)
	if faultCode(err) != codeInternal {
		t.Errorf("commit: %v", err)
	}
	if z.tasks["t"].States[0].State.Point.Index != 9 {
		t.Error("the point moved")
	}
}

// TestCommitRefusesTakenName: a file under the next final name is somebody else's; HDFS would overwrite it.
func TestCommitRefusesTakenName(t *testing.T) {
	t.Parallel()
	st := pendingState(coord.Running)
	st.Pending = nil
	com, d, z := left(t, st, map[string]string{namer{suffix: ".csv"}.final(1, 4): "strange\n"})
	err := com.commit(t.Context(), t.Context(), &sealed{generation: 1, content: spooled("1\n", 1), to: coord.Point{Phase: phaseLog, Index: 10}}, nil)
	if faultCode(err) != codeDestForeign || z.tasks["t"].States[0].State.Seq != 3 {
		t.Errorf("commit: %v", err)
	}
	if l, _ := d.List(t.Context(), stageDir); len(l) != 0 {
		t.Errorf("the stage file stays: %v", l)
	}
}

// TestFencedCommitNamesNothing: a leader whose epoch is over can neither decide nor rename.
func TestFencedCommitNamesNothing(t *testing.T) {
	t.Parallel()
	st := pendingState(coord.Running)
	st.Pending = nil
	com, d, z := left(t, st, nil)
	z.epoch = 6
	err := com.commit(t.Context(), t.Context(), &sealed{generation: 1, content: spooled("1\n", 1), to: coord.Point{Phase: phaseLog, Index: 10}}, nil)
	if !errors.Is(err, coord.ErrFenced) {
		t.Errorf("commit: %v", err)
	}
	if got, _ := exported(d.dir); len(got) != 0 {
		t.Errorf("readers see %v", got)
	}
}

// TestSpoolDamageIsNotCommitted: what is read back from the spool must be what was written.
func TestSpoolDamageIsNotCommitted(t *testing.T) {
	t.Parallel()
	st := pendingState(coord.Running)
	st.Pending = nil
	damaged := spooled("1\n", 1)
	damaged.spool = mspool{"2\n"}
	com, _, z := left(t, st, nil)
	err := com.commit(t.Context(), t.Context(), &sealed{generation: 1, content: damaged, to: coord.Point{Phase: phaseLog, Index: 10}}, nil)
	if err == nil || z.tasks["t"].States[0].State.Seq != 3 {
		t.Errorf("commit: %v", err)
	}
}

// TestSweep: own stage files of older epochs that no pending names, and dead generations and plans; nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	pending := "c-t-p0-e4-7.csv"
	keep := []string{
		stageDir + "/" + pending,             // decided: readers will get it
		stageDir + "/c-t-p0-e5-1.csv",        // our own
		stageDir + "/c-t-p0-e6-1.csv",        // a younger leader's
		stageDir + "/c-t2-p0-e4-1.csv",       // another task's
		stageDir + "/other-t-p0-e4-1.csv",    // another cluster's
		stageDir + "/c-t-probe",              // no segment
		stageDir + "/notes.txt",              // not ours
		generationDir(1) + "/x.csv",          // unpublished, current
		stateDir + "/t-p0-g01-e4-2.plan",     // named
		stateDir + "/t-p0-g01-e5-9.plan",     // just written
		stateDir + "/t-p0-e4-3.key",          // named by the point
		stateDir + "/u-p0-g01-e4-2.plan",     // another task's
		ownerFile, ownDir + "/gxyz/file.csv", // no generation
		namer{suffix: ".csv"}.final(1, 1), "part-0.csv",
	}
	gone := []string{
		stageDir + "/c-t-p0-e4-8.csv", stageDir + "/c-t-p1-e1-1.csv", stageDir + "/c-t-p0-e3-7.csv",
		generationDir(2) + "/y.csv", stateDir + "/t-p0-g01-e3-1.plan", stateDir + "/t-p0-e4-2.key",
	}
	files := map[string]string{}
	for _, f := range append(append([]string{}, keep...), gone...) {
		files[f] = "x\n"
	}
	st := coord.SubtaskState{
		Generation: 1, Pending: &coord.Pending{Stage: stageDir + "/" + pending}, Plan: &coord.PlanRef{File: stateDir + "/t-p0-g01-e4-2.plan"},
		Point: coord.Point{Key: []byte(keyMark + "0000abcd:" + stateDir + "/t-p0-e4-3.key")},
	}
	_, d, _ := left(t, st, files)
	proved := false
	prove := func(context.Context) error { proved = true; return nil }
	n, err := sweep(t.Context(), d, "c", "t", 5, prove, func() []coord.SubtaskState {
		if !proved {
			t.Error("the states are read before the lead is proved")
		}
		return []coord.SubtaskState{st}
	})
	if err != nil || n != len(gone) {
		t.Errorf("swept %d, want %d: %v", n, len(gone), err)
	}
	for _, f := range keep {
		if _, err := os.Stat(d.path(f)); err != nil {
			t.Errorf("swept: %v", err)
		}
	}
	for _, f := range gone {
		if _, err := os.Stat(d.path(f)); !os.IsNotExist(err) {
			t.Errorf("%s stays", f)
		}
	}
	_, d, _ = left(t, st, files)
	if n, err := sweep(t.Context(), d, "c", "t", 5, func(context.Context) error { return coord.ErrFenced }, func() []coord.SubtaskState { return nil }); n != 0 || !errors.Is(err, coord.ErrFenced) {
		t.Errorf("a leader that lingers swept %d: %v", n, err)
	}
}

// TestRestartRecoversFailedPending: a whole synctool: the pending segment of a FAILED subtask is settled first, then the subtask goes on by
// itself.
func TestRestartRecoversFailedPending(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 100)
	k.holds(data, true)
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	st := k.z.state(0)
	final := filepath.Join(k.dest("out"), namer{pid: 0, suffix: ".csv"}.final(st.Generation, st.Seq))
	info, err := os.Stat(final)
	if err != nil {
		t.Fatal(err)
	}
	stage := stageDir + "/test-x-p0-e1-99.csv"
	if err := errors.Join(os.MkdirAll(filepath.Join(k.dest("out"), stageDir), 0o755), os.Rename(final, filepath.Join(k.dest("out"), stage))); err != nil {
		t.Fatal(err)
	}
	k.z.put(0, func(s *coord.SubtaskState) {
		s.Status, s.Code, s.Reason = coord.Failed, "log-gap", "before"
		s.Pending = &coord.Pending{Stage: stage, Final: filepath.Base(final), Len: info.Size(), Rows: 1}
	})
	data[0].grow(0, 20)
	k.tool()
	k.holds(data, true)
	k.status(0, "RUNNING")
}

// TestRestartWithoutOwner: a leader that does not see owner.json must not write; --accept-missing takes the destination as it is.
func TestRestartWithoutOwner(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 50)
	k.holds(data, true)
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(k.dest("out"), ownerFile)); err != nil {
		t.Fatal(err)
	}
	k.tool()
	k.status(0, "FAILED")
	if s := k.z.state(0); s.Code != codeDestMissing || !strings.Contains(s.Reason, "owner.json") {
		t.Errorf("failed as %q: %q", s.Code, s.Reason)
	}
	data[0].grow(0, 20)
	k.recover(&omsyncpb.RecoverRequest{AcceptMissing: true}, 1)
	k.holds(data, true)
}

// TestRestartWithForeignOwner: two clusters on one destination.
func TestRestartWithForeignOwner(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 50)
	k.holds(data, true)
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(k.dest("out"), ownerFile), []byte(`{"cluster":"prod","task":"t1"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	k.tool()
	k.status(0, "FAILED")
	if s := k.z.state(0); s.Code != codeDestForeign || !strings.Contains(s.Reason, "prod") {
		t.Errorf("failed as %q: %q", s.Code, s.Reason)
	}
}

// TestRestartWithDestinationDown: the start is not held up, and the subtask goes on when the destination is back.
func TestRestartWithDestinationDown(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 50)
	k.holds(data, true)
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	k.inject.set(failing("open", errors.New("connection refused")))
	data[0].grow(0, 20)
	k.tool()
	l, err := k.api().List(t.Context(), &omsyncpb.ListRequest{})
	if err != nil || len(l.GetTasks()) != 1 {
		t.Fatalf("list: %v, %v", l, err)
	}
	k.eventually("the reason is shown", func() bool {
		l, err := k.api().List(t.Context(), &omsyncpb.ListRequest{})
		return err == nil && strings.Contains(l.GetTasks()[0].GetSubtasks()[0].GetFault().GetReason(), "connection refused")
	})
	k.inject.set(nil)
	k.holds(data, true)
}
