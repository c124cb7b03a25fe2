package row_test

import (
	"errors"
	"strings"
	"testing"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"
	"omsync/openmldb/pb/typepb"
	"omsync/openmldb/row"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	base, added := columns(typepb.DataType_kInt, typepb.DataType_kString), columns(typepb.DataType_kBool, typepb.DataType_kDouble)
	s := set(t, base, added, version(1, 2), version(2, 3), version(3, 4))
	for v, n := range map[uint8]int{1: 2, 2: 3, 3: 4} {
		if sc, ok := s.Version(v); !ok || len(sc.Columns()) != n || sc.ID() != v {
			t.Errorf("version %d: %v", v, ok)
		}
	}
	if s.Latest().ID() != 3 {
		t.Error("the latest is", s.Latest().ID())
	}
	b := build(t, s.Latest(), int32(1), "x", true, 2.0)
	b[1] = 4
	var unknown *row.VersionError
	if _, err := s.Check(b); !errors.As(err, &unknown) || unknown.Version != 4 || unknown.Latest != 3 {
		t.Error(err)
	}
	if _, err := s.Hash(b); !errors.As(err, &unknown) {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		base     []*commonpb.ColumnDesc
		versions []*commonpb.VersionPair
		says     string
	}{
		"no columns":   {nil, nil, "without columns"},
		"version 0":    {base, []*commonpb.VersionPair{version(0, 2)}, "1 to 255"},
		"too many":     {base, []*commonpb.VersionPair{version(2, 5)}, "5 columns"},
		"too few":      {base, []*commonpb.VersionPair{version(2, 1)}, "1 columns"},
		"two meanings": {base, []*commonpb.VersionPair{version(2, 3), version(2, 4)}, "3 columns and 4"},
		"other type":   {columns(typepb.DataType_kInt, typepb.DataType(99)), nil, "99"},
	} {
		if _, err := row.NewSet(c.base, added, c.versions, 0); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTypeInSchema: a column's type may stand in its schema, which wins; both sources of a table's columns are read so.
func TestTypeInSchema(t *testing.T) {
	t.Parallel()
	cols := columns(typepb.DataType_kString, typepb.DataType_kInt, typepb.DataType_kInt, typepb.DataType_kBool)
	yes := true
	cols[0].Schema = &commonpb.TableColumnSchema{Type: typepb.DataType_kBigInt.Enum(), NotNull: &yes}
	cols[1].DataType, cols[1].Schema = nil, &commonpb.TableColumnSchema{Type: typepb.DataType_kVarchar.Enum()}
	cols[2].Schema = &commonpb.TableColumnSchema{} // says nothing
	cols[3].Schema = &commonpb.TableColumnSchema{Type: typepb.DataType_kDouble.Enum()}
	base, added, versions := cols[:3], cols[3:], []*commonpb.VersionPair{version(2, 4)}
	ofMeta, err := row.SetOfMeta(&apipb.TableMeta{ColumnDesc: base, AddedColumnDesc: added, SchemaVersions: versions})
	if err != nil {
		t.Fatal(err)
	}
	ofInfo, err := row.SetOfInfo(&nspb.TableInfo{ColumnDesc: base, AddedColumnDesc: added, SchemaVersions: versions})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*row.Set{"TableMeta": ofMeta, "TableInfo": ofInfo} {
		sc := s.Latest()
		for i, want := range []typepb.DataType{typepb.DataType_kBigInt, typepb.DataType_kVarchar, typepb.DataType_kInt, typepb.DataType_kDouble} {
			if got := sc.Columns()[i]; got.Type != want || got.NotNull != (i == 0) {
				t.Errorf("%s: column %d is %+v, want %v", name, i, got, want)
			}
		}
		b := build(t, sc, int64(1<<40), "text", int32(3), 4.5)
		if got, err := s.Check(b); err != nil || got.ID() != 2 || got.Int(b, 0) != 1<<40 || string(got.Bytes(b, 1)) != "text" || got.Int(b, 2) != 3 || got.Float(b, 3) != 4.5 {
			t.Errorf("%s: %v", name, err)
		}
	}
	list := []*commonpb.ColumnDesc{{Name: cols[0].Name, Schema: &commonpb.TableColumnSchema{Type: typepb.DataType_kArray.Enum()}}}
	if _, err := row.NewSet(list, nil, nil, 0); err == nil || !strings.Contains(err.Error(), "column c0 is of type") {
		t.Errorf("a column of a type that rows can not hold: %v", err)
	}
}
