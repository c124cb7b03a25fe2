package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"omsync/openmldb/pb/apipb"
	"omsync/testenv/binlogw"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		w, err := binlogw.Open(dir, binlogw.Options{MaxBytes: rapid.Int64Range(1, 40_000).Draw(rt, "max bytes")})
		if err != nil {
			rt.Fatal(err)
		}
		defer w.Close()
		first := rapid.Uint64Range(1, 1000).Draw(rt, "first")
		var want []*apipb.LogEntry
		for i := range rapid.IntRange(1, 60).Draw(rt, "entries") {
			n := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(4000, 4100), rapid.IntRange(0, 20_000)).Draw(rt, "size")
			e := entryOf(first+uint64(i), n)
			if rapid.IntRange(0, 9).Draw(rt, "delete") == 0 {
				e = &apipb.LogEntry{LogIndex: e.LogIndex, Term: e.Term, MethodType: apipb.MethodType_kDelete.Enum(), EndTs: proto.Uint64(5), TsName: proto.String("ts")}
			}
			want = append(want, e)
			if err := w.Append(e); err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 19).Draw(rt, "restart") == 0 {
				w.Close()
				if w, err = binlogw.Open(dir, binlogw.Options{MaxBytes: 10_000}); err != nil {
					rt.Fatal(err)
				}
			}
		}
		r := NewReader(OS(), dir, Options{})
		defer r.Close()
		var at []Position
		for _, x := range want {
			e, err := r.Next()
			if err != nil {
				rt.Fatalf("entry %d: %v", x.GetLogIndex(), err)
			}
			checkEntry(rt, x, e)
			at = append(at, e.Pos)
		}
		if e, err := r.Next(); !errors.Is(err, ErrTail) {
			rt.Fatalf("behind the end: %v, %v", e, err)
		}
		last := want[len(want)-1].GetLogIndex()
		if m, err := Last(context.Background(), OS(), dir); err != nil || m.Index != last || m.End != r.entry.End || m.CRC != r.entry.CRC() {
			rt.Fatalf("last: %+v, %v; want %d", m, err, last)
		}
		i := rapid.IntRange(0, len(want)-1).Draw(rt, "seek")
		if err := r.Seek(context.Background(), first+uint64(i)); err != nil {
			rt.Fatal(err)
		}
		if e, err := r.Next(); err != nil || e.Pos != at[i] {
			rt.Fatalf("seek %d: %v, %v", i, e, err)
		}
		if err := r.SeekPosition(context.Background(), at[i], first+uint64(i)); err != nil {
			rt.Fatal(err)
		}
		if e, err := r.Next(); err != nil || e.Index != first+uint64(i) {
			rt.Fatalf("position %d: %v, %v", i, e, err)
		}
		wrong := Position{at[i].File, at[i].Offset + int64(rapid.IntRange(-20, 20).Draw(rt, "off"))}
		if err := r.SeekPosition(context.Background(), wrong, first+uint64(i)); err != nil {
			rt.Fatal(err)
		}
		if e, err := r.Next(); err != nil || e.Index != first+uint64(i) {
			rt.Fatalf("a position that does not fit: %v, %v", e, err)
		}
	})
}

func checkEntry(t *rapid.T, x *apipb.LogEntry, e *Entry) {
	if e.Index != x.GetLogIndex() || e.Term != x.GetTerm() || e.TS != x.GetTs() || e.HasTS != (x.Ts != nil) || !bytes.Equal(e.Value, x.GetValue()) ||
		e.TsName != x.GetTsName() || (e.EndTS != nil) != (x.EndTs != nil) || e.EndTS != nil && *e.EndTS != x.GetEndTs() || len(e.Dims) != len(x.Dimensions) {
		t.Fatalf("entry %d: %+v", x.GetLogIndex(), e)
	}
	if (e.Method == Delete) != (x.GetMethodType() == apipb.MethodType_kDelete) {
		t.Fatalf("entry %d: %v", x.GetLogIndex(), e.Method)
	}
	for i, d := range x.Dimensions {
		if string(e.Dims[i].Key) != d.GetKey() || e.Dims[i].Idx != d.GetIdx() {
			t.Fatalf("entry %d: dimension %d is %+v", x.GetLogIndex(), i, e.Dims[i])
		}
	}
}

// A long file is sought by halving; the place must be the same as by reading.
func TestSeekInLongFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWriter(t, dir, binlogw.Options{})
	w.add(1, 2000, 700)
	w.add(2001, 2003, 100_000)
	w.add(2004, 3000, 700)
	r := reader(t, dir, Options{})
	for _, i := range []uint64{1, 2, 999, 1000, 1500, 2000, 2001, 2002, 2003, 2004, 2005, 2999, 3000} {
		if err := r.Seek(context.Background(), i); err != nil {
			t.Fatal(err)
		}
		for j := i; j < min(i+3, 3001); j++ {
			if e, err := r.Next(); err != nil || e.Index != j {
				t.Fatalf("seek %d: %v, %v", i, e, err)
			}
		}
	}
	w.wantStats(r, 0, 0, 0)
	if err := r.Seek(context.Background(), 0); err == nil {
		t.Error("index 0 does not exist")
	}
}

func TestReplacedFile(t *testing.T) {
	t.Parallel()
	replace := map[string]func(w *writer, path string){
		"other inode": func(w *writer, path string) {
			other := newWriter(w, w.TempDir(), binlogw.Options{})
			other.add(1, 9, 60)
			if err := os.Remove(path); err != nil {
				w.Fatal(err)
			}
			copyFile(w, filepath.Join(other.dir, "00000000.log"), path)
		},
		"shorter": func(w *writer, path string) {
			if err := os.Truncate(path, 50); err != nil {
				w.Fatal(err)
			}
		},
		"other first record": func(w *writer, path string) {
			other := newWriter(w, w.TempDir(), binlogw.Options{})
			other.add(7, 20, 77)
			b, err := os.ReadFile(filepath.Join(other.dir, "00000000.log"))
			if err != nil {
				w.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				w.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Write(b); err != nil {
				w.Fatal(err)
			}
		},
	}
	for name, replace := range replace {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWriter(t, t.TempDir(), binlogw.Options{})
			w.add(1, 4, 60)
			r := reader(t, w.dir, Options{})
			w.wantDrain(r, ErrTail, 1, 2, 3, 4)
			replace(w, filepath.Join(w.dir, "00000000.log"))
			var replaced *ReplacedError
			for range 2 {
				if _, err := r.Next(); !errors.As(err, &replaced) {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
}

// A name that is gone is no loss: the file lives on while it is open.
func TestPrunedUnderTheReader(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 3, 60)
	r := reader(t, w.dir, Options{})
	w.wantDrain(r, ErrTail, 1, 2, 3)
	w.add(4, 4, 60)
	w.rotate()
	w.add(5, 5, 60)
	if err := os.Remove(filepath.Join(w.dir, "00000000.log")); err != nil {
		t.Fatal(err)
	}
	w.wantDrain(r, ErrTail, 4, 5)
	var trimmed *TrimmedError
	if err := r.Seek(context.Background(), 4); !errors.As(err, &trimmed) || trimmed.First != 5 || trimmed.Want != 4 {
		t.Fatalf("got %v", err)
	}
}

func TestHoleInsideOneFileIsCounted(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 2, 60)
	w.add(10, 11, 60)
	r := reader(t, w.dir, Options{})
	w.wantDrain(r, ErrTail, 1, 2, 10, 11)
	w.wantStats(r, 7, 0, 0)
	if err := r.Seek(context.Background(), 8); err != nil {
		t.Fatal(err)
	}
	w.wantDrain(r, ErrTail, 10, 11)
	w.wantStats(r, 9, 0, 0)
}

func TestHoleBetweenConsecutiveFilesIsCounted(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 2, 60)
	w.restart()
	w.add(8, 9, 60)
	r := reader(t, w.dir, Options{})
	w.wantDrain(r, ErrTail, 1, 2, 8, 9)
	w.wantStats(r, 5, 0, 0)
}

func TestMissingFileIsAGap(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 2, 60)
	w.rotate()
	w.add(3, 4, 60)
	w.rotate()
	w.add(5, 6, 60)
	if err := os.Remove(filepath.Join(w.dir, "00000001.log")); err != nil {
		t.Fatal(err)
	}
	r := reader(t, w.dir, Options{})
	var gap *GapError
	for range 2 {
		got, err := drain(r)
		if !errors.As(err, &gap) || gap.From != 3 || gap.To != 4 || filepath.Base(gap.File) != "00000002.log" || filepath.Base(gap.After) != "00000000.log" {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if err := r.Seek(context.Background(), 3); !errors.As(err, &gap) {
		t.Fatalf("seek into the gap: %v", err)
	}
	if err := r.Seek(context.Background(), 5); err != nil {
		t.Fatal(err)
	}
	w.wantDrain(r, ErrTail, 5, 6)
}

func TestRepeatedEntriesAreSkipped(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 5, 60)
	w.rotate()
	w.add(4, 8, 90)
	r := reader(t, w.dir, Options{})
	w.wantDrain(r, ErrTail, 1, 2, 3, 4, 5, 6, 7, 8)
	w.wantStats(r, 0, 2, 0)
	// The first one wins, also for who begins there.
	if err := r.Seek(context.Background(), 4); err != nil {
		t.Fatal(err)
	}
	if e, err := r.Next(); err != nil || e.Pos.File != 0 || len(e.Value) != 60 {
		t.Fatalf("%+v, %v", e, err)
	}
}

func TestDuplicateNumber(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 2, 60)
	copyFile(t, filepath.Join(w.dir, "00000000.log"), filepath.Join(w.dir, "0.log"))
	var corrupt *CorruptError
	if _, err := reader(t, w.dir, Options{}).Next(); !errors.As(err, &corrupt) {
		t.Fatalf("got %v", err)
	}
	if _, err := List(OS(), w.dir); !errors.As(err, &corrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{NameWidth: 3})
	w.add(5, 6, 60)
	w.rotate()
	w.add(7, 8, 9000)
	for _, name := range []string{"notes.txt", "x.log", ".log", "1.log.tmp", "-1.log", "99999999999999999999999.log"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte("?"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "002.log"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "003.log"), bytes.Repeat([]byte("x"), 9000), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "004.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := List(OS(), w.dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%d %s first %d damaged %v inode %v", f.Num, f.Name, f.First, f.Err != nil, f.Inode != 0))
	}
	want := []string{"0 000.log first 5 damaged false inode true", "1 001.log first 7 damaged false inode true", "2 002.log first 0 damaged false inode true", "3 003.log first 0 damaged true inode true"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
