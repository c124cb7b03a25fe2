package row

import (
	"encoding/binary"
	"fmt"
	"math"

	"omsync/openmldb/pb/typepb"
)

// Builder writes rows of one schema, for tests and simulations.
type Builder struct{ s *Schema }

// NewBuilder returns a Builder.
func NewBuilder(s *Schema) *Builder { return &Builder{s} }

// Row encodes one value per column: nil, bool, int16, int32, int64, float32, float64, string or []byte, as the column's type asks for; a date
// is its int32, a timestamp its int64.
func (b *Builder) Row(values ...any) ([]byte, error) {
	s := b.s
	if len(values) != len(s.columns) {
		return nil, fmt.Errorf("%d values for %d columns", len(values), len(s.columns))
	}
	text := 0
	for _, v := range values {
		switch v := v.(type) {
		case string:
			text += len(v)
		case []byte:
			text += len(v)
		}
	}
	w := 1
	for w < 4 && offsetWidth(s.table+w*s.strings+text) > w {
		w++
	}
	size := s.table + w*s.strings + text
	if w != offsetWidth(size) && s.strings > 0 {
		return nil, fmt.Errorf("no width of offsets fits a row of %d bytes", size)
	}
	row := make([]byte, size)
	row[0], row[1] = 1, s.id
	binary.LittleEndian.PutUint32(row[2:], uint32(size))
	at := s.table + w*s.strings
	for i, v := range values {
		f := &s.fields[i]
		if s.columns[i].IsString() {
			s.putOffset(row, w, f.at, at)
		}
		if v == nil {
			if s.columns[i].NotNull {
				return nil, fmt.Errorf("column %s is NULL", s.columns[i].Name)
			}
			row[f.null] |= f.bit
			continue
		}
		n, ok := s.put(row, f, at, v)
		if !ok {
			return nil, fmt.Errorf("column %s is of type %v: it does not take a %T", s.columns[i].Name, f.typ, v)
		}
		at += n
	}
	return row, nil
}

// put writes one value; n is how many string bytes it took.
func (s *Schema) put(row []byte, f *field, at int, v any) (n int, ok bool) {
	switch f.typ {
	case typepb.DataType_kBool:
		x, ok := v.(bool)
		if x {
			row[f.at] = 1
		}
		return 0, ok
	case typepb.DataType_kSmallInt:
		x, ok := v.(int16)
		binary.LittleEndian.PutUint16(row[f.at:], uint16(x))
		return 0, ok
	case typepb.DataType_kInt, typepb.DataType_kDate:
		x, ok := v.(int32)
		binary.LittleEndian.PutUint32(row[f.at:], uint32(x))
		return 0, ok
	case typepb.DataType_kBigInt, typepb.DataType_kTimestamp:
		x, ok := v.(int64)
		binary.LittleEndian.PutUint64(row[f.at:], uint64(x))
		return 0, ok
	case typepb.DataType_kFloat:
		x, ok := v.(float32)
		binary.LittleEndian.PutUint32(row[f.at:], math.Float32bits(x))
		return 0, ok
	case typepb.DataType_kDouble:
		x, ok := v.(float64)
		binary.LittleEndian.PutUint64(row[f.at:], math.Float64bits(x))
		return 0, ok
	}
	switch v := v.(type) {
	case string:
		return copy(row[at:], v), true
	case []byte:
		return copy(row[at:], v), true
	}
	return 0, false
}

func (s *Schema) putOffset(row []byte, w, i, at int) {
	p := row[s.table+w*i:]
	switch w {
	case 1:
		p[0] = byte(at)
	case 2:
		binary.LittleEndian.PutUint16(p, uint16(at))
	case 3:
		p[0], p[1], p[2] = byte(at>>16), byte(at>>8), byte(at)
	default:
		binary.LittleEndian.PutUint32(p, uint32(at))
	}
}
