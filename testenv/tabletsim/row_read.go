package tabletsim

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DecodeRow reads a whole row of any version of the table; columns the row's version lacks are nil.
func (s *Schema) DecodeRow(row []byte) ([]any, error) {
	if len(row) < 6 || row[0] != 1 || binary.LittleEndian.Uint32(row[2:]) != uint32(len(row)) {
		return nil, fmt.Errorf("decode row: %d bytes with a header that does not fit", len(row))
	}
	cols, err := s.columnsOf(row[1])
	if err != nil {
		return nil, fmt.Errorf("decode row: %w", err)
	}
	bitmap, fixed, strs := (len(cols)+7)/8, 0, 0
	for _, c := range cols {
		fixed += fixedSize(c.Type)
		if isString(c.Type) {
			strs++
		}
	}
	width := 4
	for w := 1; w < 4; w++ {
		if len(row) < 1<<(8*w) {
			width = w
			break
		}
	}
	at, table := 6+bitmap, 6+bitmap+fixed
	if len(row) < table+strs*width {
		return nil, fmt.Errorf("decode row: %d bytes are too few", len(row))
	}
	out := make([]any, len(s.all()))
	for i, k := 0, 0; i < len(cols); i++ {
		null := row[6+i/8]&(1<<(i%8)) != 0
		if isString(cols[i].Type) {
			if !null {
				from, to := getOffset(row[table+k*width:], width), len(row)
				if k+1 < strs {
					to = getOffset(row[table+(k+1)*width:], width)
				}
				if from > to || to > len(row) {
					return nil, fmt.Errorf("decode row: column %s lies outside", cols[i].Name)
				}
				out[i] = string(row[from:to])
			}
			k++
			continue
		}
		if !null {
			out[i] = getFixed(row[at:at+fixedSize(cols[i].Type)], cols[i])
		}
		at += fixedSize(cols[i].Type)
	}
	return out, nil
}

func getOffset(b []byte, width int) int {
	switch width {
	case 1:
		return int(b[0])
	case 2:
		return int(binary.LittleEndian.Uint16(b))
	case 3:
		return int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	}
	return int(binary.LittleEndian.Uint32(b))
}

func getFixed(b []byte, c Column) any {
	isFloat := checkValue(c, float64(0)) == nil
	switch len(b) {
	case 1:
		return b[0] == 1
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case 4:
		if isFloat {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
		return int64(int32(binary.LittleEndian.Uint32(b)))
	}
	if isFloat {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return int64(binary.LittleEndian.Uint64(b))
}
