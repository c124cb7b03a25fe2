package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/ledger"
	"omsync/testenv/tabletsim"
)

// generator makes rows; one goroutine's.
type generator struct {
	rand *rand.Rand
	o    Options
	buf  []byte
}

// row fills every column: key columns from Keys values, ts columns with about now, the others with anything that their type can hold.
func (g *generator) row(s *tabletsim.Schema) []any {
	cols := s.AllColumns()
	out := make([]any, len(cols))
	key := g.rand.IntN(g.o.Keys)
	for i, c := range cols {
		switch {
		case g.isTs(s, c.Name):
			out[i] = time.Now().UnixMilli()
		case g.isKey(s, c.Name):
			out[i] = g.keyValue(c, key)
		case !c.NotNull && g.rand.IntN(20) == 0:
		default:
			out[i] = g.value(c)
		}
	}
	return out
}

func (g *generator) isTs(s *tabletsim.Schema, name string) bool {
	return slices.ContainsFunc(s.Indexes, func(ix tabletsim.Index) bool { return ix.TsColumn == name })
}

func (g *generator) isKey(s *tabletsim.Schema, name string) bool {
	return slices.ContainsFunc(s.Indexes, func(ix tabletsim.Index) bool { return slices.Contains(ix.Columns, name) })
}

// free tells whether a column is in no index.
func (g *generator) free(s *tabletsim.Schema, name string) bool {
	return !g.isTs(s, name) && !g.isKey(s, name)
}

func (g *generator) keyValue(c tabletsim.Column, key int) any {
	switch c.Type {
	case typepb.DataType_kString, typepb.DataType_kVarchar:
		return fmt.Sprintf("key|%d", key)
	case typepb.DataType_kBool:
		return key%2 == 0
	case typepb.DataType_kDate:
		return ledger.DateOf(time.Date(2000, 1, 1+key%9000, 0, 0, 0, 0, time.UTC))
	case typepb.DataType_kSmallInt:
		return int64(key % 32768)
	}
	return int64(key)
}

func (g *generator) value(c tabletsim.Column) any {
	switch c.Type {
	case typepb.DataType_kBool:
		return g.rand.IntN(2) == 0
	case typepb.DataType_kSmallInt:
		return int64(int16(g.rand.Uint32()))
	case typepb.DataType_kInt:
		return int64(int32(g.rand.Uint32()))
	case typepb.DataType_kBigInt:
		return int64(g.rand.Uint64())
	case typepb.DataType_kTimestamp:
		return g.rand.Int64N(4_000_000_000_000)
	case typepb.DataType_kDate:
		return ledger.DateOf(time.Date(1900, 1, 1+g.rand.IntN(60_000), 0, 0, 0, 0, time.UTC))
	case typepb.DataType_kFloat:
		return float64(float32(g.rand.NormFloat64()))
	case typepb.DataType_kDouble:
		return g.rand.NormFloat64()
	}
	return g.text(g.o.Pad)
}

// letters has what CSV writers trip over.
var letters = []rune("abcdefghijklmnopqrstuvwxyz0123456789 ,\"'\\/\n\té中😀|")

// text has about n bytes; long ones repeat.
func (g *generator) text(n int) string {
	g.buf = g.buf[:0]
	for len(g.buf) < min(n, 256) {
		g.buf = append(g.buf, string(letters[g.rand.IntN(len(letters))])...)
	}
	for m := len(g.buf); m > 0 && len(g.buf) < n; {
		g.buf = append(g.buf, g.buf[:min(m, n-len(g.buf))]...)
	}
	return strings.ToValidUTF8(string(g.buf), "") // the last character may be cut
}
