package row_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/typepb"
	"omsync/openmldb/row"
	"omsync/openmldb/snapshot"
)

// TestFixtureRows: every column of every row that OpenMLDB's own code wrote (testdata/README.md) reads as its own codec read it.
func TestFixtureRows(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("../../testdata/disk/*_*")
	if err != nil || len(dirs) < 20 {
		t.Fatal(dirs, err)
	}
	rows := 0
	for _, dir := range dirs {
		n, err := compareFixture(dir)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(dir), err)
		}
		rows += n
	}
	if rows < 900 {
		t.Errorf("%d rows compared", rows)
	}
}

func compareFixture(dir string) (rows int, err error) {
	manifest, err := snapshot.ReadManifest(snapshot.OS(), filepath.Join(dir, "snapshot"))
	if errors.Is(err, snapshot.ErrNoManifest) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "table_meta.pb"))
	if err != nil {
		return 0, err
	}
	meta := &apipb.TableMeta{}
	if err := proto.Unmarshal(b, meta); err != nil {
		return 0, err
	}
	set, err := row.SetOfMeta(meta)
	if err != nil {
		return 0, err
	}
	db, err := snapshot.Open(snapshot.OS(), filepath.Join(dir, "snapshot", manifest.GetName()), snapshot.Options{})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	index, err := snapshot.IndexOf(meta, 0)
	if err != nil {
		return 0, err
	}
	// The expected files leave out what was expired when they were made, between 2020 and 2100.
	it, err := db.Scan(snapshot.ScanOptions{Index: index, NowMs: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	f, err := os.Open(filepath.Join(dir, "expected_snapshot.jsonl"))
	if errors.Is(err, os.ErrNotExist) && !it.Next() { // an empty snapshot
		return 0, it.Err()
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	var room []byte
	for it.Next() {
		if !lines.Scan() {
			return rows, errors.New("more rows than expected")
		}
		var want struct {
			Ver    uint8
			Values []any
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			return rows, err
		}
		plain, err := set.Plain(room, it.Value())
		if err != nil {
			return rows, err
		}
		s, err := set.Check(plain)
		if err != nil {
			return rows, err
		}
		if err := compareRow(s, plain, want.Ver, want.Values); err != nil {
			return rows, fmt.Errorf("row %d: %w", rows, err)
		}
		rows++
	}
	if lines.Scan() {
		return rows, errors.New("fewer rows than expected")
	}
	return rows, it.Err()
}

// compareRow compares a row that passed Check with what upstream's codec read.
func compareRow(s *row.Schema, plain []byte, ver uint8, values []any) error {
	if s.ID() != ver || len(s.Columns()) != len(values) {
		return fmt.Errorf("version %d with %d columns, want %d with %d", s.ID(), len(s.Columns()), ver, len(values))
	}
	for i, w := range values {
		if got, w := shown(s, plain, i), essence(w); got != w {
			return fmt.Errorf("column %s: %s, want %s", s.Columns()[i].Name, got, w)
		}
	}
	return nil
}

// essence of an expected value (testdata/README.md): the bits of floats and dates, whose texts are the reference program's own.
func essence(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	for _, key := range []string{"bits", "raw", "ts", "hex", "sha256"} {
		if x, ok := m[key].(float64); ok {
			return strconv.FormatFloat(x, 'f', 0, 64)
		}
		if x, ok := m[key]; ok {
			return fmt.Sprint(x)
		}
	}
	return fmt.Sprint(v)
}

// shown writes a value as essence does.
func shown(s *row.Schema, b []byte, i int) string {
	if s.Null(b, i) {
		return "<nil>"
	}
	switch v := s.Int(b, i); s.Columns()[i].Type {
	case typepb.DataType_kBool:
		return fmt.Sprint(v == 1)
	case typepb.DataType_kFloat:
		return fmt.Sprintf("%08x", math.Float32bits(float32(s.Float(b, i))))
	case typepb.DataType_kDouble:
		return fmt.Sprintf("%016x", math.Float64bits(s.Float(b, i)))
	case typepb.DataType_kVarchar, typepb.DataType_kString:
		text := s.Bytes(b, i)
		switch {
		case len(text) > 300:
			sum := sha256.Sum256(text)
			return hex.EncodeToString(sum[:])
		case !utf8.Valid(text):
			return hex.EncodeToString(text)
		}
		return string(text)
	default:
		return strconv.FormatInt(v, 10)
	}
}
