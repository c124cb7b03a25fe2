package ledger

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"time"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/tabletsim"
)

var seed = maphash.MakeSeed()

// hashValues is the fingerprint of a row's values; missing trailing columns and NULLs are equal.
func hashValues(values []any) uint64 {
	for len(values) > 0 && values[len(values)-1] == nil {
		values = values[:len(values)-1]
	}
	var h maphash.Hash
	h.SetSeed(seed)
	var b [9]byte
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b[0] = 'N'
			h.Write(b[:1]) //nolint:errcheck // never fails
		case bool:
			b[0], b[1] = 'B', 0
			if v {
				b[1] = 1
			}
			h.Write(b[:2]) //nolint:errcheck // never fails
		case int64:
			b[0] = 'I'
			binary.LittleEndian.PutUint64(b[1:], uint64(v))
			h.Write(b[:]) //nolint:errcheck // never fails
		case float64:
			b[0] = 'F'
			binary.LittleEndian.PutUint64(b[1:], math.Float64bits(v))
			h.Write(b[:]) //nolint:errcheck // never fails
		case string:
			b[0] = 'S'
			binary.LittleEndian.PutUint64(b[1:], uint64(len(v)))
			h.Write(b[:])    //nolint:errcheck // never fails
			h.WriteString(v) //nolint:errcheck // never fails
		}
	}
	return h.Sum64()
}

// normal brings a value to the form a file can give back: a float column's value has float32 precision, NaNs are one.
func normal(c tabletsim.Column, v any) any {
	f, ok := v.(float64)
	if !ok {
		return v
	}
	if f != f {
		return math.NaN()
	}
	if c.Type == typepb.DataType_kFloat {
		return float64(float32(f))
	}
	return f
}

func normalAll(cols []tabletsim.Column, values []any) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = normal(cols[i], v)
	}
	return out
}

// parseValue reads the text of a value that is neither NULL nor a string.
func parseValue(c tabletsim.Column, s string, loc *time.Location) (any, error) {
	var (
		v   any
		err error
	)
	switch c.Type {
	case typepb.DataType_kBool:
		v, err = strconv.ParseBool(s)
	case typepb.DataType_kSmallInt, typepb.DataType_kInt, typepb.DataType_kBigInt:
		v, err = strconv.ParseInt(s, 10, 64)
	case typepb.DataType_kFloat:
		var f float64
		f, err = strconv.ParseFloat(s, 32)
		v = normal(c, f)
	case typepb.DataType_kDouble:
		var f float64
		f, err = strconv.ParseFloat(s, 64)
		v = normal(c, f)
	case typepb.DataType_kDate:
		v, err = parseDate(s)
	case typepb.DataType_kTimestamp:
		v, err = parseTime(s, loc)
	default:
		v = s
	}
	if err != nil {
		return nil, fmt.Errorf("column %s (%s): %w", c.Name, c.Type, err)
	}
	return v, nil
}

func parseDate(s string) (int64, error) {
	t, err := time.Parse("2006-01-02", s)
	if err != nil {
		return 0, err
	}
	return DateOf(t), nil
}

// DateOf is the raw value of a DATE column.
func DateOf(t time.Time) int64 {
	return int64(t.Year()-1900)<<16 | int64(t.Month()-1)<<8 | int64(t.Day())
}

// parseTime takes "2006-01-02 15:04:05.9" in loc, with a T and with an offset as well, and years of more than four digits, as Java writes them.
func parseTime(s string, loc *time.Location) (int64, error) {
	s = strings.Replace(s, " ", "T", 1)
	year, rest, ok := strings.Cut(s, "-")
	y, err := strconv.Atoi(year)
	if !ok || err != nil {
		return 0, fmt.Errorf("time %q has no year", s)
	}
	cycles := 0
	if len(year) > 4 {
		// The calendar repeats every 400 years.
		cycles = y/400 - 5
		s = strconv.Itoa(2000+y%400) + "-" + rest
	}
	t, err := time.Parse("2006-01-02T15:04:05.999Z07:00", s)
	if err != nil {
		if t, err = time.ParseInLocation("2006-01-02T15:04:05.999", s, loc); err != nil {
			return 0, err
		}
	}
	const cycle = 146097 * 24 * 3600 * 1000
	return t.UnixMilli() + int64(cycles)*cycle, nil
}
