package tabletsim

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/typepb"
)

// TestRoutingOfRealTablet: keys of dimensions that a real client logged in partition p hash to p.
func TestRoutingOfRealTablet(t *testing.T) {
	t.Parallel()
	n := 0
	for pid := range uint32(4) {
		f, err := os.Open(fmt.Sprintf("../../testdata/disk/102_%d/expected_binlog.jsonl", pid))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // read only
		for sc := bufio.NewScanner(f); sc.Scan(); {
			var e struct{ Dims [][2]any }
			if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			for _, d := range e.Dims {
				if got := PartitionOf(d[1].(string), 4); got != pid {
					t.Errorf("%q goes to %d, the client sent it to %d", d[1], got, pid)
				}
				n++
			}
		}
	}
	if n < 100 {
		t.Fatalf("only %d keys were there", n)
	}
}

// TestRowVectors: rows of the real Java codec (formats.md §5).
func TestRowVectors(t *testing.T) {
	t.Parallel()
	types := []typepb.DataType{
		typepb.DataType_kBool, typepb.DataType_kSmallInt, typepb.DataType_kInt, typepb.DataType_kBigInt, typepb.DataType_kFloat, typepb.DataType_kDouble,
		typepb.DataType_kDate, typepb.DataType_kTimestamp, typepb.DataType_kVarchar, typepb.DataType_kString,
	}
	var cols []Column
	for i, ty := range types {
		cols = append(cols, Column{Name: fmt.Sprint("c", i), Type: ty})
	}
	date := int64((2023-1900)<<16 | 3<<8 | 11)
	values := []any{true, int64(-2), int64(3), int64(4), 1.5, 2.5, date, int64(1000000000999), "ab", "中"}
	got, err := encodeRow(1, cols, values)
	if err != nil {
		t.Fatal(err)
	}
	const want = "0101360000000000" + "01feff0300000004000000000000000000c03f0000000000000440" + "0b037b00e713a5d4e80000003133" + "6162e4b8ad"
	if hex.EncodeToString(got) != want {
		t.Errorf("row is %x, want %s", got, want)
	}
	strs := cols[8:]
	for n, head := range map[int]string{1: "01010b000000000" + "90a7a71", 300: "010138010000000b003701", 65600: "01014e0001000000000d01004d"} {
		b, err := encodeRow(1, strs, []any{strings.Repeat("z", n), "q"})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(hex.EncodeToString(b), head) {
			t.Errorf("%d: row begins %x, want %s", n, b[:16], head)
		}
	}
}

func TestRowsComeBack(t *testing.T) {
	t.Parallel()
	s := schema(t, spec(1))
	two, err := s.WithColumn(Column{Name: "w", Type: typepb.DataType_kFloat})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		str := rapid.OneOf(rapid.Just(any(nil)), rapid.Map(rapid.SampledFrom([]int{0, 1, 200, 260, 66000}), func(n int) any { return strings.Repeat("x", n) }))
		values := []any{rapid.String().Draw(rt, "k"), rapid.Int64Min(0).Draw(rt, "ts"), any(int64(rapid.Int32().Draw(rt, "k2"))), str.Draw(rt, "v")}
		if rapid.Bool().Draw(rt, "new") {
			values = append(values, float64(rapid.Float32().Draw(rt, "w")))
		}
		row, err := two.Encode(values)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := two.DecodeRow(row)
		if err != nil {
			rt.Fatal(err)
		}
		for len(values) < 5 {
			values = append(values, nil)
		}
		if !reflect.DeepEqual(got, values) {
			rt.Fatalf("%v came back as %v", values, got)
		}
		ts, err := two.tsOf(0, row, 0)
		if err != nil || ts != uint64(values[1].(int64)) {
			rt.Fatalf("ts %d, %v", ts, err)
		}
	})
}

func TestRoute(t *testing.T) {
	t.Parallel()
	s := schema(t, spec(1))
	values := []any{"a", int64(5), int64(7), nil}
	all := s.Route(values)
	got := map[uint32]string{}
	for pid, ds := range all {
		for _, d := range ds {
			if PartitionOf(d.Key, 4) != pid {
				t.Errorf("%v in %d", d, pid)
			}
			got[d.Idx] = d.Key
		}
	}
	if !reflect.DeepEqual(got, map[uint32]string{0: "a", 1: "a", 2: "7"}) {
		t.Error(got)
	}
	if k := s.Key(2, []any{"a", int64(5), nil, nil}); k != nullKey {
		t.Error(k)
	}
	if k := s.Key(0, []any{"", int64(5), nil, nil}); k != emptyKey {
		t.Error(k)
	}
}

func TestSchemaChanges(t *testing.T) {
	t.Parallel()
	s := schema(t, spec(1))
	if f := s.familyNames(); !reflect.DeepEqual(f, []string{"i0", "i2"}) {
		t.Errorf("families %v", f)
	}
	two, err := s.WithColumn(Column{Name: "w", Type: typepb.DataType_kInt})
	if err != nil {
		t.Fatal(err)
	}
	three, err := two.WithIndex(Index{Name: "i3", Columns: []string{"w"}})
	if err != nil {
		t.Fatal(err)
	}
	four, err := three.WithoutIndex(1)
	if err != nil {
		t.Fatal(err)
	}
	m := four.Meta(2, apipb.TableMode_kTableLeader, 3)
	if v := m.GetSchemaVersions(); len(v) != 1 || v[0].GetId() != 2 || v[0].GetFieldCount() != 5 || m.GetColumnKey()[1].GetFlag() != 1 || len(m.GetAddedColumnDesc()) != 1 {
		t.Errorf("%v", m)
	}
	back, err := SchemaOf(m, 4)
	if err != nil || !reflect.DeepEqual(back.Indexes[3], Index{Name: "i3", Columns: []string{"w"}, TTLType: typepb.TTLType_kAbsoluteTime}) {
		t.Errorf("%+v, %v", back, err)
	}
	if _, err := three.WithIndex(Index{Name: "i4", Columns: []string{"k"}}); err == nil {
		t.Error("an added index on the columns of another passes")
	}
	if _, err := s.WithoutIndex(0); err == nil {
		t.Error("index 0 can go")
	}
	if len(s.Indexes) != 3 || len(s.Added) != 0 {
		t.Error("a change reaches the old schema")
	}
	// A NULL ts cannot be stored.
	row, err := encodeRow(1, []Column{{Name: "ts", Type: typepb.DataType_kBigInt}}, []any{nil})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rowTs(row, []Column{{Name: "ts", Type: typepb.DataType_kBigInt}}, 0); err == nil {
		t.Error("a NULL ts passes")
	}
}
