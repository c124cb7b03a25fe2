package tabletsim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"
	"omsync/openmldb/pb/typepb"
)

// Column of a table.
type Column struct {
	Name    string
	Type    typepb.DataType
	NotNull bool
}

// Index of a table. TTLs: AbsTTL in minutes, LatTTL in rows, 0 = unlimited.
type Index struct {
	Name     string
	Columns  []string
	TsColumn string // "" = put time
	TTLType  typepb.TTLType
	AbsTTL   uint64
	LatTTL   uint64
	Deleted  bool
}

// Spec is what CREATE TABLE says.
type Spec struct {
	DB, Name   string
	TID        uint32
	Partitions int
	Replicas   int // 0 = 1
	Storage    commonpb.StorageMode
	Snappy     bool
	Columns    []Column
	Indexes    []Index
}

// Schema is one state of a table's definition. It does not change; ALTER makes another one.
type Schema struct {
	Spec
	Added    []Column
	versions []int // number of columns of version i+1
	families []family
	byIndex  []int // index -> families
}

// family is an inner index, one column family (formats.md §3.3).
type family struct {
	name    string
	indexes []int
}

// Dim is one index key of a row.
type Dim struct {
	Idx uint32
	Key string
}

// NewSchema checks a Spec.
func NewSchema(s Spec) (*Schema, error) { return newSchema(s, nil, nil) }

// newSchema takes columns that were added later, too: an index can be on one. versions are the numbers of columns of schema versions 2, 3, …
func newSchema(s Spec, added []Column, versions []int) (*Schema, error) {
	if s.Replicas == 0 {
		s.Replicas = 1
	}
	if s.Storage == commonpb.StorageMode_kUnknown {
		s.Storage = commonpb.StorageMode_kSSD
	}
	if s.DB == "" || s.Name == "" || s.TID == 0 || s.Partitions < 1 || len(s.Columns) == 0 || len(s.Indexes) == 0 {
		return nil, errors.New("new table: db, name, tid, partitions, columns and indexes are needed")
	}
	c := &Schema{Spec: s, Added: added, versions: append([]int{len(s.Columns)}, versions...)}
	for i, ix := range s.Indexes {
		if err := c.checkIndex(ix); err != nil {
			return nil, err
		}
		c.place(i, true)
	}
	return c, nil
}

func (s *Schema) checkIndex(ix Index) error {
	for _, n := range ix.Columns {
		i := s.columnOf(n)
		if i < 0 {
			return fmt.Errorf("new table: index %s: no column %s", ix.Name, n)
		}
		if t := s.all()[i].Type; t == typepb.DataType_kFloat || t == typepb.DataType_kDouble {
			return fmt.Errorf("new table: index %s: column %s is a float", ix.Name, n)
		}
	}
	if ix.TsColumn == "" {
		return nil
	}
	i := s.columnOf(ix.TsColumn)
	if i < 0 || (s.all()[i].Type != typepb.DataType_kBigInt && s.all()[i].Type != typepb.DataType_kTimestamp) {
		return fmt.Errorf("new table: index %s: ts column %s must be BIGINT or TIMESTAMP", ix.Name, ix.TsColumn)
	}
	return nil
}

// place finds the column family of index i; an index added at runtime has always one of its own.
func (s *Schema) place(i int, share bool) {
	if share {
		for f := range s.families {
			if slices.Equal(s.Indexes[s.families[f].indexes[0]].Columns, s.Indexes[i].Columns) {
				s.families[f].indexes = append(s.families[f].indexes, i)
				s.byIndex = append(s.byIndex, f)
				return
			}
		}
	}
	s.families = append(s.families, family{name: s.Indexes[i].Name, indexes: []int{i}})
	s.byIndex = append(s.byIndex, len(s.families)-1)
}

func (s *Schema) clone() *Schema {
	c := *s
	c.Indexes = slices.Clone(s.Indexes)
	c.Added = slices.Clone(s.Added)
	c.versions = slices.Clone(s.versions)
	c.families = slices.Clone(s.families)
	for i := range c.families {
		c.families[i].indexes = slices.Clone(s.families[i].indexes)
	}
	c.byIndex = slices.Clone(s.byIndex)
	return &c
}

// WithColumn is ALTER TABLE ADD COLUMN.
func (s *Schema) WithColumn(col Column) (*Schema, error) {
	if s.columnOf(col.Name) >= 0 || len(s.Added) >= 63 {
		return nil, fmt.Errorf("add column %s: it exists or there are 63 already", col.Name)
	}
	c := s.clone()
	c.Added = append(c.Added, col)
	c.versions = append(c.versions, len(c.Columns)+len(c.Added))
	return c, nil
}

// WithIndex is ADD INDEX at runtime.
func (s *Schema) WithIndex(ix Index) (*Schema, error) {
	if err := s.checkIndex(ix); err != nil {
		return nil, err
	}
	for _, o := range s.Indexes {
		// A reload would put it into the other's column family, whose keys look different (formats.md §3.3).
		if o.Name == ix.Name || slices.Equal(o.Columns, ix.Columns) {
			return nil, fmt.Errorf("add index %s: index %s has its name or its columns", ix.Name, o.Name)
		}
	}
	c := s.clone()
	c.Indexes = append(c.Indexes, ix)
	c.place(len(c.Indexes)-1, false)
	return c, nil
}

// WithoutIndex is DROP INDEX: the flag is set, the column family stays.
func (s *Schema) WithoutIndex(i int) (*Schema, error) {
	if i <= 0 || i >= len(s.Indexes) {
		return nil, fmt.Errorf("drop index %d: there is none or it is the first", i)
	}
	c := s.clone()
	c.Indexes[i].Deleted = true
	return c, nil
}

func (s *Schema) all() []Column { return append(slices.Clone(s.Columns), s.Added...) }

// AllColumns are the columns of the latest version.
func (s *Schema) AllColumns() []Column { return s.all() }

func (s *Schema) columnOf(name string) int {
	return slices.IndexFunc(s.all(), func(c Column) bool { return c.Name == name })
}

func (s *Schema) columnsOf(version uint8) ([]Column, error) {
	if version < 1 || int(version) > len(s.versions) {
		return nil, fmt.Errorf("row has schema version %d, the table %d", version, len(s.versions))
	}
	return s.all()[:s.versions[version-1]], nil
}

// Encode makes a row of the latest version, or of an older one if there are only so many values.
func (s *Schema) Encode(values []any) ([]byte, error) {
	for v, n := range s.versions {
		if n == len(values) {
			return encodeRow(uint8(v+1), s.all()[:n], values)
		}
	}
	return nil, fmt.Errorf("encode row: no schema version has %d columns", len(values))
}

// stored is the row as logs and stores have it.
func (s *Schema) stored(row []byte) []byte {
	if s.Snappy {
		return snappy.Encode(nil, row)
	}
	return row
}

func (s *Schema) plain(value []byte) ([]byte, error) {
	if !s.Snappy {
		return value, nil
	}
	row, err := snappy.Decode(nil, value)
	if err != nil {
		return nil, fmt.Errorf("decompress row: %w", err)
	}
	return row, nil
}

// Key is the pk of index i for a row.
func (s *Schema) Key(i int, values []any) string {
	var (
		ts []typepb.DataType
		vs []any
	)
	for _, n := range s.Indexes[i].Columns {
		c := s.columnOf(n)
		ts = append(ts, s.all()[c].Type)
		if c < len(values) {
			vs = append(vs, values[c])
		} else {
			vs = append(vs, nil)
		}
	}
	return joinKey(ts, vs)
}

// Route tells which partitions a row goes to, with the dimensions each of them logs.
func (s *Schema) Route(values []any) map[uint32][]Dim {
	m := map[uint32][]Dim{}
	for i, ix := range s.Indexes {
		if ix.Deleted {
			continue
		}
		k := s.Key(i, values)
		pid := PartitionOf(k, s.Partitions)
		m[pid] = append(m[pid], Dim{Idx: uint32(i), Key: k})
	}
	return m
}

// tsOf is the key time of index i: its ts column's value, or the put time.
func (s *Schema) tsOf(i int, row []byte, putTime uint64) (uint64, error) {
	ix := s.Indexes[i]
	if ix.TsColumn == "" {
		return putTime, nil
	}
	if len(row) < 6 {
		return 0, fmt.Errorf("read ts: row of %d bytes", len(row))
	}
	cols, err := s.columnsOf(row[1])
	if err != nil {
		return 0, err
	}
	return rowTs(row, cols, s.columnOf(ix.TsColumn))
}

func (s *Schema) tsColID(i int) uint32 {
	if n := s.Indexes[i].TsColumn; n != "" {
		return uint32(s.columnOf(n))
	}
	return 0xFFFFFFFF
}

// storeKey is the key of index i in its column family (formats.md §3.4).
func (s *Schema) storeKey(i int, pk string, ts uint64) []byte {
	b := []byte(pk)
	if len(s.families[s.byIndex[i]].indexes) > 1 {
		b = binary.LittleEndian.AppendUint32(b, s.tsColID(i))
	}
	return binary.LittleEndian.AppendUint64(b, ts)
}

// splitKey undoes storeKey; ok is false when the key belongs to another index of the family.
func (s *Schema) splitKey(i int, key []byte) (pk string, ts uint64, ok bool) {
	if len(key) < 8 {
		return "", 0, false
	}
	ts = binary.LittleEndian.Uint64(key[len(key)-8:])
	key = key[:len(key)-8]
	if len(s.families[s.byIndex[i]].indexes) > 1 {
		if len(key) < 4 || binary.LittleEndian.Uint32(key[len(key)-4:]) != s.tsColID(i) {
			return "", 0, false
		}
		key = key[:len(key)-4]
	}
	return string(key), ts, true
}

func (s *Schema) familyOf(i int) string { return s.families[s.byIndex[i]].name }

func (s *Schema) familyNames() []string {
	out := make([]string, len(s.families))
	for i, f := range s.families {
		out[i] = f.name
	}
	return out
}

func columnDescs(cols []Column) []*commonpb.ColumnDesc {
	out := make([]*commonpb.ColumnDesc, len(cols))
	for i, c := range cols {
		out[i] = &commonpb.ColumnDesc{Name: &c.Name, DataType: c.Type.Enum()}
		if c.NotNull {
			out[i].NotNull = proto.Bool(true)
		}
	}
	return out
}

func (s *Schema) columnKeys() []*commonpb.ColumnKey {
	out := make([]*commonpb.ColumnKey, len(s.Indexes))
	for i, ix := range s.Indexes {
		tt := ix.TTLType
		if tt == 0 {
			tt = typepb.TTLType_kAbsoluteTime
		}
		k := &commonpb.ColumnKey{
			IndexName: &ix.Name, ColName: ix.Columns,
			Ttl: &commonpb.TTLSt{TtlType: tt.Enum(), AbsTtl: &ix.AbsTTL, LatTtl: &ix.LatTTL},
		}
		if ix.TsColumn != "" {
			k.TsName = &ix.TsColumn
		}
		if ix.Deleted {
			k.Flag = proto.Uint32(1)
		}
		out[i] = k
	}
	return out
}

func (s *Schema) compress() *typepb.CompressType {
	if s.Snappy {
		return typepb.CompressType_kSnappy.Enum()
	}
	return typepb.CompressType_kNoCompress.Enum()
}

func (s *Schema) versionPairs() []*commonpb.VersionPair {
	var out []*commonpb.VersionPair
	for i, n := range s.versions[1:] {
		out = append(out, &commonpb.VersionPair{Id: proto.Int32(int32(i + 2)), FieldCount: proto.Int32(int32(n))})
	}
	return out
}

// Info is the value of <root>/table/db_table_data/<tid>; the caller fills in the replicas.
func (s *Schema) Info(partitions []*nspb.TablePartition) *nspb.TableInfo {
	return &nspb.TableInfo{
		Name: &s.Name, Db: &s.DB, Tid: &s.TID, SegCnt: proto.Uint32(8), PartitionNum: proto.Uint32(uint32(s.Partitions)),
		ReplicaNum: proto.Uint32(uint32(s.Replicas)), CompressType: s.compress(), ColumnDesc: columnDescs(s.Columns), ColumnKey: s.columnKeys(),
		AddedColumnDesc: columnDescs(s.Added), SchemaVersions: s.versionPairs(), FormatVersion: proto.Uint32(1), StorageMode: s.Storage.Enum(),
		TablePartition: partitions,
	}
}

// Meta is a tablet's own view of a partition.
func (s *Schema) Meta(pid uint32, mode apipb.TableMode, term uint64) *apipb.TableMeta {
	return &apipb.TableMeta{
		Tid: proto.Int32(int32(s.TID)), Name: &s.Name, Db: &s.DB, Pid: proto.Int32(int32(pid)), SegCnt: proto.Int32(8), Mode: mode.Enum(), Term: &term,
		CompressType: s.compress(), ColumnDesc: columnDescs(s.Columns), ColumnKey: s.columnKeys(), AddedColumnDesc: columnDescs(s.Added),
		SchemaVersions: s.versionPairs(), FormatVersion: proto.Uint32(1), StorageMode: s.Storage.Enum(),
	}
}
