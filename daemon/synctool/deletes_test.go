package synctool

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/rpc/omsyncpb"
)

// keeping makes a task that keeps the deletes of its log.
func keeping(t *testing.T, deletes string, edit func(*kit)) (*kit, *simData, *simCollector) {
	k := newKit(t)
	if edit != nil {
		edit(k)
	}
	d := newSimData(0, 30, 10)
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	c := k.collector("h1:9", simTable{0: d})
	_, err := k.api().Create(t.Context(), &omsyncpb.CreateRequest{Db: "db", Table: "t", Mode: proto.Int32(modeFullContinuous), Dest: k.dest("out"), Deletes: deletes})
	if err != nil {
		t.Fatal(err)
	}
	return k, d, c
}

var deletesName = regexp.MustCompile(`^_deletes-g[0-9a-f]{16}-p0-[0-9]{8}\.jsonl$`)

// deleted reads the files of deletes: key by log index. One that is there twice is an error.
func deleted(dir string) (map[uint64]string, error) {
	out := map[uint64]string{}
	files, err := filepath.Glob(filepath.Join(dir, "_deletes*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if !deletesName.MatchString(filepath.Base(file)) {
			return nil, fmt.Errorf("what is %s?", file)
		}
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			d := struct {
				Index uint64 `json:"log_index"`
				Key   *string
				Start *uint64 `json:"start_ts"`
				End   uint64  `json:"end_ts"`
			}{}
			if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			if _, twice := out[d.Index]; twice || d.Key == nil || d.Start != nil || d.End != 7 {
				return nil, errors.Join(fmt.Errorf("%s has %s, or has it twice", file, lines.Text()), f.Close())
			}
			out[d.Index] = *d.Key
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keeps waits until the files hold exactly the deletes of the log.
func (k *kit) keeps(d *simData) {
	k.t.Helper()
	want := d.deletes()
	var got map[uint64]string
	k.eventually(fmt.Sprintf("%d deletes", len(want)), func() (done bool) {
		var err error
		if got, err = deleted(k.dest("out")); err != nil {
			k.t.Fatal(err)
		}
		return len(got) >= len(want)
	})
	if !maps.Equal(got, want) {
		k.t.Fatalf("the files hold %v, the log %v", got, want)
	}
}

// TestDeletesAreKept: with deletes=log each delete of the log is in one file beside the data, in segments with rows and without, whatever restarts.
func TestDeletesAreKept(t *testing.T) {
	t.Parallel()
	for _, remote := range []bool{false, true} {
		t.Run(fmt.Sprintf("remote=%t", remote), func(t *testing.T) {
			t.Parallel()
			k, d, c := keeping(t, deletesLog, func(k *kit) { k.remote = remote })
			data := simTable{0: d}
			k.holds(data, true)
			d.remove(0, 5)
			k.keeps(d)
			if st := k.z.state(0); st.Counters.Deletes != 5 || st.Files >= st.Seq {
				t.Errorf("%d deletes are counted, %d files of rows in %d segments", st.Counters.Deletes, st.Files, st.Seq)
			}
			for range 4 {
				d.grow(0, 20)
				d.remove(0, 15)
				d.grow(0, 1)
			}
			c.stop()
			c.start()
			k.holds(data, true)
			k.keeps(d)
			if err := k.leader().stop(); err != nil {
				t.Fatal(err)
			}
			d.remove(0, 3)
			d.grow(0, 3)
			k.tool()
			k.holds(data, true)
			k.keeps(d)
			l, err := k.api().List(t.Context(), &omsyncpb.ListRequest{})
			if err != nil || l.GetTasks()[0].GetDeletes() != deletesLog {
				t.Errorf("shown as %v, %v", l, err)
			}
		})
	}
}

// TestDeletesAreIgnored: without deletes=log they are counted only; what the conf says holds for tasks that say nothing.
func TestDeletesAreIgnored(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		conf, ask string
		kept      bool
	}{{"", "", false}, {deletesLog, deletesIgnore, false}, {deletesLog, "", true}} {
		t.Run(c.conf+","+c.ask, func(t *testing.T) {
			t.Parallel()
			k, d, _ := keeping(t, c.ask, func(k *kit) { k.opts = func(o *Options) { o.Deletes = c.conf } })
			d.remove(0, 4)
			d.grow(0, 3)
			k.eventually("all is committed", func() bool { return k.z.state(0).Counters.Deletes == 4 && k.z.state(0).Point.Index == d.z()+7 })
			k.holds(simTable{0: d}, true)
			if c.kept {
				k.keeps(d)
				return
			}
			if got, err := deleted(k.dest("out")); err != nil || len(got) != 0 {
				t.Errorf("kept: %v, %v", got, err)
			}
		})
	}
}

// TestUnaskedDeletesAreRefused: a batch with deletes outside the log phase, or for a task that ignores them, does not fit.
func TestUnaskedDeletesAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		deletes string
		to      omsyncpb.Phase
		fits    bool
	}{{deletesLog, omsyncpb.Phase_PHASE_LOG, true}, {deletesIgnore, omsyncpb.Phase_PHASE_LOG, false}, {"", omsyncpb.Phase_PHASE_LOG, false}, {deletesLog, omsyncpb.Phase_PHASE_BACKLOG, false}} {
		s := &subtask{task: &task{spec: coord.TaskSpec{Mode: modeFullContinuous, Deletes: c.deletes}}, att: &attachment{}}
		st := &coord.SubtaskState{SnapshotDone: true, Published: true, PublishDone: true, Point: coord.Point{Phase: phaseBacklog}}
		err := s.fits(st, &omsyncpb.Batch{Seq: 1, To: &omsyncpb.Point{Phase: c.to, LogIndex: 5}, Deletes: []byte{0}, DeleteCount: 1})
		if (err == nil) != c.fits || err != nil && !strings.Contains(err.Error(), "deletes") {
			t.Errorf("deletes=%s to %s: %v", c.deletes, c.to, err)
		}
	}
}

// TestDeletesOfABatchAreWhole: what can not be read, or is not as many as it says, leaves the segment as it was.
func TestDeletesOfABatchAreWhole(t *testing.T) {
	t.Parallel()
	com, d, _ := left(t, coord.SubtaskState{Generation: 1}, nil)
	_, good, _ := logged("D")
	for name, b := range map[string]*omsyncpb.Batch{
		"cut":          {Deletes: good[:len(good)-1], DeleteCount: 1},
		"no LogDelete": {Deletes: []byte{1, 0xff}, DeleteCount: 1},
		"miscounted":   {Deletes: good, DeleteCount: 2},
	} {
		b.Rows, b.RowCount, b.To = []byte("c"), 1, &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG, LogIndex: 3}
		seg := newSegment(mrows{}, 1)
		err := seg.add(t.Context(), com, &shelf{local: true, used: &spoolUse{}}, mrows{}, b)
		var lost *writeError
		if err == nil || errors.As(err, &lost) || seg.holds() || seg.to.Phase != "" {
			t.Errorf("%s: %v, segment %+v", name, err, seg.sealed)
		}
	}
	if l, err := d.List(t.Context(), stageDir); err != nil || len(l) != 0 {
		t.Errorf("staged: %v, %v", l, err)
	}
}

// TestRecoverBetweenTheRenames: a leader that dies after the rename of the rows and before that of the deletes leaves the second to the next one,
// which also goes on after the operator gave up one of them.
func TestRecoverBetweenTheRenames(t *testing.T) {
	t.Parallel()
	st := pendingState(coord.Running)
	n := namer{cluster: "c", task: "t", epoch: 4}
	stage, final := stageDir+"/c-t-p0-e4-2"+dest.DeletesSuffix, n.deletes(1, 3)
	st.Pending.Next = &coord.Pending{Stage: stage, Final: final, Len: 3, Deletes: 1}
	rows := st.Pending
	for _, c := range []struct {
		name     string
		files    map[string]string
		tolerate bool
		fault    string
		words    string
		there    []string
	}{
		{"none is renamed", map[string]string{rows.Stage: "a\nb\n", stage: "{}\n"}, false, "", "", []string{rows.Final, final}},
		{"between", map[string]string{rows.Final: "a\nb\n", stage: "{}\n"}, false, "", "", []string{rows.Final, final}},
		{"both are", map[string]string{rows.Final: "a\nb\n", final: "{}\n"}, false, "", "", []string{rows.Final, final}},
		{"deletes gone", map[string]string{rows.Final: "a\nb\n"}, false, codeDestMissing, "1 committed deletes are missing", []string{rows.Final}},
		{"deletes cut", map[string]string{rows.Stage: "a\nb\n", stage: "{"}, false, codeDestMissing, "3 were committed", []string{rows.Final, stage}},
		{"rows gone", map[string]string{stage: "{}\n"}, false, codeDestMissing, "2 committed rows are missing", []string{stage}},
		{"rows given up", map[string]string{stage: "{}\n"}, true, "", "", []string{final}},
		{"deletes given up", map[string]string{rows.Stage: "a\nb\n"}, true, "", "", []string{rows.Final}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			com, d, _ := left(t, st, c.files)
			com.tolerate = c.tolerate
			for range 2 { // the next leader may die, too
				err := com.recover(t.Context())
				if faultCode(err) != c.fault || c.words != "" && !strings.Contains(err.Error(), c.words) {
					t.Fatalf("recover: %v", err)
				}
			}
			// As the next leader does: what pending names stays.
			if _, err := sweep(t.Context(), d, "c", "t", 5, func(context.Context) error { return nil }, func() []coord.SubtaskState { return []coord.SubtaskState{com.rec.get()} }); err != nil {
				t.Error(err)
			}
			for _, name := range []string{rows.Stage, rows.Final, stage, final} {
				_, err := os.Stat(d.path(name))
				if want := strings.Contains(strings.Join(c.there, " ")+" ", name+" "); want != (err == nil) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestCommitRefusesTakenDeletes: a file under the next name of deletes is somebody else's; nothing is decided and nothing stays staged.
func TestCommitRefusesTakenDeletes(t *testing.T) {
	t.Parallel()
	st := pendingState(coord.Running)
	st.Pending = nil
	com, d, z := left(t, st, map[string]string{namer{}.deletes(1, 4): "strange\n"})
	seg := &sealed{generation: 1, content: spooled("1\n", 1), deletes: spooled("{}\n", 1), to: coord.Point{Phase: phaseLog, Index: 10}}
	err := com.commit(t.Context(), t.Context(), seg, nil)
	if faultCode(err) != codeDestForeign || z.tasks["t"].States[0].State.Seq != 3 {
		t.Errorf("commit: %v", err)
	}
	if l, err := d.List(t.Context(), stageDir); err != nil || len(l) != 0 {
		t.Errorf("staged: %v, %v", l, err)
	}
}
