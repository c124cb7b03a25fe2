package synctool

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/omsyncpb"
)

func TestNames(t *testing.T) {
	t.Parallel()
	n := namer{cluster: "/a-b", task: "t7-0f", pid: 12, epoch: 34, suffix: ".csv", n: new(atomic.Uint64)}
	if got := n.stage(); got != "_omsync/stage/_a_b-t7_0f-p12-e34-1.csv" {
		t.Errorf("stage name %s", got)
	}
	if a, b := n.stage(), n.stage(); a == b {
		t.Errorf("stage name %s is used twice", a)
	}
	if got := n.final(0xab, 7); got != "g00000000000000ab-p12-00000007.csv" {
		t.Errorf("final name %s", got)
	}
	if got := n.deletes(0xab, 7); got != "_deletes-g00000000000000ab-p12-00000007.jsonl" {
		t.Errorf("name of a file of deletes %s", got)
	}
	if got := n.unpublished(0xab, 7); got != "_omsync/g00000000000000ab/g00000000000000ab-p12-00000007.csv" {
		t.Errorf("unpublished name %s", got)
	}
	pid, epoch, ok := stageOf("/a-b", "t7-0f", baseName(n.stage()))
	if pid != 12 || epoch != 34 || !ok {
		t.Errorf("stage name reads as p%d e%d %t", pid, epoch, ok)
	}
	for _, base := range []string{"_a_b-t7_0f2-p1-e1-1.csv", "x_a_b-t7_0f-p1-e1-1.csv", "_a_b-t7_0f-p1-e1.csv", "_a_b-t7_0f-p1-ex-1.csv", "_a_b-t7_0f-probe", ""} {
		if _, _, ok := stageOf("/a-b", "t7-0f", base); ok {
			t.Errorf("%q is taken for our stage file", base)
		}
	}
	for _, made := range []string{n.plan(5), n.key()} {
		if e, ok := stateOf("t7-0f", baseName(made)); e != 34 || !ok {
			t.Errorf("%s reads as e%d %t", made, e, ok)
		}
	}
}

// FuzzNames: no name makes the readers of names panic, and only our own are ours.
func FuzzNames(f *testing.F) {
	f.Add("c-t-p1-e2-3.csv")
	f.Add("g00000000000000ab")
	f.Add("t-p0-g01-e3-1.plan")
	f.Add("omsync-key-file:0000abcd:_omsync/state/t-p0-e4-3.key")
	f.Fuzz(func(t *testing.T, base string) {
		if _, _, ok := stageOf("c", "t", base); ok && !strings.HasPrefix(base, "c-t-p") {
			t.Errorf("%q is taken for our stage file", base)
		}
		if _, ok := stateOf("t", base); ok && !strings.HasPrefix(base, "t-p") {
			t.Errorf("%q is taken for our state file", base)
		}
		if g, ok := generationOf(base); ok && generationDir(g) != ownDir+"/"+strings.ToLower(base) {
			t.Errorf("%q reads as generation %x", base, g)
		}
		if _, name, err := splitKeyRef([]byte(base)); err == nil && (!strings.HasPrefix(name, stateDir+"/") || strings.Contains(name, "..")) {
			t.Errorf("%q names %q", base, name)
		}
	})
}

func testPlan() *omsyncpb.Plan {
	return &omsyncpb.Plan{Generation: 1, SnapshotName: "S1", Z: 40, NowMs: 9, Backlog: []byte{1, 2, 3}, BacklogRows: 3, Vanished: 2}
}

func TestPlanFile(t *testing.T) {
	t.Parallel()
	b, sum, err := encodePlan(testPlan())
	if err != nil {
		t.Fatal(err)
	}
	p, err := decodePlan(b, sum)
	if err != nil || !proto.Equal(p, testPlan()) {
		t.Errorf("read back %v, %v", p, err)
	}
	for cut := range b {
		if _, err := decodePlan(b[:cut], sum); err == nil {
			t.Errorf("a plan cut to %d of %d bytes is taken", cut, len(b))
		}
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 4
		if _, err := decodePlan(bad, sum); err == nil {
			t.Errorf("a plan with byte %d flipped is taken", i)
		}
	}
	if _, err := decodePlan(b, sum+1); err == nil {
		t.Error("another plan than the node's is taken")
	}
}

func FuzzPlanFile(f *testing.F) {
	b, sum, _ := encodePlan(testPlan())
	f.Add(b, sum)
	f.Add([]byte(planMagic), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, sum uint32) {
		if p, err := decodePlan(b, sum); err == nil && p == nil {
			t.Error("neither plan nor error")
		}
	})
}

// TestFirstPlanWins: the plan of a generation is fixed by the first decision, whoever proposes.
func TestFirstPlanWins(t *testing.T) {
	t.Parallel()
	com, d, z := left(t, coord.SubtaskState{Generation: 1, Status: coord.Running}, nil)
	if ok, err := com.acceptPlan(t.Context(), testPlan()); !ok || err != nil {
		t.Fatalf("accepted %t, %v", ok, err)
	}
	ref := z.tasks["t"].States[0].State.Plan
	if ref == nil || ref.Z != 40 || ref.Pin != "S1" || ref.BacklogRows != 3 {
		t.Fatalf("the node says %+v", ref)
	}
	if ok, err := com.acceptPlan(t.Context(), testPlan()); !ok || err != nil {
		t.Errorf("the same again: %t, %v", ok, err)
	}
	other := testPlan()
	other.Z = 41
	if ok, err := com.acceptPlan(t.Context(), other); ok || err != nil {
		t.Errorf("another plan: %t, %v", ok, err)
	}
	stale := testPlan()
	stale.Generation = 2
	if ok, _ := com.acceptPlan(t.Context(), stale); ok {
		t.Error("a plan of another generation is taken")
	}
	p, err := com.readPlan(t.Context(), ref)
	if err != nil || !proto.Equal(p, testPlan()) {
		t.Errorf("read back %v, %v", p, err)
	}
	if err := os.WriteFile(d.path(ref.File), []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := com.readPlan(t.Context(), ref); faultCode(err) != codeDestMissing {
		t.Errorf("a damaged plan: %v", err)
	}
	if err := os.Remove(d.path(ref.File)); err != nil {
		t.Fatal(err)
	}
	if _, err := com.readPlan(t.Context(), ref); faultCode(err) != codeDestMissing {
		t.Errorf("a lost plan: %v", err)
	}
}

// TestLongKeys: a key over 256 bytes lies in a checksummed file that the node names; so does one that looks like such a name.
func TestLongKeys(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{
		"short": []byte("k"), "at the bound": bytes.Repeat([]byte("k"), maxKey), "long": bytes.Repeat([]byte("k"), maxKey+1),
		"looks like a reference": []byte(keyMark + "00000000:_omsync/state/x"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			com, d, z := left(t, coord.SubtaskState{Generation: 1, Status: coord.Running}, nil)
			for _, k := range [][]byte{key, append([]byte("z"), key...)} {
				seg := &sealed{generation: 1, to: coord.Point{Phase: phaseSnapshot, Key: k}}
				if err := com.commit(t.Context(), t.Context(), seg, nil); err != nil {
					t.Fatal(err)
				}
				kept := z.tasks["t"].States[0].State.Point
				if len(kept.Key) > maxKey {
					t.Errorf("the node holds a key of %d bytes", len(kept.Key))
				}
				p, err := com.readKey(t.Context(), kept)
				if err != nil || !bytes.Equal(p.Key, k) {
					t.Errorf("read back %q, %v", p.Key, err)
				}
			}
			if l, _ := d.List(t.Context(), stateDir); len(l) > 1 {
				t.Errorf("%d key files for one point", len(l))
			}
			kept := z.tasks["t"].States[0].State.Point
			if !isKeyRef(kept.Key) {
				return
			}
			_, file, _ := splitKeyRef(kept.Key)
			if err := os.WriteFile(d.path(file), []byte("other key"), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := com.readKey(t.Context(), kept); faultCode(err) != codeDestMissing {
				t.Errorf("a damaged key file: %v", err)
			}
		})
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want class
		code string
	}{
		{errors.New("connection reset"), retry, codeDestWrite},
		{syscall.ENOSPC, retry, codeDestWrite},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), retry, codeDestWrite},
		{fmt.Errorf("x: %w", fs.ErrPermission), operator, codeNoPermission},
		{syscall.EACCES, operator, codeNoPermission},
		{syscall.EROFS, operator, codeNoPermission},
		{&os.LinkError{Err: syscall.EXDEV}, operator, codeCrossDevice},
		{fmt.Errorf("x: %w", coord.ErrFenced), fatal, codeFenced},
		{coord.ErrStale, fatal, codeFenced},
		{fmt.Errorf("x: %w", fail("some-code", "", "y")), operator, "some-code"},
	} {
		got := classify("write /d", c.err)
		if got.class != c.want || got.fault.GetCode() != c.code {
			t.Errorf("%v: class %d, code %s; want %d, %s", c.err, got.class, got.fault.GetCode(), c.want, c.code)
		}
		if !errors.Is(got, c.err) && c.code != "some-code" {
			t.Errorf("%v is not in %v any more", c.err, got)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := backoff{}
	want := time.Second
	for i := range 40 {
		d := b.next()
		if d < want*9/10 || d > want*11/10 {
			t.Fatalf("pause %d is %s, want %s ±10 %%", i, d, want)
		}
		want = min(2*want, 5*time.Minute)
	}
	b.reset()
	if d := b.next(); d > 1100*time.Millisecond {
		t.Errorf("after progress the pause is %s", d)
	}
}

// TestMirror: upstream's file, readable by upstream's rules.
func TestMirror(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 40)
	data[0].grow(0, 20)
	k.holds(data, true)
	path := filepath.Join(k.dir, "progress", "7", "0.progress")
	var p datasyncpb.AddSyncTaskRequest
	k.eventually("the mirror has the last point", func() bool {
		b, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		p.Reset()
		if err := protodelim.UnmarshalFrom(bufio.NewReader(bytes.NewReader(b)), &p); err != nil {
			t.Fatal(err)
		}
		return p.GetSyncPoint().GetType() == datasyncpb.SyncType_kBINLOG && p.GetSyncPoint().GetOffset() == 31
	})
	if p.GetTid() != 7 || p.GetMode() != datasyncpb.SyncMode_kFullAndContinuous || p.GetDest() != k.dest("out") || p.GetTabletEndpoint() != "h1:1" {
		t.Errorf("the mirror says %v", &p)
	}
	if _, err := k.api().Delete(t.Context(), &omsyncpb.DeleteRequest{Db: "db", Table: "t"}); err != nil {
		t.Fatal(err)
	}
	l, err := filepath.Glob(filepath.Join(k.dir, "progress", "7.deleted.*"))
	if err != nil || len(l) != 1 {
		t.Errorf("after the deletion: %v, %v", l, err)
	}
}

// TestProgressPoints: formats.md §6.1, a point names what comes next.
func TestProgressPoints(t *testing.T) {
	t.Parallel()
	key := append([]byte("pk|1"), 5, 0, 0, 0, 0, 0, 0, 0)
	// Table 7 has one index over k; of table 8 two share k's family, the first with its ts in column 1.
	z := newFakeZK()
	z.table("db", "one", 7).ColumnKey = []*commonpb.ColumnKey{{IndexName: proto.String("i"), ColName: []string{"k"}, TsName: proto.String("t")}}
	two := z.table("db", "two", 8)
	two.ColumnDesc = []*commonpb.ColumnDesc{{Name: proto.String("k")}, {Name: proto.String("t")}}
	two.ColumnKey = []*commonpb.ColumnKey{
		{IndexName: proto.String("i"), ColName: []string{"k"}, TsName: proto.String("t")}, {IndexName: proto.String("j"), ColName: []string{"k"}},
	}
	of := func(tid uint32) func([]byte) ([]byte, uint64, bool) {
		return (&task{term: &term{world: &fakeCluster{z: z}}, spec: coord.TaskSpec{TID: tid}}).split
	}
	shared := slices.Concat([]byte("pk|1"), []byte{1, 0, 0, 0}, key[len(key)-8:])
	for _, c := range []struct {
		split func([]byte) ([]byte, uint64, bool)
		p     coord.Point
		want  string
	}{
		{of(7), coord.Point{}, `type:kSNAPSHOT`},
		{of(7), coord.Point{Phase: phaseSnapshot, Key: key}, `type:kSNAPSHOT pk:"pk|1" ts:5`},
		{of(9), coord.Point{Phase: phaseSnapshot, Key: key}, `type:kSNAPSHOT pk:"pk|1" ts:5`}, // the table is gone
		{of(8), coord.Point{Phase: phaseSnapshot, Key: shared}, `type:kSNAPSHOT pk:"pk|1" ts:5`},
		{of(8), coord.Point{Phase: phaseSnapshot, Key: key}, `type:kSNAPSHOT pk:"pk|1" ts:5`}, // the index has a family of its own for now
		{of(7), coord.Point{Phase: phaseSnapshot, Key: append([]byte{0xff}, key...)}, `type:kSNAPSHOT`},
		{of(7), coord.Point{Phase: phaseSnapshot, Key: []byte(keyMark + "00000000:_omsync/state/k1")}, `type:kSNAPSHOT`},
		{of(7), coord.Point{Phase: phaseLog, Index: 8}, `type:kBINLOG offset:9`},
		{of(7), coord.Point{Phase: phaseDone, Index: 8}, `type:kBINLOG offset:9`},
	} {
		got := progressOf(&coord.TaskSpec{TID: 1}, 0, &coord.SubtaskState{Point: c.p}, "x", c.split).GetSyncPoint()
		if text := strings.ReplaceAll(got.String(), "  ", " "); text != c.want {
			t.Errorf("%+v is mirrored as %s, want %s", c.p, text, c.want)
		}
	}
}

// TestSpoolIsLocked: one process per spool directory; what a former one left is removed, other files are not.
func TestSpoolIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{spoolPrefix + "c-t-p0-e1-1.csv", "mine.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second lock: %v", err)
	}
	l, _ := filepath.Glob(filepath.Join(dir, "[^.]*"))
	if len(l) != 1 || filepath.Base(l[0]) != "mine.txt" {
		t.Errorf("left: %v", l)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, err = lockDir(dir)
	if err != nil {
		t.Fatalf("after the first is gone: %v", err)
	}
	f.Close()
}

func TestSpoolBound(t *testing.T) {
	t.Parallel()
	u := &spoolUse{max: 10}
	u.bytes.Add(12)
	called := false
	u.wait(func() { called = true })
	if called || !u.full() {
		t.Error("a full spool lets writers on")
	}
	u.free(5)
	if !called || u.full() {
		t.Error("writers are not told that there is room")
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	var r rates
	now := base.Add(100 * time.Second)
	for i := range 20 {
		r.add(now.Add(time.Duration(i)*time.Second), 10, 100)
	}
	if rows, bytes := r.perSecond(now.Add(19 * time.Second)); rows != 10 || bytes != 100 {
		t.Errorf("%g rows, %g bytes a second", rows, bytes)
	}
	if rows, _ := r.perSecond(now.Add(40 * time.Second)); rows != 0 {
		t.Errorf("%g rows a second after 20 idle ones", rows)
	}
}

// TestOpenDecisionIsResent: an answer that does not come is asked for again, unchanged, and nothing else is decided before.
func TestOpenDecisionIsResent(t *testing.T) {
	t.Parallel()
	com, _, z := left(t, coord.SubtaskState{Generation: 1, Status: coord.Running}, nil)
	z.refuse = errors.New("connection loss")
	n := 0
	com.rec.pause = func(context.Context, int) error {
		if n++; n == 3 {
			z.refuse = nil
		}
		return nil
	}
	if err := com.rec.change(t.Context(), func(s *coord.SubtaskState) error { s.Files = 7; return nil }); err != nil || n != 3 {
		t.Fatalf("after %d pauses: %v", n, err)
	}
	if z.tasks["t"].States[0].State.Files != 7 || com.rec.get().Files != 7 {
		t.Error("the decision is not what was asked for")
	}
}

// TestClearIsBatched: one decision clears many; a subtask that decides meanwhile is not waited for, and cleared later: its next commit may be days
// away.
func TestClearIsBatched(t *testing.T) {
	t.Parallel()
	z := newFakeZK()
	z.tasks["t"] = &coord.Task{States: map[uint32]coord.Versioned{}}
	c := newClearer(&fakeLedger{z, 0}, nil)
	var records []*record
	for pid := range uint32(100) {
		st := coord.SubtaskState{Pending: &coord.Pending{Stage: fmt.Sprint(pid)}}
		z.tasks["t"].States[pid] = coord.Versioned{State: st}
		r := newRecord("t", pid, coord.Versioned{State: st}, &fakeLedger{z, 0}, fixedClock)
		r.settled = fmt.Sprint(pid)
		if pid == 7 {
			r.settled = "another"
		}
		records = append(records, r)
		c.add(r)
	}
	<-c.wake // Run would have taken it
	records[9].mu.Lock()
	if err := c.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	records[9].mu.Unlock()
	for pid, v := range z.tasks["t"].States {
		if cleared := v.State.Pending == nil; cleared == (pid == 7 || pid == 9) {
			t.Errorf("partition %d: cleared %t", pid, cleared)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for end := time.Now().Add(15 * time.Second); z.read("t", 9).Pending != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the pending of the busy one stays")
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := records[0].change(t.Context(), func(*coord.SubtaskState) error { return nil }); err != nil {
		t.Errorf("the version is not known after the batch: %v", err)
	}
}

// TestRetiredIsNotCleared: a task's nodes go while its last pending waits to be cleared; that is no other leader's doing.
func TestRetiredIsNotCleared(t *testing.T) {
	t.Parallel()
	z := newFakeZK()
	st := coord.SubtaskState{Pending: &coord.Pending{Stage: "x"}}
	z.tasks["t"] = &coord.Task{States: map[uint32]coord.Versioned{0: {State: st}}}
	c := newClearer(&fakeLedger{z, 0}, nil)
	r := newRecord("t", 0, coord.Versioned{State: st}, &fakeLedger{z, 0}, fixedClock)
	r.settled = "x"
	c.add(r)
	r.retire()
	delete(z.tasks, "t")
	if err := c.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.change(t.Context(), func(*coord.SubtaskState) error { return nil }); !lostLead(err) {
		t.Fatalf("a decision on a node that is gone: %v", err)
	}
}
