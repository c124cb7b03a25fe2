//go:build python

package dest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"omsync/openmldb/row"
)

// readers is a Python program that reads a CSV file of the standard dialect with duckdb and with pyarrow, set as docs/operating.md tells, and
// writes per reader and row one line of JSON: [reader, values]. Floats come as the hexadecimal bits of a double, timestamps as ms since 1970.
const readers = `
import json, struct, sys, datetime
import duckdb, pyarrow as pa, pyarrow.csv as pc
path, types = sys.argv[1], sys.argv[2].split(",")
names = ["c%d" % i for i in range(len(types))]
sql = {"bool": "BOOLEAN", "smallint": "SMALLINT", "int": "INTEGER", "bigint": "BIGINT", "float": "FLOAT", "double": "DOUBLE",
       "date": "DATE", "timestamp": "TIMESTAMP", "string": "VARCHAR", "varchar": "VARCHAR"}
arrow = {"bool": pa.bool_(), "smallint": pa.int16(), "int": pa.int32(), "bigint": pa.int64(), "float": pa.float32(), "double": pa.float64(),
         "date": pa.date32(), "timestamp": pa.timestamp("ms"), "string": pa.string(), "varchar": pa.string()}
epoch = datetime.datetime(1970, 1, 1)
def plain(v):
    if isinstance(v, float):
        return struct.pack(">d", v).hex()
    if isinstance(v, datetime.datetime):
        return (v - epoch) // datetime.timedelta(milliseconds=1)
    if isinstance(v, datetime.date):
        return v.isoformat()
    return v
def show(reader, rows):
    for r in rows:
        print(json.dumps([reader, [plain(v) for v in r]]))
con = duckdb.connect()
con.execute("SET threads=1")
show("duckdb", con.execute("SELECT * FROM read_csv(?, header=false, auto_detect=false, delim=',', quote='\"', escape='\"', nullstr='', "
    "allow_quoted_nulls=false, columns=" + repr({n: sql[t] for n, t in zip(names, types)}) + ")", [path]).fetchall())
t = pc.read_csv(path, read_options=pc.ReadOptions(column_names=names), parse_options=pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
    convert_options=pc.ConvertOptions(column_types={n: arrow[t] for n, t in zip(names, types)}, null_values=[""], strings_can_be_null=True,
    quoted_strings_can_be_null=False))
show("pyarrow", zip(*[t.column(n).to_pylist() for n in names]))
`

// TestStandardIsReadBack: what the dialect standard writes comes back without loss from duckdb and pyarrow: every fixture row, every awkward text,
// the ends of every type, and rows at random.
func TestStandardIsReadBack(t *testing.T) {
	t.Parallel()
	const python = "../../build/venv/bin/python"
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("duckdb and pyarrow are not installed: run scripts/setup.sh (%v)", err)
	}
	tables := fixtureTables(t)
	all := []string{"string", "bool", "smallint", "int", "bigint", "float", "double", "date", "timestamp", "varchar"}
	tables = append(tables, randomTable(t, all), textTable(t), pyTable{"one column", []string{"string"}, buildAll(t, []string{"string"}, [][]any{{"x"}, {nil}, {""}, {nil}, {"null"}})})
	for _, table := range tables {
		t.Run(table.name, func(t *testing.T) {
			t.Parallel()
			set := mustSet(t, descs(table.types...), nil)
			c := encoder(t, set, Standard, time.UTC)
			var text []byte
			var want [][]any
			for _, r := range table.rows {
				var err error
				if text, err = c.Append(text, r); err != nil {
					t.Fatal(err)
				}
				want = append(want, plainRow(set, table.types, r))
			}
			path := filepath.Join(t.TempDir(), "g.csv")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), python, "-c", readers, path, strings.Join(table.types, ","))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			got := map[string][][]any{}
			lines := bufio.NewScanner(bytes.NewReader(out))
			lines.Buffer(nil, 16<<20)
			for lines.Scan() {
				d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
				d.UseNumber()
				var line struct {
					reader string
					values []any
				}
				if err := d.Decode(&[]any{&line.reader, &line.values}); err != nil {
					t.Fatal(err)
				}
				got[line.reader] = append(got[line.reader], line.values)
			}
			for _, reader := range []string{"duckdb", "pyarrow"} {
				if len(got[reader]) != len(want) {
					t.Errorf("%s reads %d rows of %d", reader, len(got[reader]), len(want))
					continue
				}
				wrong := 0
				for i := range want {
					if !reflect.DeepEqual(got[reader][i], want[i]) {
						if wrong++; wrong < 4 {
							t.Errorf("%s, row %d:\n got %q\nwant %q", reader, i, got[reader][i], want[i])
						}
					}
				}
			}
		})
	}
}

type pyTable struct {
	name  string
	types []string
	rows  [][]byte
}

// plainRow is a row as the Python program shows it.
func plainRow(set *row.Set, types []string, r []byte) (out []any) {
	s := set.Latest()
	for i, typ := range types {
		if s.Null(r, i) {
			out = append(out, nil)
			continue
		}
		switch typ {
		case "bool":
			out = append(out, s.Int(r, i) != 0)
		case "float", "double":
			bits := math.Float64bits(s.Float(r, i))
			if v := s.Float(r, i); v != v {
				bits = 0x7ff8 << 48 // there is one text for all of them
			}
			out = append(out, fmt.Sprintf("%016x", bits))
		case "date":
			out = append(out, string(appendDate(nil, s.Int(r, i))))
		case "string", "varchar":
			out = append(out, string(s.Bytes(r, i)))
		default:
			out = append(out, json.Number(fmt.Sprint(s.Int(r, i))))
		}
	}
	return out
}

// fixtureTables are the rows that the Java sink was given.
func fixtureTables(t *testing.T) (out []pyTable) {
	f, err := os.Open("../../testdata/csv/csv-UTC.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if schema, ok := strings.CutPrefix(lines.Text(), "# schema "); ok {
			out = append(out, pyTable{name: fmt.Sprintf("fixture %d", len(out)), types: strings.Split(schema, ",")})
			continue
		}
		if raw, _, ok := strings.Cut(lines.Text(), "\t"); ok {
			b, err := hex.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			out[len(out)-1].rows = append(out[len(out)-1].rows, b)
		}
	}
	if err := lines.Err(); err != nil || len(out) < 2 {
		t.Fatalf("%d schemas in the fixture, %v", len(out), err)
	}
	return out
}

func buildAll(t *testing.T, types []string, rows [][]any) (out [][]byte) {
	b := row.NewBuilder(mustSet(t, descs(types...), nil).Latest())
	for _, values := range rows {
		r, err := b.Row(values...)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Clone(r))
	}
	return out
}

// textTable holds every text that a reader might take for something else.
func textTable(t *testing.T) pyTable {
	var rows [][]any
	for _, s := range []string{
		"", "null", "NULL", "\\N", "NaN", "true", "1", " ", " lead trail ", "a,b", ",", `"`, `""`, `q"q`, `\`, `\"`, `a\`, "\n", "a\nb", "\r", "\r\n", "a\rb", "\t", "'", "it's",
		"#x", "é", "中文", "😀", "\u2028", "\ufeffbom", "\ufffd", "\x01\x1f\x7f", "<a&b=c>", strings.Repeat("long ", 20_000), strings.Repeat("\"\n,", 1000),
	} {
		rows = append(rows, []any{s, "x", nil}, []any{"x", s, s}, []any{nil, nil, s})
	}
	rows = append(rows, []any{nil, nil, nil})
	types := []string{"string", "varchar", "string"}
	return pyTable{"texts", types, buildAll(t, types, rows)}
}

// randomTable holds rows at random and the ends of every type.
func randomTable(t *testing.T, types []string) pyTable {
	rng := rand.New(rand.NewPCG(1, 2))
	letters := []string{"a", "b", ",", "\"", "\n", "\r", "\\", " ", "é", "中", "😀", "null", "\t", "'"}
	text := func() string {
		var b strings.Builder
		for range rng.IntN(12) {
			b.WriteString(letters[rng.IntN(len(letters))])
		}
		return b.String()
	}
	value := func(typ string) any {
		if rng.IntN(6) == 0 {
			return nil
		}
		switch typ {
		case "bool":
			return rng.IntN(2) == 0
		case "smallint":
			return int16(rng.Uint64())
		case "int":
			return int32(rng.Uint64())
		case "bigint":
			return int64(rng.Uint64())
		case "float":
			for {
				if v := math.Float32frombits(rng.Uint32()); v == v {
					return v
				}
			}
		case "double":
			for {
				if v := math.Float64frombits(rng.Uint64()); v == v {
					return v
				}
			}
		case "date":
			return int32(rng.IntN(8100)<<16 | rng.IntN(12)<<8 | 1 + rng.IntN(28))
		case "timestamp":
			return rng.Int64N(253402300800000)
		}
		return text()
	}
	var rows [][]any
	for range 2000 {
		var values []any
		for _, typ := range types {
			values = append(values, value(typ))
		}
		rows = append(rows, values)
	}
	return pyTable{"random", types, buildAll(t, types, rows)}
}
