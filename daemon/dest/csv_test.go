package dest

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
	"omsync/openmldb/row"
)

var typeNames = map[string]typepb.DataType{
	"bool": typepb.DataType_kBool, "smallint": typepb.DataType_kSmallInt, "int": typepb.DataType_kInt, "bigint": typepb.DataType_kBigInt,
	"float": typepb.DataType_kFloat, "double": typepb.DataType_kDouble, "date": typepb.DataType_kDate, "timestamp": typepb.DataType_kTimestamp,
	"string": typepb.DataType_kString, "varchar": typepb.DataType_kVarchar,
}

func descs(types ...string) (out []*commonpb.ColumnDesc) {
	for i, t := range types {
		out = append(out, &commonpb.ColumnDesc{Name: ptr(fmt.Sprintf("%s%d", t, i)), DataType: typeNames[t].Enum()})
	}
	return out
}

func ptr[T any](v T) *T { return &v }

func mustSet(t testing.TB, base, added []*commonpb.ColumnDesc, versions ...*commonpb.VersionPair) *row.Set {
	t.Helper()
	s, err := row.NewSet(base, added, versions, typepb.CompressType_kNoCompress)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func encoder(t testing.TB, s *row.Set, d Dialect, loc *time.Location) *CSV {
	t.Helper()
	c, err := NewCSV(s, s.Latest(), d, loc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestJavaSink: byte for byte what the Java SyncTool wrote (docs/formats.md §8).
func TestJavaSink(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Shanghai"} {
		f, err := os.Open("../../testdata/csv/csv-" + name + ".tsv")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		loc, c, set, checked := time.UTC, (*CSV)(nil), (*row.Set)(nil), 0
		for lines.Scan() {
			line := lines.Text()
			if zone, ok := strings.CutPrefix(line, "# tz "); ok {
				if loc, err = time.LoadLocation(strings.Fields(zone)[0]); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if schema, ok := strings.CutPrefix(line, "# schema "); ok {
				set = mustSet(t, descs(strings.Split(schema, ",")...), nil)
				c = encoder(t, set, Upstream, loc)
				continue
			}
			raw, want, ok := strings.Cut(line, "\t")
			if !ok {
				t.Fatalf("%s: no row: %q", name, line)
			}
			b, err := hex.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := set.Check(b); err != nil {
				t.Errorf("%s: %s: %v", name, raw, err)
				continue
			}
			got, err := c.Append(nil, b)
			if err != nil || string(got) != want+"\n" {
				t.Errorf("%s: %s:\n got %s\nwant %s\n%v", name, raw, got, want, err)
			}
			checked++
		}
		if err := lines.Err(); err != nil || checked < 20 {
			t.Errorf("%s: %d rows compared, %v", name, checked, err)
		}
	}
}

func TestFloats(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0.0", math.Copysign(0, -1): "-0.0", 1.5: "1.5", 0.1: "0.1", 0.001: "0.001", 9.99e-4: "9.99E-4", 1e7: "1.0E7", 9999999: "9999999.0", 1e10: "1.0E10",
		5e-324: "4.9E-324", math.MaxFloat64: "1.7976931348623157E308", math.Inf(1): "Infinity", math.Inf(-1): "-Infinity", 100: "100.0", 123456.5: "123456.5",
		-0.0025: "-0.0025", 2e23: "1.9999999999999998E23", 20: "20.0", 0.02: "0.02", 1234567.25: "1234567.25",
	} {
		if got := string(new(digits).appendFloat(nil, v, false)); got != want {
			t.Errorf("%g: %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float32]string{math.SmallestNonzeroFloat32: "1.4E-45", math.MaxFloat32: "3.4028235E38", 0.1: "0.1", 16777216: "1.6777216E7"} {
		if got := string(new(digits).appendFloat(nil, float64(v), true)); got != want {
			t.Errorf("%g: %s, want %s", v, got, want)
		}
	}
	if got := string(new(digits).appendFloat(nil, math.NaN(), false)); got != "NaN" {
		t.Error(got)
	}
}

func TestStrings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, upstream, standard string }{
		{"a/b", `a\/b`, `a/b`}, {"中é", `\u4E2D\u00E9`, "中é"}, {"😀", `\uD83D\uDE00`, "😀"}, {"", "", ""}, {"null", "null", "null"},
		{"say \"x\",\n", `say \"x\",\n`, "say \"\"x\"\",\n"}, {"\x00\x1f\x7f", "\\u0000\\u001F\x7f", "\x00\x1f\x7f"}, {"\b\t\f\r\\", `\b\t\f\r\\`, "\b\t\f\r\\"},
		// As many U+FFFD as Java makes: a byte alone, the beginning of a character, a surrogate.
		{"\xff", `\uFFFD`, "\ufffd"}, {"\xc0\x80", `\uFFFD\uFFFD`, "\ufffd\ufffd"}, {"\xe4\xb8", `\uFFFD`, "\ufffd"}, {"\xe4\xb8a", `\uFFFDa`, "\ufffda"},
		{"\xed\xa0\x80", `\uFFFD`, "\ufffd"}, {"\xed\xa0", `\uFFFD`, "\ufffd"}, {"\xe0\x80\x80", `\uFFFD\uFFFD\uFFFD`, "\ufffd\ufffd\ufffd"},
		{"\xf0\x9f\x98", `\uFFFD`, "\ufffd"}, {"\xf4\x90\x80\x80", `\uFFFD\uFFFD\uFFFD\uFFFD`, "\ufffd\ufffd\ufffd\ufffd"}, {"\xf5\"", `\uFFFD\"`, "\ufffd\"\""},
		{"\xf0\x9f\x41", `\uFFFDA`, "\ufffdA"}, {"\uFFFD", `\uFFFD`, "\ufffd"},
	} {
		if got := string(appendEscaped(nil, []byte(c.in))); got != c.upstream {
			t.Errorf("upstream %q: %s, want %s", c.in, got, c.upstream)
		}
		if got := string(appendDoubled(nil, []byte(c.in))); got != c.standard {
			t.Errorf("standard %q: %q, want %q", c.in, got, c.standard)
		}
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		year, month, day int64
		want             string
	}{{2023, 4, 11, "2023-04-11"}, {2023, 2, 31, "2023-03-03"}, {1900, 1, 1, "1900-01-01"}, {9999, 12, 31, "9999-12-31"}, {2023, 13, 1, "2024-01-01"}, {2023, 1, 0, "2022-12-31"}} {
		if got := string(appendDate(nil, (c.year-1900)<<16|(c.month-1)<<8|c.day)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestClock: the remembered offsets and days never show.
func TestClock(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"UTC", "Asia/Shanghai", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		c := clock{loc: loc}
		rapid.Check(t, func(t *rapid.T) {
			ms := rapid.Int64Range(0, 253402300799999).Draw(t, "ms")
			if rapid.Bool().Draw(t, "near") {
				ms %= 4_000_000_000_000
			}
			at := time.UnixMilli(ms).In(loc)
			want := at.Format("2006-01-02 15:04:05.") + strings.TrimRight(fmt.Sprintf("%03d", ms%1000), "0")
			if strings.HasSuffix(want, ".") {
				want += "0"
			}
			if got := string(c.append(nil, ms)); got != want {
				t.Fatalf("%s %d: %s, want %s", zone, ms, got, want)
			}
		})
	}
}

// TestVersions: rows of every version come with the target's columns; of a version that is not known the error says so.
func TestVersions(t *testing.T) {
	t.Parallel()
	v := func(id, n int32) *commonpb.VersionPair { return &commonpb.VersionPair{Id: &id, FieldCount: &n} }
	set := mustSet(t, descs("int", "string"), descs("bool", "double"), v(2, 3), v(3, 4))
	one, _ := set.Version(1)
	first, err := row.NewBuilder(one).Row(int32(7), "x")
	if err != nil {
		t.Fatal(err)
	}
	last, err := row.NewBuilder(set.Latest()).Row(nil, nil, true, 2.0)
	if err != nil {
		t.Fatal(err)
	}
	for d, want := range map[Dialect]string{Upstream: "7,\"x\",null,null\nnull,null,true,2.0\n", Standard: "7,\"x\",,\n,,true,2.0\n"} {
		c := encoder(t, set, d, time.UTC)
		got, err := c.Append(nil, first)
		if err == nil {
			got, err = c.Append(got, last)
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", d, got, err)
		}
		last[1] = 9
		if _, err := c.Append(nil, last); err == nil || !strings.Contains(err.Error(), "version 9") {
			t.Errorf("an unknown version: %v", err)
		}
		last[1] = 3
	}
	if _, err := NewCSV(set, one, "excel", time.UTC); err == nil {
		t.Error("an unknown dialect passes")
	}
}

func sample(t testing.TB) (*row.Set, []byte) {
	set := mustSet(t, descs("string", "timestamp", "bigint", "double", "int", "date", "bool", "float", "smallint", "string", "string", "timestamp"), nil)
	r, err := row.NewBuilder(set.Latest()).Row("customer-0012345", int64(1700000000123), int64(1234567890123), 1234.5678, int32(42), int32(123<<16|3<<8|11), true, float32(0.25),
		int16(-7), strings.Repeat("plain text without much in it ", 3), "x", int64(1700000000999))
	if err != nil {
		t.Fatal(err)
	}
	return set, r
}

func TestNoAllocation(t *testing.T) {
	set, r := sample(t)
	for _, d := range []Dialect{Upstream, Standard} {
		c := encoder(t, set, d, time.Local)
		buf := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() { buf, _ = c.Append(buf[:0], r) }); n != 0 {
			t.Errorf("%s: %v allocations per row", d, n)
		}
	}
}

func BenchmarkCSV(b *testing.B) {
	set, r := sample(b)
	for _, d := range []Dialect{Upstream, Standard} {
		b.Run(string(d), func(b *testing.B) {
			c := encoder(b, set, d, time.Local)
			buf := make([]byte, 0, 4096)
			b.SetBytes(int64(len(r)))
			b.ReportAllocs()
			var err error
			for b.Loop() {
				if buf, err = c.Append(buf[:0], r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
