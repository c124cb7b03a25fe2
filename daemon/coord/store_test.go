package coord

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"omsync/openmldb/zkconn"
	"omsync/testenv/memzk"
	"omsync/testenv/zkserver"
)

func TestStoreLife(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	s := session(t, z.Addr())
	store, _ := lead(t, s)
	ctx := limit(t)

	spec, sts := task("t7-a", 2)
	must(t, store.Create(ctx, spec, sts))
	must(t, store.Create(ctx, spec, sts)) // a resend
	other := spec
	other.Dest = "/elsewhere"
	want(t, store.Create(ctx, other, sts), ErrExists)

	full := SubtaskState{
		Status: Running, Generation: 0xfedcba9876543210, Collector: "10.0.0.1:9999", Tablet: "10.0.0.1:9527", Token: "tok", Seq: 3,
		Point: Point{Phase: "SNAPSHOT", Key: []byte{0, 255, 'k'}}, Plan: &PlanRef{File: "_omsync/state/p", CRC: 1, Z: 2, Pin: "S", NowMs: 3, BacklogRows: 4},
		Pending: &Pending{Stage: "_omsync/stage/x", Final: "g-p0-1.csv", Len: 10, CRC: 1 << 31, Rows: 2}, Mark: &Mark{Index: 9, Term: 1, CRC: 7},
		Counters: Counters{Rows: 1, Bytes: 2, Expired: 3, Filtered: 4, Deletes: 5, Foreign: 6, Repeated: 7, Holes: 8, SkippedBlocks: 9}, Files: 3, UpdatedMs: 5,
	}
	v, err := store.Update(ctx, "t7-a", 1, 0, full)
	must(t, err)
	if v != 1 {
		t.Fatalf("version %d after the first update", v)
	}
	_, err = store.Update(ctx, "t7-a", 1, 0, SubtaskState{Status: Failed})
	want(t, err, ErrStale)
	vs, err := store.UpdateMany(ctx, []Change{{"t7-a", 0, 0, SubtaskState{Status: Running}}, {"t7-a", 1, 1, full}})
	must(t, err)
	if !reflect.DeepEqual(vs, []int32{1, 2}) {
		t.Fatalf("versions %v", vs)
	}
	// One of several that does not fit: none is set.
	_, err = store.UpdateMany(ctx, []Change{{"t7-a", 0, 1, SubtaskState{Status: Paused}}, {"t7-a", 1, 1, full}})
	want(t, err, ErrStale)

	spec.Deleting = true
	sv, err := store.SetSpec(ctx, spec, 0)
	must(t, err)
	if sv != 1 {
		t.Fatalf("spec version %d", sv)
	}
	_, err = store.SetSpec(ctx, spec, 7)
	want(t, err, ErrStale)

	tasks, err := store.Load(ctx)
	must(t, err)
	full.Schema, spec.Schema = Schema, Schema
	wanted := []Task{{Spec: spec, SpecVersion: 1, States: map[uint32]Versioned{
		0: {SubtaskState{Schema: Schema, Status: Running}, 1}, 1: {full, 2},
	}}}
	if !reflect.DeepEqual(tasks, wanted) {
		t.Fatalf("loaded %+v\nwant   %+v", tasks, wanted)
	}

	record := FinishedRecord{Spec: spec, EndedMs: time.Now().UnixMilli(), States: map[uint32]SubtaskState{1: full}}
	must(t, store.Finish(ctx, "t7-a", record))
	must(t, store.Finish(ctx, "t7-a", record))
	must(t, store.Remove(ctx, "t7-a"))
	must(t, store.Remove(ctx, "t7-a"))
	if tasks, err = store.Load(ctx); err != nil || len(tasks) != 0 {
		t.Fatalf("after remove: %v, %v", tasks, err)
	}
	_, err = store.Update(ctx, "t7-a", 1, 2, full)
	want(t, err, ErrStale)
	finished, err := store.Finished(ctx)
	must(t, err)
	record.Schema = Schema
	if !reflect.DeepEqual(finished, []FinishedRecord{record}) {
		t.Fatalf("finished %+v\nwant     %+v", finished, record)
	}
}

// TestFencing: once another leader has begun, nothing of the former one is written, whatever it calls.
func TestFencing(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	old, stop := lead(t, session(t, z.Addr()))
	ctx := limit(t)
	spec, sts := task("t7-a", 2)
	must(t, old.Create(ctx, spec, sts))
	stop()
	next, _ := lead(t, session(t, z.Addr()))
	if next.Epoch() != old.Epoch()+1 {
		t.Fatalf("epochs %d, %d", old.Epoch(), next.Epoch())
	}
	other, _ := task("t7-b", 1)
	for what, f := range map[string]func() error{
		"update": func() error {
			_, err := old.Update(ctx, "t7-a", 0, 0, SubtaskState{Status: Failed})
			return err
		},
		"update at a version that is not there": func() error {
			_, err := old.Update(ctx, "t7-a", 0, 5, SubtaskState{Status: Failed})
			return err
		},
		"update many": func() error {
			_, err := old.UpdateMany(ctx, []Change{{"t7-a", 0, 0, SubtaskState{Status: Failed}}, {"t7-a", 1, 0, SubtaskState{Status: Failed}}})
			return err
		},
		"create": func() error { return old.Create(ctx, other, nil) },
		"set spec": func() error {
			_, err := old.SetSpec(ctx, TaskSpec{ID: "t7-a", Deleting: true}, 0)
			return err
		},
		"remove": func() error { return old.Remove(ctx, "t7-a") },
		"finish": func() error { return old.Finish(ctx, "t7-a", FinishedRecord{}) },
	} {
		if err := f(); err == nil {
			t.Errorf("%s of a former leader passes", what)
		} else {
			want(t, err, ErrFenced)
		}
	}
	tasks, err := next.Load(ctx)
	must(t, err)
	if len(tasks) != 1 || states(&tasks[0]) != "0:INIT/0@0 1:INIT/0@0" || tasks[0].Spec.Deleting {
		t.Fatalf("a former leader left its mark: %+v", tasks)
	}
	if f, err := next.Finished(ctx); err != nil || len(f) != 0 {
		t.Fatalf("finished: %v, %v", f, err)
	}
}

// TestManySubtasks: what does not fit into one multi is split, and a create is decided by its spec alone.
func TestManySubtasks(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	s := session(t, z.Addr())
	store, _ := lead(t, s)
	ctx := limit(t)
	const n = 2500
	spec, sts := task("t7-many", n)
	for p := range sts {
		sts[p] = big(700)
	}
	must(t, store.Create(ctx, spec, sts))
	began := time.Now()
	tasks, err := store.Load(ctx)
	must(t, err)
	t.Logf("%d subtasks load in %s", n, time.Since(began))
	if len(tasks) != 1 || len(tasks[0].States) != n {
		t.Fatalf("%d tasks", len(tasks))
	}
	changes := make([]Change, n)
	for p := range changes {
		st := tasks[0].States[uint32(p)].State
		st.Seq++
		changes[p] = Change{spec.ID, uint32(p), 0, st}
	}
	// A part that another call decided already does not stand in the way of the identical one.
	_, err = store.UpdateMany(ctx, changes[:10])
	must(t, err)
	_, err = store.UpdateMany(ctx, changes[:10])
	must(t, err)
	_, err = store.UpdateMany(ctx, changes[10:])
	must(t, err)
	record := FinishedRecord{Spec: spec, EndedMs: time.Now().UnixMilli(), States: map[uint32]SubtaskState{}}
	for _, c := range changes {
		record.States[c.PID] = c.State
	}
	must(t, store.Finish(ctx, spec.ID, record))
	must(t, store.Remove(ctx, spec.ID))
	finished, err := store.Finished(ctx)
	must(t, err)
	record.Schema, record.Spec.Schema = Schema, Schema
	if len(finished) != 1 || !reflect.DeepEqual(finished[0], record) {
		t.Fatalf("%d records came back", len(finished))
	}
	if tasks, err = store.Load(ctx); err != nil || len(tasks) != 0 {
		t.Fatalf("after remove: %d tasks, %v", len(tasks), err)
	}
}

// TestUnfinishedCreateIsSwept: without its spec a task was never created.
func TestUnfinishedCreateIsSwept(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	s := session(t, z.Addr())
	store, _ := lead(t, s)
	ctx := limit(t)
	must(t, s.conn.MkdirAll(ctx, s.paths.states("t7-half")))
	_, err := s.conn.Create(ctx, s.paths.state("t7-half", 0), []byte("{}"), zkconn.Persistent)
	must(t, err)
	must(t, s.conn.MkdirAll(ctx, s.paths.task("t7-bare")))
	spec, sts := task("t7-a", 1)
	must(t, store.Create(ctx, spec, sts))
	tasks, err := store.Load(ctx)
	must(t, err)
	if len(tasks) != 1 || tasks[0].Spec.ID != "t7-a" {
		t.Fatalf("loaded %+v", tasks)
	}
	if left, _, err := s.conn.Children(ctx, s.paths.tasks()); err != nil || len(left) != 1 {
		t.Fatalf("left %v, %v", left, err)
	}
	// A create that meets the rest of another is not hindered by it.
	must(t, s.conn.MkdirAll(ctx, s.paths.states("t7-again")))
	spec, sts = task("t7-again", 3)
	must(t, store.Create(ctx, spec, sts))
	if tasks, err = store.Load(ctx); err != nil || len(tasks) != 2 {
		t.Fatalf("loaded %+v, %v", tasks, err)
	}
}

// TestDamagedNodes: what can not be read is refused by name, a newer schema as such.
func TestDamagedNodes(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	s := session(t, z.Addr())
	store, _ := lead(t, s)
	ctx := limit(t)
	spec, sts := task("t7-a", 1)
	must(t, store.Create(ctx, spec, sts))
	at := s.paths.state("t7-a", 0)
	for value, text := range map[string]string{
		`{"schema":2,"later":1}`:             at + " has schema 2, this release knows up to 1: run the newer release that wrote it",
		`{"status":"INIT"}`:                  at + " has no schema number: it was not written by omsync, put it back from a backup of ZooKeeper, or remove the whole task to give it up",
		`{"schema":1,"generation":"xyz"}`:    "",
		`{"schema":1,"seq":-1}`:              "",
		"":                                   "",
		"\x00\xff":                           "",
		`{"schema":1,"status":"INIT"`:        "",
		`{"schema":1,"generation":12345}`:    "",
		`{"schema":99999999999999999999999}`: "",
	} {
		_, err := s.conn.Set(ctx, at, []byte(value), -1)
		must(t, err)
		_, err = store.Load(ctx)
		if err == nil || text != "" && err.Error() != "load task t7-a: "+text {
			t.Errorf("%q: error %v", value, err)
		}
	}
	must(t, s.conn.Delete(ctx, at, -1))
	if _, err := store.Load(ctx); err == nil || !strings.Contains(err.Error(), at+" is gone") {
		t.Errorf("a partition without a state: %v", err)
	}
	_, err := s.conn.Create(ctx, s.paths.states("t7-a")+"/zero", nil, zkconn.Persistent)
	must(t, err)
	if _, err = store.Load(ctx); err == nil {
		t.Error("a partition called zero loads")
	}
	for _, id := range []string{"", ".", "..", "a/b"} {
		if _, err := store.Update(ctx, id, 0, 0, SubtaskState{}); err == nil {
			t.Errorf("task id %q is accepted", id)
		}
	}
}

func TestFinishedIsPruned(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	s := session(t, z.Addr())
	store, _ := lead(t, s)
	ctx := limit(t)
	now := time.Now()
	for i, age := range []time.Duration{0, 6 * 24 * time.Hour, finishedAge + time.Minute, 30 * 24 * time.Hour} {
		spec, sts := task(fmt.Sprintf("t7-%d", i), 2)
		sts[0], sts[1] = big(partBytes*2/3), big(partBytes*2/3) // two parts
		must(t, store.Finish(ctx, spec.ID, FinishedRecord{Spec: spec, EndedMs: now.Add(-age).UnixMilli(), States: sts}))
	}
	for range 2 {
		got, err := store.Finished(ctx)
		must(t, err)
		if len(got) != 2 || got[0].Spec.ID != "t7-0" || got[1].Spec.ID != "t7-1" || len(got[1].States) != 2 {
			t.Fatalf("%d records", len(got))
		}
	}
	for dir, n := range map[string]int{s.paths.finished(): 2, s.paths.finishedParts(): 4} {
		if names, _, err := s.conn.Children(ctx, dir); err != nil || len(names) != n {
			t.Errorf("%s keeps %v, %v", dir, names, err)
		}
	}
}

// TestLostAnswers: an update whose answer is lost, before or after it was applied or with the request coming late, is applied once and told as done.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	faults := make(chan memzk.Fault, 16)
	z, err := memzk.Start(memzk.Options{Fault: func(r memzk.Request) memzk.Fault {
		if r.Op != memzk.OpMulti {
			return memzk.Fault{}
		}
		select {
		case f := <-faults:
			return f
		default:
			return memzk.Fault{}
		}
	}})
	must(t, err)
	t.Cleanup(func() { must(t, z.Close()) })
	s := session(t, z.Addr())
	store, _ := lead(t, s)
	ctx := limit(t)
	spec, sts := task("t7-a", 2)
	faults <- memzk.Fault{Lose: true}
	must(t, store.Create(ctx, spec, sts))
	version := int32(0)
	lose, drop, late := memzk.Fault{Lose: true}, memzk.Fault{Drop: true}, memzk.Fault{Late: 60 * time.Millisecond}
	for i, script := range [][]memzk.Fault{{lose}, {drop}, {late}, {lose, lose}, {drop, lose}, {late, drop}, {late, late, lose}, {drop, drop, late}} {
		for _, f := range script {
			faults <- f
		}
		st := SubtaskState{Status: Running, Seq: uint64(i + 1)}
		v, err := store.Update(ctx, "t7-a", 0, version, st)
		must(t, err)
		if v != version+1 {
			t.Fatalf("script %d: version %d after %d", i, v, version)
		}
		version = v
		// Copies that are still under way arrive.
		until := time.Now().Add(80 * time.Millisecond)
		for time.Now().Before(until) {
			_, at, err := s.conn.Get(ctx, s.paths.state("t7-a", 0))
			must(t, err)
			if at.Version != version {
				t.Fatalf("script %d: version %d, want %d", i, at.Version, version)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	tasks, err := store.Load(ctx)
	must(t, err)
	if got := states(&tasks[0]); got != "0:RUNNING/8@8 1:INIT/0@0" {
		t.Fatalf("after all: %s", got)
	}
}

// TestOpenDecision: while ZooKeeper is away an update stays open; the identical call settles it.
func TestOpenDecision(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	s := session(t, z.Proxy.Addr())
	store, _ := lead(t, s)
	ctx := limit(t)
	spec, sts := task("t7-a", 1)
	must(t, store.Create(ctx, spec, sts))
	z.Proxy.Mute(true)
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	st := SubtaskState{Status: Running, Seq: 1}
	if _, err := store.Update(short, "t7-a", 0, 0, st); err == nil {
		t.Fatal("an update passed without ZooKeeper")
	}
	z.Proxy.Mute(false) // the held back request arrives
	eventually(t, "a session", func() bool { return s.conn.Session().Connected })
	v, err := store.Update(ctx, "t7-a", 0, 0, st)
	must(t, err)
	if v != 1 {
		t.Fatalf("version %d", v)
	}
	_, err = store.Update(ctx, "t7-a", 0, 0, SubtaskState{Status: Failed})
	want(t, err, ErrStale)
}
