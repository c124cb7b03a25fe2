//go:build rocksdb

package tabletsim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"omsync/openmldb/pb/apipb"
)

// stored lists index i of a partition's store: pk/ts.
func stored(t *testing.T, p *Partition, i int) []string {
	t.Helper()
	s := p.Schema()
	var out []string
	if err := p.store.Scan(s.familyOf(i), func(key, _ []byte) bool {
		if pk, ts, ok := s.splitKey(i, key); ok {
			out = append(out, fmt.Sprintf("%s/%d", pk, ts))
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func putAll(t *testing.T, p *Partition, values ...any) Ack {
	t.Helper()
	s := p.Schema()
	row, err := s.Encode(values)
	if err != nil {
		t.Fatal(err)
	}
	var dims []Dim
	for i, ix := range s.Indexes {
		if !ix.Deleted {
			dims = append(dims, Dim{uint32(i), s.Key(i, values)})
		}
	}
	a, err := p.Put(t.Context(), Put{Time: 1000, Row: row, Dims: dims})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestStoreAndDeletes(t *testing.T) {
	t.Parallel()
	sp := spec(1)
	sp.Partitions = 1
	p := open(t, t.TempDir(), schema(t, sp), 0, PartitionOptions{Engine: RocksEngine{}})
	for _, ts := range []int64{0, 5, 300, 20} {
		putAll(t, p, "a", ts, int64(1), nil)
	}
	putAll(t, p, "b", int64(5), nil, nil)
	want(t, "key ascending, newest first", stored(t, p, 0), "a/300", "a/20", "a/5", "a/0", "b/5")
	want(t, "put time, shared family", stored(t, p, 1), "a/1000", "b/1000")
	want(t, "NULL key", stored(t, p, 2), nullKey+"/5", "1/300", "1/20", "1/5", "1/0")
	del := func(d Delete) {
		t.Helper()
		if _, err := p.Delete(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	u := func(v uint64) *uint64 { return &v }
	del(Delete{Dim: &Dim{0, "a"}, Start: u(20), End: u(5)})
	want(t, "end exclusive, start inclusive", stored(t, p, 0), "a/300", "a/5", "a/0", "b/5")
	want(t, "other indexes stay", stored(t, p, 1), "a/1000", "b/1000")
	before := p.offset.Load() - p.Last()
	del(Delete{TsName: "ts", Start: u(5)})
	want(t, "keyless", stored(t, p, 0), "a/300", "a/0")
	want(t, "keyless, the other index of that column", stored(t, p, 2), "1/300", "1/20", "1/0")
	if drift := p.offset.Load() - p.Last() - before; drift != 3 {
		t.Errorf("a keyless delete of 4 keys moved the offset ahead by %d, want 3", drift)
	}
	del(Delete{Dim: &Dim{0, "a"}})
	want(t, "ts 0 survives", stored(t, p, 0), "a/0")
}

func TestSnapshotLifeCycle(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	var p *Partition
	late := func() { putRow(t, p, "late", int64(9), nil, nil) }
	o := PartitionOptions{Engine: RocksEngine{}, Now: func() time.Time { return now }, LogBytes: 200}
	p = open(t, dir, schema(t, spec(1)), 0, o)
	if gone, err := p.TrimLogs(); err != nil || len(gone) != 0 {
		t.Error("log files go before the first snapshot", gone, err)
	}
	for i := range 20 {
		putRow(t, p, fmt.Sprint("k", i), int64(i), nil, strings.Repeat("x", 50))
	}
	p.opts.Hooks = Hooks{AfterOffset: late, BeforeDelete: func() {
		if _, err := os.Stat(filepath.Join(p.SnapshotDir(), "202601020304")); err != nil {
			t.Error(err)
		}
	}}
	c, err := p.Snapshot()
	if err != nil || c.Name != "202601020304" || c.Offset != 20 || c.Count != 20 {
		t.Fatal(c, err)
	}
	text, err := os.ReadFile(filepath.Join(p.SnapshotDir(), "MANIFEST"))
	if err != nil || string(text) != "offset: 20\nname: \"202601020304\"\ncount: 20\nterm: 1\n" {
		t.Errorf("%q %v", text, err)
	}
	p.opts.Hooks = Hooks{}
	first := checkpointRows(t, filepath.Join(p.SnapshotDir(), c.Name), p.Schema())
	if first != 21 {
		t.Errorf("checkpoint has %d rows, want the 20 and the one that came between offset and flush", first)
	}
	if _, err := p.Snapshot(); err != nil { // the same minute: by way of .bak
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if _, err := p.Snapshot(); err != nil {
		t.Fatal(err)
	}
	des, err := os.ReadDir(p.SnapshotDir())
	if err != nil || len(des) != 2 || des[0].Name() != "202601020305" || des[1].Name() != "MANIFEST" {
		t.Errorf("%v %v", des, err)
	}
	gone, err := p.TrimLogs()
	if err != nil || len(gone) == 0 || len(p.files) != 2 {
		t.Errorf("%v %v, left %v", gone, err, p.files)
	}
	p.mu.Lock()
	first0 := p.files[0].first
	p.mu.Unlock()
	es := entries(t, p)
	if es[0].GetLogIndex() != first0 || es[0].GetLogIndex() > 21 {
		t.Errorf("log begins at %d", es[0].GetLogIndex())
	}
}

func checkpointRows(t *testing.T, dir string, s *Schema) int {
	t.Helper()
	cp := filepath.Join(t.TempDir(), "copy")
	if err := linkDir(dir, cp); err != nil {
		t.Fatal(err)
	}
	st, err := RocksEngine{}.Open(cp, s.familyNames(), false)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := st.Scan(s.familyOf(0), func([]byte, []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRestartFromSnapshotAndLog(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), schema(t, spec(1))
	o := PartitionOptions{Engine: RocksEngine{}}
	p, err := OpenPartition(dir, s, 0, apipb.TableMode_kTableLeader, 1, o)
	if err != nil {
		t.Fatal(err)
	}
	putRow(t, p, "a", int64(1), nil, nil)
	p.DriftOffset(1)
	if _, err := p.Snapshot(); err != nil {
		t.Fatal(err)
	}
	putRow(t, p, "hidden", int64(1), nil, nil) // index 2 = the offset: the tablet itself loses it
	putRow(t, p, "c", int64(1), nil, nil)
	key := "a"
	if _, err := p.Delete(t.Context(), Delete{Dim: &Dim{0, key}}); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(true); err != nil {
		t.Fatal(err)
	}
	p = open(t, dir, s, 0, o)
	want(t, "after the restart", stored(t, p, 0), "c/1")
	if p.Last() != 4 || p.offset.Load() != 4 {
		t.Errorf("last %d, offset %d", p.Last(), p.offset.Load())
	}
}

func TestRestartLeavesAHole(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), schema(t, spec(1))
	o := PartitionOptions{Engine: RocksEngine{}}
	p, err := OpenPartition(dir, s, 0, apipb.TableMode_kTableLeader, 1, o)
	if err != nil {
		t.Fatal(err)
	}
	putRow(t, p, "a", int64(1), nil, nil)
	p.DriftOffset(10)
	if _, err := p.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(false); err != nil {
		t.Fatal(err)
	}
	p = open(t, dir, s, 0, o)
	putRow(t, p, "b", int64(1), nil, nil)
	es := entries(t, p)
	if len(es) != 2 || es[1].GetLogIndex() != 12 {
		t.Errorf("%v", es)
	}
}

// TestOrdersDiffer: under concurrent puts some entry's neighbour in the log reached the store first; the last value of one (key, ts) is the same in
// both.
func TestOrdersDiffer(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), schema(t, spec(1)), 0, PartitionOptions{Engine: RocksEngine{}, Jitter: 300 * time.Microsecond})
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		order []string
	)
	done := p.store
	p.store = noting{done, func(kvs []KV) {
		mu.Lock()
		order = append(order, string(kvs[0].Value))
		mu.Unlock()
	}}
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for i := range 60 {
				putRow(t, p, fmt.Sprint("k", r.IntN(5)), int64(r.IntN(5)), nil, fmt.Sprint(g, "-", i))
			}
		})
	}
	wg.Wait()
	inverted, final := 0, map[string]string{}
	for i, e := range entries(t, p) {
		if order[i] != string(e.GetValue()) {
			inverted++
		}
		values, err := p.Schema().DecodeRow(e.GetValue())
		if err != nil {
			t.Fatal(err)
		}
		final[fmt.Sprintf("%v/%v", values[0], values[1])] = string(e.GetValue())
	}
	if inverted < 20 {
		t.Errorf("only %d of %d entries lie elsewhere in the log than in the store's order", inverted, len(order))
	}
	s := p.Schema()
	if err := p.store.Scan(s.familyOf(0), func(key, value []byte) bool {
		pk, ts, _ := s.splitKey(0, key)
		if final[fmt.Sprintf("%s/%d", pk, ts)] != string(value) {
			t.Errorf("%s/%d: store and log end with different values", pk, ts)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

type noting struct {
	Store
	note func([]KV)
}

func (n noting) Put(kvs []KV) error {
	err := n.Store.Put(kvs)
	n.note(kvs)
	return err
}

func TestSeedAFollower(t *testing.T) {
	t.Parallel()
	s := schema(t, spec(1))
	lead := open(t, t.TempDir(), s, 0, PartitionOptions{Engine: RocksEngine{}, LogBytes: 100})
	for i := range 30 {
		putRow(t, lead, fmt.Sprint("k", i), int64(1), nil, nil)
	}
	if _, err := lead.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if gone, err := lead.TrimLogs(); err != nil || len(gone) == 0 {
		t.Fatal(gone, err)
	}
	putRow(t, lead, "behind", int64(1), nil, nil)
	late := open(t, t.TempDir(), s, 0, PartitionOptions{Engine: RocksEngine{}})
	late.Follow()
	if err := lead.Attach(late); err == nil {
		t.Error("a follower that the log cannot bring up is attached")
	}
	dir := t.TempDir()
	if err := lead.Seed(dir); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir, s, 0, PartitionOptions{Engine: RocksEngine{}})
	f.Follow()
	if err := lead.Attach(f); err != nil {
		t.Fatal(err)
	}
	if err := lead.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(stored(t, f, 0)) != 31 || f.Last() != lead.Last() {
		t.Errorf("%d rows, last %d of %d", len(stored(t, f, 0)), f.Last(), lead.Last())
	}
}

// TestFixtureCheckpointsOpen: RocksDB with these options and this comparator reads what a real tablet wrote.
func TestFixtureCheckpointsOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../testdata/disk/102_0")); err != nil {
		t.Fatal(err)
	}
	m, err := readManifest(filepath.Join(dir, "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := RocksEngine{}.Open(filepath.Join(dir, "snapshot", m.GetName()), []string{"i_k1_ts1"}, false)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := st.Scan("i_k1_ts1", func([]byte, []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if n < 100 {
		t.Errorf("%d keys", n)
	}
}
