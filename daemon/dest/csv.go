package dest

import (
	"fmt"
	"strconv"
	"time"

	"omsync/openmldb/pb/typepb"
	"omsync/openmldb/row"
)

// Dialect of CSV.
type Dialect string

// The dialects. Both have no header, commas between fields and a line feed at the end of each row; bools, numbers, dates and timestamps are the same.
const (
	// Upstream is the Java SyncTool's exact text (docs/formats.md §8): strings as JSON writes them, ASCII only; NULL is a bare null.
	Upstream Dialect = "upstream"
	// Standard is RFC 4180: strings are always quoted, in UTF-8 as they are, with quotes doubled; NULL is an empty field without quotes.
	Standard Dialect = "standard"
)

// CSV is the Encoder of both dialects.
type CSV struct {
	set      *row.Set
	columns  []row.Column // of the target
	standard bool
	clock    clock
	digits   digits
	plans    [256]*csvPlan // by schema version, compiled when first met
}

// csvPlan says how rows of one version become text.
type csvPlan struct {
	schema *row.Schema
	fields []csvField
}

// csvField is one field of the text.
type csvField struct {
	column int // in the row; -1: the version lacks it
	kind   fieldKind
}

type fieldKind uint8

const (
	kindBool fieldKind = iota
	kindInt
	kindFloat
	kindDouble
	kindDate
	kindTimestamp
	kindString
)

// NewCSV returns an encoder for rows of any version in set, written with target's columns, one of set's versions. loc is the time zone of timestamps.
func NewCSV(set *row.Set, target *row.Schema, dialect Dialect, loc *time.Location) (*CSV, error) {
	if dialect != Upstream && dialect != Standard {
		return nil, fmt.Errorf("CSV dialect %q is not known: upstream or standard", dialect)
	}
	c := &CSV{set: set, columns: target.Columns(), standard: dialect == Standard, clock: clock{loc: loc}}
	_, err := c.compile(target.ID())
	return c, err
}

func (c *CSV) compile(version uint8) (*csvPlan, error) {
	s, ok := c.set.Version(version)
	if !ok {
		return nil, &row.VersionError{Version: version, Latest: c.set.Latest().ID()}
	}
	p := &csvPlan{schema: s}
	for i, col := range c.columns {
		f := csvField{column: i}
		if i >= len(s.Columns()) {
			f.column = -1
		}
		switch col.Type {
		case typepb.DataType_kBool:
			f.kind = kindBool
		case typepb.DataType_kFloat:
			f.kind = kindFloat
		case typepb.DataType_kDouble:
			f.kind = kindDouble
		case typepb.DataType_kDate:
			f.kind = kindDate
		case typepb.DataType_kTimestamp:
			f.kind = kindTimestamp
		case typepb.DataType_kVarchar, typepb.DataType_kString:
			f.kind = kindString
		default:
			f.kind = kindInt
		}
		p.fields = append(p.fields, f)
	}
	c.plans[version] = p
	return p, nil
}

// Suffix implements Encoder.
func (c *CSV) Suffix() string { return ".csv" }

// Append implements Encoder.
func (c *CSV) Append(dst, r []byte) ([]byte, error) {
	p := c.plans[r[1]]
	if p == nil {
		var err error
		if p, err = c.compile(r[1]); err != nil {
			return dst, err
		}
	}
	s := p.schema
	for i := range p.fields {
		f := &p.fields[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		if f.column < 0 || s.Null(r, f.column) {
			if !c.standard {
				dst = append(dst, "null"...)
			}
			continue
		}
		switch f.kind {
		case kindBool:
			dst = strconv.AppendBool(dst, s.Int(r, f.column) != 0)
		case kindInt:
			dst = strconv.AppendInt(dst, s.Int(r, f.column), 10)
		case kindFloat:
			dst = c.digits.appendFloat(dst, s.Float(r, f.column), true)
		case kindDouble:
			dst = c.digits.appendFloat(dst, s.Float(r, f.column), false)
		case kindDate:
			dst = appendDate(dst, s.Int(r, f.column))
		case kindTimestamp:
			dst = c.clock.append(dst, s.Int(r, f.column))
		case kindString:
			dst = append(dst, '"')
			if c.standard {
				dst = appendDoubled(dst, s.Bytes(r, f.column))
			} else {
				dst = appendEscaped(dst, s.Bytes(r, f.column))
			}
			dst = append(dst, '"')
		}
	}
	return append(dst, '\n'), nil
}
