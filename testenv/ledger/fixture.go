package ledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"google.golang.org/protobuf/encoding/prototext"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/typepb"
	"omsync/testenv/tabletsim"
)

// fixtureLine is a line of expected_snapshot.jsonl or expected_binlog.jsonl (testdata/README.md): what OpenMLDB's own code read.
type fixtureLine struct {
	PK     string
	TS     string
	EndTS  string `json:"end_ts"`
	Offset uint64
	Method string
	Dims   [][2]any
	Sha8   string
	Values []json.RawMessage
}

// SeedFixture notes the rows of a partition directory that a tablet left, before any call of the ledger's own: those of the snapshot, then those that
// only the log has. base is false for a partition without a snapshot.
func (t *Table) SeedFixture(pid uint32, tablet, dir string) error {
	if err := t.seedFixture(pid, tablet, dir); err != nil {
		return fmt.Errorf("seed from %s: %w", dir, err)
	}
	return nil
}

func (t *Table) seedFixture(pid uint32, tablet, dir string) error {
	snap, err := readLines(filepath.Join(dir, "expected_snapshot.jsonl"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log, err := readLines(filepath.Join(dir, "expected_binlog.jsonl"))
	if err != nil {
		return err
	}
	known := map[string][]any{}
	index := map[string]fixtureLine{} // the log entry of a row
	for _, l := range snap {
		if known[l.Sha8], err = t.fixtureValues(l); err != nil {
			return err
		}
	}
	for _, l := range log {
		if _, ok := l.key0(); ok && l.Method == "put" {
			if known[l.Sha8] == nil {
				if known[l.Sha8], err = t.fixtureValues(l); err != nil {
					return err
				}
			}
			index[l.Sha8] = l
		}
	}
	inBase := map[string]bool{}
	for _, l := range snap {
		inBase[l.Sha8] = true
		ts, err := strconv.ParseUint(l.TS, 10, 64)
		if err != nil {
			return err
		}
		e := index[l.Sha8] // none when the log no longer reaches back
		t.Seed(pid, l.PK, ts, e.ms(), e.Offset, known[l.Sha8])
	}
	name, err := manifestName(filepath.Join(dir, "snapshot", "MANIFEST"))
	if err != nil {
		return err
	}
	if name != "" {
		t.SeedBase(pid, tablet, name)
	}
	return t.seedLog(pid, log, known, inBase)
}

// manifestName is the directory name of a partition's snapshot, "" without one.
func manifestName(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	m := &apipb.Manifest{}
	if err := prototext.Unmarshal(b, m); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return m.GetName(), nil
}

func (t *Table) seedLog(pid uint32, log []fixtureLine, known map[string][]any, inBase map[string]bool) error {
	for _, l := range log {
		pk, ok := l.key0()
		switch {
		case l.Method == "delete" && (ok || len(l.Dims) == 0):
			start, end := uint64(math.MaxUint64), uint64(0)
			if l.TS != "" {
				start = l.ms()
			}
			if l.EndTS != "" {
				end = fixtureLine{TS: l.EndTS}.ms()
			}
			key := &pk
			if !ok {
				key = nil
			}
			t.Delete(pid, key, start, end).Acked(tabletsim.Ack{Index: l.Offset})
		case l.Method == "put" && ok && !inBase[l.Sha8]:
			ts := l.ms()
			if c := t.shape.Index.TsColumn; c != "" {
				for i, col := range t.shape.Columns {
					if col.Name == c {
						ts = uint64(known[l.Sha8][i].(int64)) //nolint:forcetypeassert // a ts column
					}
				}
			}
			t.Seed(pid, pk, ts, l.ms(), l.Offset, known[l.Sha8])
		}
	}
	return nil
}

func (l fixtureLine) ms() uint64 {
	n, err := strconv.ParseUint(l.TS, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (l fixtureLine) key0() (string, bool) {
	for _, d := range l.Dims {
		if idx, ok := d[0].(float64); ok && idx == 0 {
			pk, ok := d[1].(string)
			return pk, ok
		}
	}
	return "", false
}

func readLines(path string) ([]fixtureLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	var out []fixtureLine
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var l fixtureLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		out = append(out, l)
	}
	return out, sc.Err()
}

// fixtureValue has one of the forms that testdata/README.md lists.
type fixtureValue struct {
	TS, Float, Double, Bits string
	Raw                     *int64
	Hex                     *string
	Len                     *int
}

func (t *Table) fixtureValues(l fixtureLine) ([]any, error) {
	if len(l.Values) > len(t.shape.Columns) {
		return nil, fmt.Errorf("%d values for %d columns", len(l.Values), len(t.shape.Columns))
	}
	out := make([]any, len(l.Values))
	for i, raw := range l.Values {
		c := t.shape.Columns[i]
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, err
		}
		switch x := v.(type) {
		case nil:
		case bool:
			out[i] = x
		case string:
			out[i] = x
			if c.Type != typepb.DataType_kString && c.Type != typepb.DataType_kVarchar {
				n, err := strconv.ParseInt(x, 10, 64)
				if err != nil {
					return nil, err
				}
				out[i] = n
			}
		default:
			var fv fixtureValue
			if err := json.Unmarshal(raw, &fv); err != nil {
				return nil, err
			}
			y, err := fv.value()
			if err != nil {
				return nil, fmt.Errorf("column %s: %s: %w", c.Name, raw, err)
			}
			out[i] = y
		}
	}
	return out, nil
}

func (v fixtureValue) value() (any, error) {
	switch {
	case v.TS != "":
		return strconv.ParseInt(v.TS, 10, 64)
	case v.Raw != nil:
		return *v.Raw, nil
	case v.Float != "":
		b, err := strconv.ParseUint(v.Bits, 16, 32)
		return float64(math.Float32frombits(uint32(b))), err
	case v.Double != "":
		b, err := strconv.ParseUint(v.Bits, 16, 64)
		return math.Float64frombits(b), err
	}
	return nil, errors.New("its text is not in the file")
}
