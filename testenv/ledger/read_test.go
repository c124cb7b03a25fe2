package ledger

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/tabletsim"
)

var types = map[string]typepb.DataType{
	"bool": typepb.DataType_kBool, "smallint": typepb.DataType_kSmallInt, "int": typepb.DataType_kInt, "bigint": typepb.DataType_kBigInt,
	"float": typepb.DataType_kFloat, "double": typepb.DataType_kDouble, "date": typepb.DataType_kDate, "timestamp": typepb.DataType_kTimestamp,
	"string": typepb.DataType_kString, "varchar": typepb.DataType_kVarchar,
}

// TestJavaSink reads what the Java sink wrote and compares it with the rows it was given: the reader against the real writer.
func TestJavaSink(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, file := range []string{"csv-UTC.tsv", "csv-Shanghai.tsv"} {
		f, err := os.Open("../../testdata/csv/" + file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // read only
		loc := time.UTC
		if strings.Contains(file, "Shanghai") {
			loc = time.FixedZone("CST", 8*3600)
		}
		var (
			all  []tabletsim.Column
			schm *tabletsim.Schema
		)
		for sc := bufio.NewScanner(f); sc.Scan(); {
			line := sc.Text()
			if names, ok := strings.CutPrefix(line, "# schema "); ok {
				all = nil
				for i, n := range strings.Split(names, ",") {
					all = append(all, tabletsim.Column{Name: fmt.Sprint("c", i), Type: types[n]})
				}
				if schm, err = tabletsim.NewSchema(tabletsim.Spec{DB: "d", Name: "t", TID: 1, Partitions: 1, Columns: all,
					Indexes: []tabletsim.Index{{Name: "i", Columns: []string{keyable(all)}}}}); err != nil {
					t.Fatal(err)
				}
				continue
			}
			raw, text, ok := strings.Cut(line, "\t")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			row, err := hex.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			want, err := schm.DecodeRow(row)
			if err != nil {
				t.Fatal(err)
			}
			got := readAll(t, text+"\n", "x.csv", all, Upstream, loc)
			if len(got) != 1 || !same(all, got[0].Values, want) {
				t.Errorf("%s: %s\n got %v\nwant %v", file, text, got, want)
			}
			checked++
		}
	}
	if checked < 20 {
		t.Fatalf("only %d rows were there", checked)
	}
}

func keyable(all []tabletsim.Column) string {
	for _, c := range all {
		if c.Type != typepb.DataType_kFloat && c.Type != typepb.DataType_kDouble {
			return c.Name
		}
	}
	return ""
}

// same compares by fingerprint; a string that is no UTF-8 comes out with replacement characters, a date that no month has rolls over.
func same(all []tabletsim.Column, got, want []any) bool {
	want = normalAll(all, want)
	for i, v := range want {
		if s, ok := v.(string); ok {
			want[i] = strings.ToValidUTF8(s, "\uFFFD")
		}
		if d, ok := v.(int64); ok && all[i].Type == typepb.DataType_kDate {
			want[i] = DateOf(time.Date(int(d>>16)+1900, time.Month(d>>8&0xFF)+1, int(d&0xFF), 0, 0, 0, 0, time.UTC))
		}
	}
	return hashValues(got) == hashValues(want)
}

func readAll(t *testing.T, text, name string, all []tabletsim.Column, d Dialect, loc *time.Location) []Row {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out []Row
	for r, err := range ReadCSV(dir, all, d, loc) {
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		out = append(out, r)
	}
	return out
}

var two = []tabletsim.Column{{Name: "a", Type: typepb.DataType_kString}, {Name: "b", Type: typepb.DataType_kInt}}

func TestDialects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    Dialect
		text string
		want [][]any
	}{
		{Upstream, `"null",1` + "\n" + `null,null` + "\n", [][]any{{"null", int64(1)}, {nil, nil}}},
		{Upstream, `"a\/b\n\"\\\u4E2D\uD83D\uDE00,",2` + "\n", [][]any{{"a/b\n\"\\中😀,", int64(2)}}},
		{Standard, `"a ""b""` + "\nc,\",3\n" + `,` + "\n" + `"",` + "\n" + "x\\n,4\r\n", [][]any{{"a \"b\"\nc,", int64(3)}, {nil, nil}, {"", nil}, {`x\n`, int64(4)}}},
	} {
		rows := readAll(t, c.text, "g1-p7-000001.csv", two, c.d, time.UTC)
		if len(rows) != len(c.want) {
			t.Errorf("%q: %v", c.text, rows)
			continue
		}
		for i, r := range rows {
			if !reflect.DeepEqual(r.Values, c.want[i]) || r.PID != 7 {
				t.Errorf("%q: row %d is %v of partition %d, want %v", c.text, i, r.Values, r.PID, c.want[i])
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no line end": `"a",1`, "open quote": `"a`, "junk behind a quote": `"a"b,1` + "\n", "quote in a bare field": `a"b,1` + "\n", "too many fields": "a,1,2\n",
		"not a number": "a,b\n", "bad escape": `"\x",1` + "\n", "short escape": `"\u12",1` + "\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.csv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		bad := false
		for _, err := range ReadCSV(dir, two, Upstream, time.UTC) {
			bad = err != nil
		}
		if !bad {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWhatIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, n := range []string{"_omsync/stage/x.csv", "_SUCCESS", ".hidden.csv", "sub/g1-p0-1.csv"} {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("\"a\",1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, err := range ReadCSV(dir, two, Upstream, time.UTC) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d rows, want only the visible file's", n)
	}
	if err := os.WriteFile(filepath.Join(dir, "odd.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range ReadCSV(dir, two, Upstream, time.UTC) {
		if err == nil {
			t.Error("a stray file passes")
		}
	}
}

func TestFloatsAreNormal(t *testing.T) {
	t.Parallel()
	f := tabletsim.Column{Type: typepb.DataType_kFloat}
	if normal(f, 0.1) != float64(float32(0.1)) {
		t.Error("a float column keeps more than it has")
	}
	nan := normal(f, math.Float64frombits(0x7ff8000000000001)).(float64)
	if math.Float64bits(nan) != math.Float64bits(math.NaN()) {
		t.Error("NaNs differ")
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("\"a\\u4E2D\",1\n"), true)
	f.Add([]byte("\"a\"\"b\",\n,\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, std bool) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.csv"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		d := Upstream
		if std {
			d = Standard
		}
		for _, err := range ReadCSV(dir, two, d, time.UTC) {
			if err != nil {
				return
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	l := NewTable(shape())
	var rows []Row
	for i := range 100_000 {
		n, tag := l.Row(0)
		v := []any{fmt.Sprint("k", i%1000), int64(i / 1000), float64(i), tag}
		p, err := l.Put(0, n, v[0].(string), uint64(i/1000), v)
		if err != nil {
			b.Fatal(err)
		}
		p.Acked(tabletsim.Ack{Index: uint64(i + 1)})
		rows = append(rows, Row{PID: 0, Values: v})
	}
	for b.Loop() {
		rep, err := l.Verify(seq(rows), map[uint32]Window{0: {Mode: 2, ZLo: 10, ZHi: 60_000, Bases: []Base{{}}}})
		if err != nil || rep.Err() != nil {
			b.Fatal(err, rep.Err())
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "rows/s")
}
