package inspect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"omsync/openmldb/pb/typepb"
	"omsync/openmldb/row"
)

// The notation of values is that of testdata/README.md: null · true/false · integers as decimal strings · {"ts":ms} · {"float"|"double":text,"bits":hex} ·
// {"date":"Y-M-D","raw":int32} · strings as they are, {"hex"} if they are not UTF-8, {"len","sha256"} over 300 bytes.

const longText = 300 // bytes from which on a string is shown by its hash

type (
	tsValue struct {
		Ts string `json:"ts"`
	}
	dateValue struct {
		Date string `json:"date"`
		Raw  int32  `json:"raw"`
	}
	floatValue struct {
		Float string `json:"float"`
		Bits  string `json:"bits"`
	}
	doubleValue struct {
		Double string `json:"double"`
		Bits   string `json:"bits"`
	}
	hexValue struct {
		Hex string `json:"hex"`
	}
	longValue struct {
		Len    int    `json:"len"`
		Sha256 string `json:"sha256"`
	}
)

// text shows bytes.
func text(b []byte) any {
	switch {
	case len(b) > longText:
		sum := sha256.Sum256(b)
		return longValue{len(b), hex.EncodeToString(sum[:])}
	case !utf8.Valid(b):
		return hexValue{hex.EncodeToString(b)}
	}
	return string(b)
}

// values shows the columns of a checked row, appended to to.
func values(to []any, s *row.Schema, r []byte) []any {
	for i, c := range s.Columns() {
		to = append(to, value(s, c.Type, r, i))
	}
	return to
}

func value(s *row.Schema, typ typepb.DataType, r []byte, i int) any {
	if s.Null(r, i) {
		return nil
	}
	switch typ {
	case typepb.DataType_kBool:
		return s.Int(r, i) != 0
	case typepb.DataType_kTimestamp:
		return tsValue{strconv.FormatInt(s.Int(r, i), 10)}
	case typepb.DataType_kDate:
		raw := int32(s.Int(r, i))
		return dateValue{fmt.Sprintf("%04d-%02d-%02d", uint32(1900+raw>>16), (raw>>8&0xff)+1, raw&0xff), raw}
	case typepb.DataType_kFloat:
		f := s.Float(r, i)
		return floatValue{number(f, 9), fmt.Sprintf("%08x", math.Float32bits(float32(f)))}
	case typepb.DataType_kDouble:
		f := s.Float(r, i)
		return doubleValue{number(f, 17), fmt.Sprintf("%016x", math.Float64bits(f))}
	case typepb.DataType_kVarchar, typepb.DataType_kString:
		return text(s.Bytes(r, i))
	}
	return strconv.FormatInt(s.Int(r, i), 10)
}

// number writes f as C's %g does, with so many digits that it reads back the same.
func number(f float64, digits int) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	return strconv.FormatFloat(f, 'g', digits, 64)
}
