package load

import (
	"errors"
	"fmt"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/cluster"
	"omsync/testenv/ledger"
	"omsync/testenv/tabletsim"
)

// TagColumn is the name of the column that carries a row's tag.
const TagColumn = "tag"

// Wide is a table with every column type and three indexes: (k, ts), (k) by put time in the same column family, (k2, ts).
func Wide(db, name string, partitions, replicas int) tabletsim.Spec {
	return tabletsim.Spec{
		DB: db, Name: name, Partitions: partitions, Replicas: replicas,
		Columns: []tabletsim.Column{
			{Name: "k", Type: typepb.DataType_kString, NotNull: true}, {Name: "ts", Type: typepb.DataType_kTimestamp, NotNull: true},
			{Name: "k2", Type: typepb.DataType_kInt}, {Name: "b", Type: typepb.DataType_kBool}, {Name: "i2", Type: typepb.DataType_kSmallInt},
			{Name: "i8", Type: typepb.DataType_kBigInt}, {Name: "f", Type: typepb.DataType_kFloat}, {Name: "d", Type: typepb.DataType_kDouble},
			{Name: "day", Type: typepb.DataType_kDate}, {Name: "v", Type: typepb.DataType_kVarchar},
			{Name: TagColumn, Type: typepb.DataType_kString, NotNull: true},
		},
		Indexes: []tabletsim.Index{
			{Name: "i_k_ts", Columns: []string{"k"}, TsColumn: "ts"}, {Name: "i_k", Columns: []string{"k"}}, {Name: "i_k2", Columns: []string{"k2"}, TsColumn: "ts"},
		},
	}
}

// Create makes a table with a ledger. The Spec has a string column named tag.
func Create(c *cluster.Cluster, s tabletsim.Spec) (*cluster.Table, *ledger.Table, error) {
	t, err := c.CreateTable(s)
	if err != nil {
		return nil, nil, err
	}
	l, err := Keep(t, TagColumn)
	return t, l, err
}

// Keep gives a table a ledger, with the tag in the column named.
func Keep(t *cluster.Table, tag string) (*ledger.Table, error) {
	s := t.Schema()
	at := column(s, tag)
	if at < 0 || s.AllColumns()[at].Type != typepb.DataType_kString {
		return nil, fmt.Errorf("keep a ledger of %s.%s: no string column %s for the tag", s.DB, s.Name, tag)
	}
	if !(&generator{}).free(s, tag) {
		return nil, errors.New("keep a ledger: the tag column is in an index")
	}
	l := ledger.NewTable(ledger.Shape{Name: s.DB + "." + s.Name, Columns: s.AllColumns(), Tag: at, Index: s.Indexes[0]})
	t.SetLedger(l)
	return l, nil
}

// FreeColumn is the last string column that is in no index.
func FreeColumn(s *tabletsim.Schema) (string, error) {
	cols := s.AllColumns()
	for i := len(cols) - 1; i >= 0; i-- {
		if cols[i].Type == typepb.DataType_kString && (&generator{}).free(s, cols[i].Name) {
			return cols[i].Name, nil
		}
	}
	return "", fmt.Errorf("table %s.%s has no string column outside its indexes for the tag", s.DB, s.Name)
}
