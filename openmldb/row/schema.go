package row

import (
	"fmt"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
)

// Column of a table.
type Column struct {
	Name    string
	Type    typepb.DataType
	NotNull bool
}

// IsString tells whether the column's values are bytes of any length.
func (c Column) IsString() bool {
	return c.Type == typepb.DataType_kVarchar || c.Type == typepb.DataType_kString
}

// headerSize is what precedes the null bitmap: format version, schema version, size.
const headerSize = 6

// field is where a column lies in the rows of its schema.
type field struct {
	typ  typepb.DataType
	null int  // offset of the byte with its null bit
	bit  byte // in that byte
	at   int  // offset of a fixed column; of a string, its place among the strings
}

// Schema is one version of a table's columns. It does not change.
type Schema struct {
	id      uint8
	columns []Column
	fields  []field
	table   int // offset of the string offset table
	strings int
}

// width of a type's values in bytes; 0 of strings. false: such a column is not stored in rows.
func width(t typepb.DataType) (int, bool) {
	switch t {
	case typepb.DataType_kBool:
		return 1, true
	case typepb.DataType_kSmallInt:
		return 2, true
	case typepb.DataType_kInt, typepb.DataType_kFloat, typepb.DataType_kDate:
		return 4, true
	case typepb.DataType_kBigInt, typepb.DataType_kDouble, typepb.DataType_kTimestamp:
		return 8, true
	case typepb.DataType_kVarchar, typepb.DataType_kString:
		return 0, true
	}
	return 0, false
}

// newSchema lays the columns out (docs/formats.md §5).
func newSchema(id uint8, columns []Column) (*Schema, error) {
	s := &Schema{id: id, columns: columns, fields: make([]field, len(columns))}
	at := headerSize + (len(columns)+7)/8
	for i, c := range columns {
		w, ok := width(c.Type)
		if !ok {
			return nil, fmt.Errorf("column %s is of type %v, which rows can not hold", c.Name, c.Type)
		}
		f := field{typ: c.Type, null: headerSize + i>>3, bit: 1 << (i & 7), at: at}
		if w == 0 {
			f.at = s.strings
			s.strings++
		}
		at += w
		s.fields[i] = f
	}
	s.table = at
	return s, nil
}

func columnsOf(desc []*commonpb.ColumnDesc) []Column {
	out := make([]Column, len(desc))
	for i, d := range desc {
		out[i] = Column{Name: d.GetName(), Type: typeOf(d), NotNull: d.GetNotNull() || d.GetSchema().GetNotNull()}
	}
	return out
}

// typeOf is a column's type: since OpenMLDB 0.9.0 it may stand in schema, which wins over data_type (docs/formats.md §1.2).
func typeOf(d *commonpb.ColumnDesc) typepb.DataType {
	if s := d.GetSchema(); s != nil && s.Type != nil {
		return s.GetType()
	}
	return d.GetDataType()
}

// ID is the number in the second byte of the version's rows.
func (s *Schema) ID() uint8 { return s.id }

// Columns in their order. They must not be changed.
func (s *Schema) Columns() []Column { return s.columns }

// Column finds a column by its name, -1 without one.
func (s *Schema) Column(name string) int {
	for i, c := range s.columns {
		if c.Name == name {
			return i
		}
	}
	return -1
}

// offsetWidth is the size of one string offset in a row of so many bytes.
func offsetWidth(size int) int {
	switch {
	case size <= 0xff:
		return 1
	case size <= 0xffff:
		return 2
	case size <= 0xffffff:
		return 3
	}
	return 4
}
