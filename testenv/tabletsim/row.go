package tabletsim

import (
	"encoding/binary"
	"fmt"
	"math"

	"omsync/openmldb/pb/typepb"
)

// Values of a row, one per column: nil, bool, int64 (the integers, a timestamp in ms, a date as (year-1900)<<16 | (month-1)<<8 | day), float64
// (both float types) or string.

func fixedSize(t typepb.DataType) int {
	switch t {
	case typepb.DataType_kBool:
		return 1
	case typepb.DataType_kSmallInt:
		return 2
	case typepb.DataType_kInt, typepb.DataType_kFloat, typepb.DataType_kDate:
		return 4
	case typepb.DataType_kBigInt, typepb.DataType_kDouble, typepb.DataType_kTimestamp:
		return 8
	}
	return 0
}

func isString(t typepb.DataType) bool {
	return t == typepb.DataType_kString || t == typepb.DataType_kVarchar
}

// checkValue tells whether v can stand in a column.
func checkValue(c Column, v any) error {
	ok := false
	switch v.(type) {
	case nil:
		if c.NotNull {
			return fmt.Errorf("column %s is NOT NULL", c.Name)
		}
		return nil
	case bool:
		ok = c.Type == typepb.DataType_kBool
	case int64:
		ok = fixedSize(c.Type) > 1 && c.Type != typepb.DataType_kFloat && c.Type != typepb.DataType_kDouble
	case float64:
		ok = c.Type == typepb.DataType_kFloat || c.Type == typepb.DataType_kDouble
	case string:
		ok = isString(c.Type)
	}
	if !ok {
		return fmt.Errorf("column %s is %s, not %T", c.Name, c.Type, v)
	}
	return nil
}

// encodeRow writes a row (formats.md §5). Bytes of NULLs are 0xEE, as they are undefined.
func encodeRow(version uint8, cols []Column, values []any) ([]byte, error) {
	if len(cols) != len(values) {
		return nil, fmt.Errorf("encode row: %d values for %d columns", len(values), len(cols))
	}
	bitmap, fixed, strs, text := (len(cols)+7)/8, 0, 0, 0
	for i, c := range cols {
		if err := checkValue(c, values[i]); err != nil {
			return nil, fmt.Errorf("encode row: %w", err)
		}
		fixed += fixedSize(c.Type)
		if isString(c.Type) {
			strs++
			if s, ok := values[i].(string); ok {
				text += len(s)
			}
		}
	}
	base := 6 + bitmap + fixed
	width, total := 0, 0
	for w := 1; w <= 4; w++ {
		total = base + strs*w + text
		if w == 4 || total < 1<<(8*w) {
			width = w
			break
		}
	}
	if uint64(total) > math.MaxUint32 {
		return nil, fmt.Errorf("encode row: %d bytes are too many", total)
	}
	b := make([]byte, total)
	b[0], b[1] = 1, version
	binary.LittleEndian.PutUint32(b[2:], uint32(total))
	at, off, end := 6+bitmap, base, base+strs*width
	for i, c := range cols {
		v := values[i]
		if v == nil {
			b[6+i/8] |= 1 << (i % 8)
		}
		if isString(c.Type) {
			putOffset(b[off:], width, uint32(end))
			off += width
			if s, ok := v.(string); ok {
				end += copy(b[end:], s)
			}
			continue
		}
		putFixed(b[at:at+fixedSize(c.Type)], v)
		at += fixedSize(c.Type)
	}
	return b, nil
}

func putOffset(b []byte, width int, v uint32) {
	switch width {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 3: // the only big-endian number of the row
		b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v)
	default:
		binary.LittleEndian.PutUint32(b, v)
	}
}

func putFixed(b []byte, v any) {
	switch v := v.(type) {
	case nil:
		for i := range b {
			b[i] = 0xEE
		}
	case bool:
		if v {
			b[0] = 1
		}
	case int64:
		var x [8]byte
		binary.LittleEndian.PutUint64(x[:], uint64(v))
		copy(b, x[:])
	case float64:
		if len(b) == 4 {
			binary.LittleEndian.PutUint32(b, math.Float32bits(float32(v)))
		} else {
			binary.LittleEndian.PutUint64(b, math.Float64bits(v))
		}
	}
}

// rowTs reads a BIGINT or TIMESTAMP column out of an encoded row of ncols columns.
func rowTs(row []byte, cols []Column, at int) (uint64, error) {
	bitmap := (len(cols) + 7) / 8
	if at >= len(cols) || len(row) < 6+bitmap {
		return 0, fmt.Errorf("read ts: row of %d bytes has no column %d", len(row), at)
	}
	if row[6+at/8]&(1<<(at%8)) != 0 {
		return 0, fmt.Errorf("read ts: column %s is NULL", cols[at].Name)
	}
	off := 6 + bitmap
	for _, c := range cols[:at] {
		off += fixedSize(c.Type)
	}
	if fixedSize(cols[at].Type) != 8 || len(row) < off+8 {
		return 0, fmt.Errorf("read ts: column %s is %s in a row of %d bytes", cols[at].Name, cols[at].Type, len(row))
	}
	v := int64(binary.LittleEndian.Uint64(row[off:]))
	if v < 0 {
		return 0, fmt.Errorf("read ts: column %s is negative", cols[at].Name)
	}
	return uint64(v), nil
}
