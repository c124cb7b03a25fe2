package tabletsim

import (
	"fmt"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
)

// SchemaOf is the Schema of an existing partition directory's table_meta. partitions is the table's number of partitions, which older metas do
// not say.
func SchemaOf(m *apipb.TableMeta, partitions int) (*Schema, error) {
	sp := Spec{
		DB: m.GetDb(), Name: m.GetName(), TID: uint32(m.GetTid()), Partitions: partitions, Storage: m.GetStorageMode(),
		Snappy: m.GetCompressType() == typepb.CompressType_kSnappy, Columns: columnsOf(m.GetColumnDesc()),
	}
	for _, k := range m.GetColumnKey() {
		sp.Indexes = append(sp.Indexes, Index{
			Name: k.GetIndexName(), Columns: k.GetColName(), TsColumn: k.GetTsName(), TTLType: k.GetTtl().GetTtlType(),
			AbsTTL: k.GetTtl().GetAbsTtl(), LatTTL: k.GetTtl().GetLatTtl(), Deleted: k.GetFlag() != 0,
		})
	}
	versions, err := versionsOf(m)
	if err != nil {
		return nil, fmt.Errorf("read table meta of %d: %w", m.GetTid(), err)
	}
	s, err := newSchema(sp, columnsOf(m.GetAddedColumnDesc()), versions)
	if err != nil {
		return nil, fmt.Errorf("read table meta of %d: %w", m.GetTid(), err)
	}
	return s, nil
}

// versionsOf lists the numbers of columns of schema versions 2, 3, …; some metas list version 1 too.
func versionsOf(m *apipb.TableMeta) ([]int, error) {
	var out []int
	for _, v := range m.GetSchemaVersions() {
		id, n := int(v.GetId()), int(v.GetFieldCount())
		base := len(m.GetColumnDesc())
		switch {
		case id == 1 && n == base:
		case id == len(out)+2 && n > base && n <= base+len(m.GetAddedColumnDesc()):
			out = append(out, n)
		default:
			return nil, fmt.Errorf("schema version %d has %d columns", id, n)
		}
	}
	return out, nil
}

func columnsOf(ds []*commonpb.ColumnDesc) []Column {
	out := make([]Column, len(ds))
	for i, d := range ds {
		t := d.GetDataType()
		if d.GetSchema() != nil && d.GetSchema().Type != nil {
			t = d.GetSchema().GetType()
		}
		out[i] = Column{Name: d.GetName(), Type: t, NotNull: d.GetNotNull()}
	}
	return out
}
