package ledger

import (
	"fmt"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/testenv/tabletsim"
)

// TestSeedsAreTheFixture: what is seeded from OpenMLDB's own account of the files is what tabletsim reads in them.
func TestSeedsAreTheFixture(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"102_0", "102_1", "102_2", "102_3", "109_0", "112_0"} {
		dir := "../../testdata/disk/" + id
		b, err := os.ReadFile(dir + "/table_meta.pb")
		if err != nil {
			t.Fatal(err)
		}
		m := &apipb.TableMeta{}
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
		s, err := tabletsim.SchemaOf(m, 1)
		if err != nil {
			t.Fatal(err)
		}
		l := NewTable(Shape{Name: id, Columns: s.AllColumns(), Tag: -1, Index: s.Indexes[0]})
		if err := l.SeedFixture(0, "t", dir); err != nil {
			t.Fatal(err)
		}
		var rows []Row
		last := uint64(0)
		for e, err := range tabletsim.ReadLog(dir+"/binlog", s) {
			if err != nil {
				t.Fatal(id, err)
			}
			last = max(last, e.Index)
			if e.Index0() && e.Method != apipb.MethodType_kDelete {
				rows = append(rows, Row{File: id, Line: int(e.Index), PID: 0, Values: e.Values})
			}
		}
		// Seen as an export of the whole log behind z = 0, each put of the log is there once; rows that only the snapshot has come from the base.
		w := Window{Mode: 2, Bases: []Base{{}}}
		rep, err := l.Verify(seq(rows), map[uint32]Window{0: w})
		if err != nil {
			t.Fatal(err)
		}
		r := rep.Partitions[0]
		if r.Phantom+r.Duplicate != 0 || r.Rows < 20 {
			t.Errorf("%s: %+v", id, r)
		}
		if missing := fmt.Sprint(r.Lost); id == "102_0" && missing != "0" {
			t.Errorf("%s: %s rows of the log are unknown to the log: %v", id, missing, r.Examples)
		}
		if l.Mark().Last(0) > last {
			t.Errorf("%s: seeds reach to %d, the log to %d", id, l.Mark().Last(0), last)
		}
	}
}

func TestBadFixtures(t *testing.T) {
	t.Parallel()
	l := NewTable(shape())
	if err := l.SeedFixture(0, "t", t.TempDir()); err == nil {
		t.Error("an empty directory seeds")
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/expected_binlog.jsonl", []byte(`{"method":"put","dims":[[0,"k"]],"sha8":"x","values":["k",{"len":5}]}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.SeedFixture(0, "t", dir); err == nil {
		t.Error("a value without its text seeds")
	}
}
