package binlog

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	fixtures  = "../../testdata/disk"
	fixtures7 = "../../testdata/disk_rocksdb7" // the same logs once more
)

// expected is one line of expected_binlog.jsonl: what the tablet's own log reader found.
type expected struct {
	File   string  `json:"file"`
	End    int64   `json:"end"`
	Index  uint64  `json:"offset"`
	Method string  `json:"method"`
	TS     *string `json:"ts"`
	EndTS  *string `json:"end_ts"`
	TsName string  `json:"ts_name"`
	Dims   [][]any `json:"dims"`
	Len    int     `json:"len"`
	Sha8   string  `json:"sha8"`
}

func (x expected) String() string { return fmt.Sprintf("%s@%d #%d", x.File, x.End, x.Index) }

func readExpected(t testing.TB, dir string) []expected {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "expected_binlog.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []expected
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var x expected
		if err := json.Unmarshal(sc.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// compare says how an entry differs from the fixture's line, or "".
func compare(x expected, e *Entry) string {
	var d []string
	miss := func(what string, want, got any) {
		if fmt.Sprint(want) != fmt.Sprint(got) {
			d = append(d, fmt.Sprintf("%s: want %v, got %v", what, want, got))
		}
	}
	miss("file", x.File, fmt.Sprintf("%08d.log", e.End.File))
	miss("end", x.End, e.End.Offset)
	miss("index", x.Index, e.Index)
	miss("method", x.Method, e.Method)
	if x.TS != nil {
		miss("ts", *x.TS, strconv.FormatUint(e.TS, 10))
	}
	miss("has ts", x.TS != nil, e.HasTS)
	miss("has end ts", x.EndTS != nil, e.EndTS != nil)
	if x.EndTS != nil && e.EndTS != nil {
		miss("end ts", *x.EndTS, strconv.FormatUint(*e.EndTS, 10))
	}
	miss("ts name", x.TsName, e.TsName)
	miss("dims", len(x.Dims), len(e.Dims))
	for i := range min(len(x.Dims), len(e.Dims)) {
		miss("dim idx", x.Dims[i][0], e.Dims[i].Idx)
		if s, ok := x.Dims[i][1].(string); ok {
			miss("dim key", s, string(e.Dims[i].Key))
		} else {
			m, _ := x.Dims[i][1].(map[string]any) // a key that is not UTF-8
			miss("dim key", m["hex"], hex.EncodeToString(e.Dims[i].Key))
		}
	}
	if x.Method == "put" {
		miss("len", x.Len, len(e.Value))
		sum := sha256.Sum256(e.Value)
		miss("sha8", x.Sha8, hex.EncodeToString(sum[:8]))
	}
	return strings.Join(d, "; ")
}

// damage says where the strict reader stops in a fixture, and how.
type damage struct {
	gap     *GapError
	corrupt string // "file@offset"
}

var damaged = map[string]damage{
	"112_8":  {gap: &GapError{From: 21, To: 40}},
	"112_10": {corrupt: "00000000.log@0"},
}

func TestFixtures(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(fixtures, "*"))
	if err != nil || len(dirs) < 30 {
		t.Fatalf("fixtures: %v, %v", dirs, err)
	}
	more, err := filepath.Glob(filepath.Join(fixtures7, "*"))
	if err != nil || len(more) < 4 {
		t.Fatalf("fixtures: %v, %v", more, err)
	}
	for _, dir := range append(dirs, more...) {
		name := filepath.Base(dir)
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+name, func(t *testing.T) {
			t.Parallel()
			want := readExpected(t, filepath.Join(fixtures, name))
			r := NewReader(OS(), filepath.Join(dir, "binlog"), Options{})
			defer r.Close()
			got := 0
			for {
				e, err := r.Next()
				if err != nil {
					checkEnd(t, name, len(want), got, want, err)
					break
				}
				if got == len(want) {
					t.Fatalf("one entry too many: %d at %v", e.Index, e.Pos)
				}
				if d := compare(want[got], e); d != "" {
					t.Fatalf("%v: %s", want[got], d)
				}
				got++
			}
			if h, rep, sk := r.Stats(); h+rep+sk != 0 {
				t.Errorf("holes %d, repeated %d, skipped %d in a fixture without any", h, rep, sk)
			}
		})
	}
}

func checkEnd(t *testing.T, name string, total, got int, want []expected, err error) {
	t.Helper()
	if total == 0 && errors.Is(err, fs.ErrNotExist) {
		return // the shapes without a log
	}
	d, ok := damaged[name]
	var gap *GapError
	var corrupt *CorruptError
	switch {
	case !ok:
		if !errors.Is(err, ErrTail) || got != total {
			t.Fatalf("%d of %d entries, then %v", got, total, err)
		}
	case d.gap != nil:
		if !errors.As(err, &gap) || gap.From != d.gap.From || gap.To != d.gap.To || uint64(got) != gap.From-1 {
			t.Fatalf("%d entries, then %v", got, err)
		}
	default:
		if !errors.As(err, &corrupt) || fmt.Sprintf("%s@%d", filepath.Base(corrupt.File), corrupt.Offset) != d.corrupt || got != 0 {
			t.Fatalf("%d entries, then %v", got, err)
		}
	}
}

// A reader that seeks every index of every fixture gets that entry and the rest of the log (the first index after a file's last one is where
// upstream loses a row, formats.md D1).
func TestSeekEveryIndex(t *testing.T) {
	t.Parallel()
	dirs, _ := filepath.Glob(filepath.Join(fixtures, "*"))
	for _, dir := range dirs {
		name := filepath.Base(dir)
		if _, broken := damaged[name]; broken {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := readExpected(t, dir)
			bin := filepath.Join(dir, "binlog")
			r := NewReader(OS(), bin, Options{})
			defer r.Close()
			if len(want) == 0 { // no entry, in some no log at all: Next waits for entry 1
				if err := r.Seek(context.Background(), 1); err != nil && !isNotExist(err) {
					t.Fatal(err)
				}
				if e, err := r.Next(); !errors.Is(err, ErrTail) && !isNotExist(err) {
					t.Fatalf("an empty log: %v, %v", e, err)
				}
				return
			}
			for i, x := range want {
				if err := r.Seek(context.Background(), x.Index); err != nil {
					t.Fatal(err)
				}
				for j := i; j < min(i+3, len(want)); j++ {
					e, err := r.Next()
					if err != nil {
						t.Fatalf("seek %d, entry %d: %v", x.Index, want[j].Index, err)
					}
					if d := compare(want[j], e); d != "" {
						t.Fatalf("seek %d: %s", x.Index, d)
					}
				}
				p := r.Position()
				if j := i + 3; j < len(want) {
					if err := r.SeekPosition(context.Background(), p, want[j].Index); err != nil {
						t.Fatal(err)
					}
					e, err := r.Next()
					if err != nil || e.Index != want[j].Index {
						t.Fatalf("position %v: %v, %v", p, e, err)
					}
				}
			}
			last := want[len(want)-1].Index
			if err := r.Seek(context.Background(), last+1); err != nil {
				t.Fatal(err)
			}
			if e, err := r.Next(); !errors.Is(err, ErrTail) {
				t.Fatalf("behind the end: %v, %v", e, err)
			}
			if got, err := LastIndex(context.Background(), OS(), bin); err != nil || got != last {
				t.Fatalf("last index %d, %v; want %d", got, err, last)
			}
			if first := want[0].Index; first > 1 {
				var trimmed *TrimmedError
				if err := r.Seek(context.Background(), first-1); !errors.As(err, &trimmed) || trimmed.First != first {
					t.Fatalf("seek before the log: %v", err)
				}
			}
		})
	}
}

func TestSkipBadBlocksInFixtures(t *testing.T) {
	t.Parallel()
	r := NewReader(OS(), filepath.Join(fixtures, "112_10/binlog"), Options{SkipBadBlocks: true})
	defer r.Close()
	for range 3 {
		if e, err := r.Next(); !errors.Is(err, ErrTail) {
			t.Fatalf("the only block is bad: %v, %v", e, err)
		}
	}
	if _, _, skipped := r.Stats(); skipped != 1 {
		t.Fatalf("%d blocks skipped", skipped)
	}
	r = NewReader(OS(), filepath.Join(fixtures, "112_8/binlog"), Options{SkipBadBlocks: true})
	defer r.Close()
	var gap *GapError
	for {
		if _, err := r.Next(); err != nil {
			if !errors.As(err, &gap) {
				t.Fatalf("a missing file is no bad block: %v", err)
			}
			break
		}
	}
}
