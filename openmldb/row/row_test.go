package row_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"pgregory.net/rapid"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
	"omsync/openmldb/row"
)

var all = []typepb.DataType{
	typepb.DataType_kBool, typepb.DataType_kSmallInt, typepb.DataType_kInt, typepb.DataType_kBigInt, typepb.DataType_kFloat, typepb.DataType_kDouble,
	typepb.DataType_kDate, typepb.DataType_kTimestamp, typepb.DataType_kVarchar, typepb.DataType_kString,
}

func columns(types ...typepb.DataType) (out []*commonpb.ColumnDesc) {
	for i, t := range types {
		name := fmt.Sprintf("c%d", i)
		out = append(out, &commonpb.ColumnDesc{Name: &name, DataType: t.Enum()})
	}
	return out
}

func version(id, n int32) *commonpb.VersionPair {
	return &commonpb.VersionPair{Id: &id, FieldCount: &n}
}

func set(t testing.TB, base, added []*commonpb.ColumnDesc, versions ...*commonpb.VersionPair) *row.Set {
	t.Helper()
	s, err := row.NewSet(base, added, versions, typepb.CompressType_kNoCompress)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func build(t testing.TB, s *row.Schema, values ...any) []byte {
	t.Helper()
	b, err := row.NewBuilder(s).Row(values...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors: the rows of docs/formats.md §5, from the Java codec.
func TestVectors(t *testing.T) {
	t.Parallel()
	s := set(t, columns(all...), nil)
	unhex := func(h string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(h, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one := unhex("010136000000 0000 01 feff 03000000 0400000000000000 0000c03f 0000000000000440 0b037b00 e713a5d4e8000000 31 33 6162 e4b8ad")
	sc, err := s.Check(one)
	if err != nil {
		t.Fatal(err)
	}
	if sc.Int(one, 0) != 1 || sc.Int(one, 1) != -2 || sc.Int(one, 2) != 3 || sc.Int(one, 3) != 4 || sc.Float(one, 4) != 1.5 || sc.Float(one, 5) != 2.5 ||
		sc.Int(one, 6) != 123<<16|3<<8|11 || sc.Int(one, 7) != 1000000000999 || string(sc.Bytes(one, 8)) != "ab" || string(sc.Bytes(one, 9)) != "中" {
		t.Error("vector 1 reads wrong")
	}
	if b := build(t, sc, true, int16(-2), int32(3), int64(4), float32(1.5), 2.5, int32(123<<16|3<<8|11), int64(1000000000999), "ab", "中"); string(b) != string(one) {
		t.Errorf("vector 1 is written as %x", b)
	}
	two := unhex("010132000000 ff01 01feff0300000004000000000000000000c03f00000000000004400b037b00e713a5d4e8000000 31 31 78")
	if sc, err = s.Check(two); err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		if !sc.Null(two, i) {
			t.Errorf("vector 2: column %d is not NULL", i)
		}
	}
	if string(sc.Bytes(two, 9)) != "x" {
		t.Error("vector 2 reads wrong")
	}
	strs := set(t, columns(typepb.DataType_kString, typepb.DataType_kString), nil)
	for n, head := range map[int]string{1: "01010b00000000 09 0a", 300: "010138010000 00 0b00 3701", 65600: "01014e000100 00 00000d 01004d"} {
		b := build(t, strs.Latest(), strings.Repeat("z", n), "q")
		if want := unhex(head); string(b[:len(want)]) != string(want) {
			t.Errorf("vector 3, %d: begins with %x, want %x", n, b[:len(want)], want)
		}
		sc, err := strs.Check(b)
		if err != nil || len(sc.Bytes(b, 0)) != n || string(sc.Bytes(b, 1)) != "q" {
			t.Errorf("vector 3, %d: %v", n, err)
		}
	}
}

// TestOffsetWidths: rows on both sides of each border between widths of string offsets.
func TestOffsetWidths(t *testing.T) {
	t.Parallel()
	s := set(t, columns(typepb.DataType_kInt, typepb.DataType_kString, typepb.DataType_kString), nil)
	for _, border := range []int{255, 65535, 1<<24 - 1} {
		for n := border - 30; n < border+5; n++ {
			text := strings.Repeat("t", n)
			b := build(t, s.Latest(), int32(n), text, "end")
			sc, err := s.Check(b)
			if err != nil || len(sc.Bytes(b, 1)) != n || string(sc.Bytes(b, 2)) != "end" || sc.Int(b, 0) != int64(n) {
				t.Fatalf("%d: %v", n, err)
			}
		}
	}
}

// TestCheckRefuses: what is no row is told apart and why.
func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	s := set(t, columns(typepb.DataType_kInt, typepb.DataType_kString, typepb.DataType_kString), nil)
	good := build(t, s.Latest(), int32(1), "abc", "defg")
	edit := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), good...)) }
	table := 6 + 1 + 4
	for name, b := range map[string][]byte{
		"empty":             nil,
		"half a header":     good[:5],
		"a header":          good[:6],
		"cut":               good[:len(good)-1],
		"longer":            append(append([]byte(nil), good...), 0),
		"format":            edit(func(b []byte) []byte { b[0] = 2; return b }),
		"size":              edit(func(b []byte) []byte { b[2]++; return b }),
		"size 0":            edit(func(b []byte) []byte { b[2] = 0; return b }),
		"offset in header":  edit(func(b []byte) []byte { b[table] = 3; return b }),
		"offset beyond":     edit(func(b []byte) []byte { b[table+1] = 255; return b }),
		"offsets backwards": edit(func(b []byte) []byte { b[table], b[table+1] = b[table+1]+1, b[table]; return b }),
		"too short":         {1, 1, 8, 0, 0, 0, 0, 0},
	} {
		if _, err := s.Check(b); !errors.Is(err, row.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Check(good); err != nil {
		t.Error(err)
	}
	// The offset of a first string that is NULL may be anything.
	null := build(t, s.Latest(), nil, nil, "x")
	null[table] = 0xee
	if sc, err := s.Check(null); err != nil || string(sc.Bytes(null, 2)) != "x" {
		t.Error(err)
	}
}

func TestTs(t *testing.T) {
	t.Parallel()
	s := set(t, columns(typepb.DataType_kBigInt, typepb.DataType_kTimestamp, typepb.DataType_kInt), nil).Latest()
	b := build(t, s, int64(7), int64(-1), int32(3))
	if ts, err := s.Ts(b, 0); ts != 7 || err != nil {
		t.Error(ts, err)
	}
	for _, i := range []int{1, 2} {
		if _, err := s.Ts(b, i); !errors.Is(err, row.ErrCorrupt) {
			t.Errorf("column %d: %v", i, err)
		}
	}
	if _, err := s.Ts(build(t, s, nil, nil, nil), 0); !errors.Is(err, row.ErrCorrupt) {
		t.Error(err)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	s, err := row.NewSet(columns(typepb.DataType_kString), nil, nil, typepb.CompressType_kSnappy)
	if err != nil {
		t.Fatal(err)
	}
	b := build(t, s.Latest(), strings.Repeat("again ", 1000))
	packed := snappy.Encode(nil, b)
	room := make([]byte, 0, 16)
	for range 2 {
		if room, err = s.Plain(room, packed); err != nil || string(room) != string(b) {
			t.Fatal(err)
		}
	}
	if got, err := s.Plain(nil, b); err != nil || string(got) != string(b) {
		t.Error("a row that was stored plain:", err)
	}
	for name, bad := range map[string][]byte{"empty": {}, "rubbish": []byte("\xff\xff\xff\xff\xff\xff"), "claims 1 GiB": {0x80, 0x80, 0x80, 0x80, 4, 0}, "cut": packed[:len(packed)-3]} {
		if _, err := s.Plain(nil, bad); !errors.Is(err, row.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// value draws one for a column; nil is NULL.
func value(t *rapid.T, typ typepb.DataType) any {
	if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
		return nil
	}
	switch typ {
	case typepb.DataType_kBool:
		return rapid.Bool().Draw(t, "v")
	case typepb.DataType_kSmallInt:
		return rapid.Int16().Draw(t, "v")
	case typepb.DataType_kInt, typepb.DataType_kDate:
		return rapid.Int32().Draw(t, "v")
	case typepb.DataType_kBigInt, typepb.DataType_kTimestamp:
		return rapid.Int64().Draw(t, "v")
	case typepb.DataType_kFloat:
		return rapid.Float32().Draw(t, "v")
	case typepb.DataType_kDouble:
		return rapid.Float64().Draw(t, "v")
	}
	return strings.Repeat(rapid.String().Draw(t, "v"), rapid.SampledFrom([]int{1, 1, 1, 40}).Draw(t, "times"))
}

func read(s *row.Schema, b []byte, i int) any {
	if s.Null(b, i) {
		return nil
	}
	switch v := s.Int(b, i); s.Columns()[i].Type {
	case typepb.DataType_kBool:
		return v == 1
	case typepb.DataType_kSmallInt:
		return int16(v)
	case typepb.DataType_kInt, typepb.DataType_kDate:
		return int32(v)
	case typepb.DataType_kFloat:
		return float32(s.Float(b, i))
	case typepb.DataType_kDouble:
		return s.Float(b, i)
	case typepb.DataType_kVarchar, typepb.DataType_kString:
		return string(s.Bytes(b, i))
	default:
		return v
	}
}

// TestRoundTrip: what was written is read; the hash depends on what a row says and on nothing else.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		types := rapid.SliceOfN(rapid.SampledFrom(all), 1, 20).Draw(t, "types")
		n := rapid.IntRange(1, len(types)).Draw(t, "base")
		cols := columns(types...)
		s, err := row.NewSet(cols[:n], cols[n:], []*commonpb.VersionPair{version(2, int32(len(types)))}, 0)
		if err != nil {
			t.Fatal(err)
		}
		values := make([]any, len(types))
		for i, typ := range types {
			values[i] = value(t, typ)
		}
		b, err := row.NewBuilder(s.Latest()).Row(values...)
		if err != nil {
			t.Fatal(err)
		}
		sc, err := s.Check(b)
		if err != nil {
			t.Fatal(err)
		}
		if size, err := row.Size(append(b, 1, 2, 3)); err != nil || size != len(b) {
			t.Fatal(size, err)
		}
		for i, want := range values {
			if got := read(sc, b, i); got != want {
				t.Fatalf("column %d: %v, want %v", i, got, want)
			}
		}
		h, err := s.Hash(b)
		if err != nil {
			t.Fatal(err)
		}
		other := append([]any(nil), values...)
		i := rapid.IntRange(0, len(types)-1).Draw(t, "changed")
		other[i] = value(t, types[i])
		c, err := row.NewBuilder(s.Latest()).Row(other...)
		if err != nil {
			t.Fatal(err)
		}
		h2, err := s.Hash(c)
		if err != nil || (h == h2) != (other[i] == values[i]) {
			t.Fatalf("hashes equal %v, values %v and %v, %v", h == h2, values[i], other[i], err)
		}
		// A row of the older version says the same as one of the newer whose further columns are NULL.
		old, _ := s.Version(1)
		short, err := row.NewBuilder(old).Row(values[:n]...)
		if err != nil {
			t.Fatal(err)
		}
		long, err := row.NewBuilder(s.Latest()).Row(append(append([]any(nil), values[:n]...), make([]any, len(types)-n)...)...)
		if err != nil {
			t.Fatal(err)
		}
		a, err1 := s.Hash(short)
		z, err2 := s.Hash(long)
		if a != z || err1 != nil || err2 != nil {
			t.Fatal("versions differ in hash", err1, err2)
		}
	})
}

// TestHashIgnoresStaleBytes: what lies under a NULL does not count.
func TestHashIgnoresStaleBytes(t *testing.T) {
	t.Parallel()
	s := set(t, columns(typepb.DataType_kString, typepb.DataType_kBigInt, typepb.DataType_kString), nil)
	a := build(t, s.Latest(), nil, nil, "x")
	b := append([]byte(nil), a...)
	b[7] = 0xaa  // the bigint's bytes
	b[15] = 0xbb // the offset of the first string
	if _, err := s.Check(b); err != nil {
		t.Fatal(err)
	}
	ha, _ := s.Hash(a)
	hb, _ := s.Hash(b)
	if ha != hb {
		t.Error("the hashes differ")
	}
}

func TestBuilderRefuses(t *testing.T) {
	t.Parallel()
	cols := columns(typepb.DataType_kInt, typepb.DataType_kString)
	yes := true
	cols[0].NotNull = &yes
	b := row.NewBuilder(set(t, cols, nil).Latest())
	for _, values := range [][]any{{int32(1)}, {int64(1), "x"}, {int32(1), 2}, {nil, "x"}} {
		if _, err := b.Row(values...); err == nil {
			t.Errorf("%v passes", values)
		}
	}
}

// FuzzCheck: Check refuses a row, or everything can be read of it.
func FuzzCheck(f *testing.F) {
	s := set(f, columns(all...), columns(typepb.DataType_kString), version(2, 11))
	f.Add(build(f, s.Latest(), true, int16(1), int32(2), int64(3), float32(4), 5.0, int32(6), int64(7), "eight", nil, "ten"))
	f.Add([]byte{1, 1, 50, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		sc, err := s.Check(b)
		if err != nil {
			return
		}
		for i := range sc.Columns() {
			read(sc, b, i)
		}
		if _, err := s.Hash(b); err != nil {
			t.Fatal(err)
		}
		for i := range sc.Columns() {
			_, _ = sc.Ts(b, i)
		}
	})
}

func FuzzPlain(f *testing.F) {
	s, err := row.NewSet(columns(typepb.DataType_kString), nil, nil, typepb.CompressType_kSnappy)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snappy.Encode(nil, build(f, s.Latest(), "text")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if plain, err := s.Plain(nil, b); err == nil {
			_, _ = s.Check(plain)
		}
	})
}

func BenchmarkRow(b *testing.B) {
	s := set(b, columns(all...), nil)
	r := build(b, s.Latest(), true, int16(1), int32(2), int64(3), float32(4), 5.0, int32(6), int64(7), strings.Repeat("x", 60), strings.Repeat("y", 60))
	b.Run("Check", func(b *testing.B) {
		b.SetBytes(int64(len(r)))
		for b.Loop() {
			if _, err := s.Check(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Hash", func(b *testing.B) {
		b.SetBytes(int64(len(r)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Hash(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
