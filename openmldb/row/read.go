package row

import (
	"encoding/binary"
	"fmt"
	"math"

	"omsync/openmldb/pb/typepb"
)

// Null tells whether column i is NULL. The accessors below are for columns that are not, of rows that passed Set.Check with this schema.
func (s *Schema) Null(row []byte, i int) bool {
	f := &s.fields[i]
	return row[f.null]&f.bit != 0
}

// Int reads a bool (0 or 1), an integer, a date (((year-1900)<<16) | ((month-1)<<8) | day) or a timestamp (ms). It is 0 for other types.
func (s *Schema) Int(row []byte, i int) int64 {
	f := &s.fields[i]
	switch p := row[f.at:]; f.typ {
	case typepb.DataType_kBool: // as the Java side reads it; C++ writes 0 and 1 only
		if p[0] != 0 {
			return 1
		}
	case typepb.DataType_kSmallInt:
		return int64(int16(binary.LittleEndian.Uint16(p)))
	case typepb.DataType_kInt, typepb.DataType_kDate:
		return int64(int32(binary.LittleEndian.Uint32(p)))
	case typepb.DataType_kBigInt, typepb.DataType_kTimestamp:
		return int64(binary.LittleEndian.Uint64(p))
	}
	return 0
}

// Float reads a float or double; 0 for other types. A float is exactly representable.
func (s *Schema) Float(row []byte, i int) float64 {
	f := &s.fields[i]
	switch p := row[f.at:]; f.typ {
	case typepb.DataType_kFloat:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(p)))
	case typepb.DataType_kDouble:
		return math.Float64frombits(binary.LittleEndian.Uint64(p))
	}
	return 0
}

// Bytes reads a string: a part of row, not a copy. It is nil for other types.
func (s *Schema) Bytes(row []byte, i int) []byte {
	if !s.columns[i].IsString() {
		return nil
	}
	from, to := s.bounds(row, offsetWidth(len(row)), s.fields[i].at)
	return row[from:to:to]
}

// Ts reads column i as the ts column of an index (docs/formats.md §3.4): a BIGINT or TIMESTAMP that is neither NULL nor negative, which the tablet
// refuses to store.
func (s *Schema) Ts(row []byte, i int) (uint64, error) {
	c := s.columns[i]
	if c.Type != typepb.DataType_kBigInt && c.Type != typepb.DataType_kTimestamp {
		return 0, fmt.Errorf("%w: ts column %s is of type %v", ErrCorrupt, c.Name, c.Type)
	}
	if s.Null(row, i) {
		return 0, fmt.Errorf("%w: ts column %s is NULL", ErrCorrupt, c.Name)
	}
	v := s.Int(row, i)
	if v < 0 {
		return 0, fmt.Errorf("%w: ts column %s is %d", ErrCorrupt, c.Name, v)
	}
	return uint64(v), nil
}
