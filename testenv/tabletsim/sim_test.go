package tabletsim

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/typepb"
)

func spec(tid uint32) Spec {
	return Spec{
		DB: "db", Name: fmt.Sprint("t", tid), TID: tid, Partitions: 4,
		Columns: []Column{
			{Name: "k", Type: typepb.DataType_kString, NotNull: true}, {Name: "ts", Type: typepb.DataType_kTimestamp, NotNull: true},
			{Name: "k2", Type: typepb.DataType_kInt}, {Name: "v", Type: typepb.DataType_kString},
		},
		Indexes: []Index{
			{Name: "i0", Columns: []string{"k"}, TsColumn: "ts"}, {Name: "i1", Columns: []string{"k"}}, {Name: "i2", Columns: []string{"k2"}, TsColumn: "ts"},
		},
	}
}

func schema(t *testing.T, sp Spec) *Schema {
	t.Helper()
	s, err := NewSchema(sp)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, dir string, s *Schema, pid uint32, o PartitionOptions) *Partition {
	t.Helper()
	p, err := OpenPartition(dir, s, pid, apipb.TableMode_kTableLeader, 1, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(false); err != nil {
			t.Error(err)
		}
	})
	return p
}

func putRow(t *testing.T, p *Partition, values ...any) Ack {
	t.Helper()
	s := p.Schema()
	row, err := s.Encode(values)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Put(t.Context(), Put{Row: row, Dims: []Dim{{0, s.Key(0, values)}}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// entries reads a log with this package's own reader.
func entries(t *testing.T, p *Partition) []*apipb.LogEntry {
	t.Helper()
	var out []*apipb.LogEntry
	if err := replay(p.BinlogDir(), func(_ uint64, e *apipb.LogEntry) error {
		out = append(out, e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := schema(t, spec(1))
	p := open(t, t.TempDir(), s, 0, PartitionOptions{})
	for name, values := range map[string][]any{
		"too few": {"k"}, "null key": {nil, int64(1), nil, nil}, "wrong type": {"k", "x", nil, nil}, "float for int": {"k", int64(1), 1.5, nil},
	} {
		if _, err := s.Encode(values); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, put := range map[string]Put{
		"no index 9": {Row: []byte{1, 1, 6, 0, 0, 0}, Dims: []Dim{{9, "k"}}}, "short row": {Row: []byte{1}, Dims: []Dim{{0, "k"}}},
		"version": {Row: []byte{1, 9, 6, 0, 0, 0}, Dims: []Dim{{0, "k"}}},
	} {
		if _, err := p.Put(t.Context(), put); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if p.Last() != 0 {
		t.Errorf("refused puts were logged: %d", p.Last())
	}
	if _, err := p.Snapshot(); err == nil {
		t.Error("a snapshot without RocksDB")
	}
}

func TestLogOfConcurrentPuts(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), schema(t, spec(1)), 0, PartitionOptions{LogBytes: 3000})
	var wg sync.WaitGroup
	acks := make([]map[uint64]string, 8)
	for g := range acks {
		acks[g] = map[uint64]string{}
		wg.Go(func() {
			for i := range 50 {
				k := fmt.Sprintf("g%d-%d", g, i)
				acks[g][putRow(t, p, k, int64(i), nil, "x").Index] = k
			}
		})
	}
	wg.Wait()
	es := entries(t, p)
	if len(es) != 400 || p.Last() != 400 {
		t.Fatalf("%d entries, last %d", len(es), p.Last())
	}
	for i, e := range es {
		k := ""
		for _, a := range acks {
			if s, ok := a[e.GetLogIndex()]; ok {
				k = s
			}
		}
		if e.GetLogIndex() != uint64(i+1) || e.GetDimensions()[0].GetKey() != k {
			t.Fatalf("entry %d is %v, acknowledged was %s", i, e, k)
		}
	}
	if len(p.files) < 5 {
		t.Errorf("%d files, want several", len(p.files))
	}
}

func TestKillTearsAndRestartGoesOn(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), schema(t, spec(1))
	want := 0
	for round := range 5 {
		p, err := OpenPartition(dir, s, 0, apipb.TableMode_kTableLeader, 1, PartitionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if p.Last() != uint64(want) {
			t.Fatalf("round %d: last %d, want %d", round, p.Last(), want)
		}
		for i := range 7 {
			putRow(t, p, fmt.Sprint(round, i), int64(i), nil, strings.Repeat("x", 900))
			want++
		}
		if err := p.Kill(true); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Put(t.Context(), Put{}); err == nil {
			t.Fatal("a dead partition takes puts")
		}
		if p.Status(false) != nil {
			t.Fatal("a dead partition answers")
		}
		if got := len(entries(t, p)); got != want {
			t.Fatalf("round %d: %d entries, want %d", round, got, want)
		}
	}
}

func TestFollowers(t *testing.T) {
	t.Parallel()
	s := schema(t, spec(1))
	lead := open(t, t.TempDir(), s, 0, PartitionOptions{})
	putRow(t, lead, "before", int64(1), nil, nil)
	f, err := OpenPartition(t.TempDir(), s, 0, apipb.TableMode_kTableFollower, 1, PartitionOptions{LogBytes: 500})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put(t.Context(), Put{}); err == nil {
		t.Error("a follower takes puts")
	}
	if err := lead.Attach(f); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		putRow(t, lead, fmt.Sprint(i), int64(i), nil, strings.Repeat("y", 100))
	}
	if _, err := lead.Delete(t.Context(), Delete{Dim: &Dim{0, "3"}}); err != nil {
		t.Fatal(err)
	}
	if err := lead.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := entries(t, lead), entries(t, f)
	if len(a) != 52 || len(b) != 52 {
		t.Fatalf("%d and %d entries", len(a), len(b))
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			t.Fatalf("entry %d: %v and %v", i, a[i], b[i])
		}
	}
	if len(lead.files) == len(f.files) {
		t.Errorf("both have %d files: boundaries are to differ", len(f.files))
	}
	lead.HoldReplication(true)
	putRow(t, lead, "held", int64(1), nil, nil)
	if lead.Followers()[f] != 52 {
		t.Errorf("position %d while held", lead.Followers()[f])
	}
	lead.HoldReplication(false)
	if err := lead.Synced(t.Context()); err != nil || f.Last() != 53 {
		t.Errorf("%d, %v", f.Last(), err)
	}
	if err := f.Kill(false); err != nil {
		t.Fatal(err)
	}
	putRow(t, lead, "alone", int64(1), nil, nil)
	if err := lead.Synced(t.Context()); err == nil {
		t.Error("a dead follower is called synced")
	}
	lead.Detach(f)
	if err := lead.Synced(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestServesFixtures(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"102_0", "101_0", "107_0", "108_0", "109_0", "112_2"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("../../testdata/disk/"+id)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(dir + "/table_meta.pb")
		if err != nil {
			t.Fatal(err)
		}
		m := &apipb.TableMeta{}
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
		s, err := SchemaOf(m, 4)
		if err != nil {
			t.Fatal(id, err)
		}
		p := open(t, dir, s, uint32(m.GetPid()), PartitionOptions{})
		man, err := p.Manifest()
		if err != nil {
			t.Fatal(id, err)
		}
		f, err := os.Open("../../testdata/disk/" + id + "/expected_binlog.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // read only
		last := uint64(0)
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, math.MaxInt32)
		n := 0
		for ; sc.Scan(); n++ {
			var e struct{ Offset uint64 }
			if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			last = max(last, e.Offset)
		}
		if es := entries(t, p); len(es) != n {
			t.Errorf("%s: %d entries, the real reader found %d", id, len(es), n)
		}
		if p.Last() != max(last, man.GetOffset()) {
			t.Errorf("%s: last %d, want %d", id, p.Last(), last)
		}
		m2 := p.Meta()
		v, err := versionsOf(m)
		v2, err2 := versionsOf(m2)
		if len(m2.GetColumnDesc()) != len(m.GetColumnDesc()) || !reflect.DeepEqual(v, v2) || err != nil || err2 != nil {
			t.Errorf("%s: meta %v, %v %v", id, m2, err, err2)
		}
	}
}

func TestStatusShapes(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), schema(t, spec(1)), 0, PartitionOptions{})
	if st := p.Status(false); !strings.HasSuffix(st.GetSnapshotPath(), "/snapshot/") || !strings.HasSuffix(st.GetBinlogPath(), "/binlog/") {
		t.Errorf("%v", st)
	}
	if st := p.Status(true); st.SnapshotPath != nil || st.BinlogPath != nil {
		t.Errorf("old tablet says %v", st)
	}
	p.SetState(apipb.TableState_kTableLoading)
	if st := p.Status(false); st.SnapshotPath != nil || st.GetState() != apipb.TableState_kTableLoading {
		t.Errorf("loading tablet says %v", st)
	}
	if _, err := p.Put(context.Background(), Put{}); err == nil {
		t.Error("a loading partition takes puts")
	}
}
