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

// entryOf is a put whose value is n bytes long and says its index.
func entryOf(index uint64, n int) *apipb.LogEntry {
	v := bytes.Repeat([]byte{byte(index)}, n)
	copy(v, fmt.Sprint(index))
	return &apipb.LogEntry{Term: proto.Uint64(1), LogIndex: proto.Uint64(index), Pk: proto.String(""), Value: v, Ts: proto.Uint64(1000 + index),
		Dimensions: []*apipb.Dimension{{Key: proto.String(fmt.Sprint("k", index)), Idx: proto.Uint32(0)}}}
}

type writer struct {
	testing.TB
	dir string
	*binlogw.Writer
}

func newWriter(t testing.TB, dir string, opts binlogw.Options) *writer {
	t.Helper()
	w, err := binlogw.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return &writer{t, dir, w}
}

// add appends entries from..to of n bytes.
func (w *writer) add(from, to uint64, n int) {
	w.Helper()
	for i := from; i <= to; i++ {
		if err := w.Append(entryOf(i, n)); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *writer) rotate() {
	w.Helper()
	if err := w.Rotate(); err != nil {
		w.Fatal(err)
	}
}

// restart is a tablet killed and started again.
func (w *writer) restart() {
	w.Helper()
	if err := w.Close(); err != nil {
		w.Fatal(err)
	}
	n, err := binlogw.Open(w.dir, binlogw.Options{})
	if err != nil {
		w.Fatal(err)
	}
	w.Writer = n
	w.Cleanup(func() { n.Close() })
}

func reader(t testing.TB, dir string, opts Options) *Reader {
	t.Helper()
	r := NewReader(OS(), dir, opts)
	t.Cleanup(func() { r.Close() })
	return r
}

// drain reads to the first error.
func drain(r *Reader) (got []uint64, err error) {
	for {
		e, err := r.Next()
		if err != nil {
			return got, err
		}
		if !bytes.HasPrefix(e.Value, []byte(fmt.Sprint(e.Index))) {
			return got, fmt.Errorf("entry %d has value %.20q", e.Index, e.Value)
		}
		got = append(got, e.Index)
	}
}

func (w *writer) wantDrain(r *Reader, want error, indexes ...uint64) {
	w.Helper()
	got, err := drain(r)
	if fmt.Sprint(got) != fmt.Sprint(indexes) {
		w.Fatalf("got %v (%v), want %v", got, err, indexes)
	}
	if want != nil && !errors.Is(err, want) {
		w.Fatalf("after %v: %v, want %v", got, err, want)
	}
}

func (w *writer) wantStats(r *Reader, holes, repeated, skipped uint64) {
	w.Helper()
	if h, rep, s := r.Stats(); h != holes || rep != repeated || s != skipped {
		w.Errorf("holes %d, repeated %d, skipped %d; want %d, %d, %d", h, rep, s, holes, repeated, skipped)
	}
}

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

// A position that is the end of this replica's file, but inside an entry that is being written, is none: reading goes on where the entry begins.
func TestPositionInsideUnfinishedEntry(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, 9000} {
		w := newWriter(t, t.TempDir(), binlogw.Options{})
		w.add(1, 3, 60)
		path := filepath.Join(w.dir, "00000000.log")
		head, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		w.add(4, 6, size)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int64{0, 1, 6, 7, 8, 100, 4000, 4200} {
			end := head.Size() + cut
			if end > int64(len(whole)) {
				continue
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "00000000.log"), whole[:end], 0o644); err != nil {
				t.Fatal(err)
			}
			r := reader(t, dir, Options{})
			if err := r.SeekPosition(context.Background(), Position{0, end}, 4); err != nil {
				t.Fatal(err)
			}
			w.wantDrain(r, ErrTail)
			if got := r.Position().Offset; got != head.Size() {
				t.Errorf("cut %d bytes behind entry 3: the reader stands at %d, want %d", cut, got, head.Size())
			}
			if err := os.WriteFile(filepath.Join(dir, "00000000.log"), whole, 0o644); err != nil {
				t.Fatal(err)
			}
			w.wantDrain(r, ErrTail, 4, 5, 6)
			w.wantStats(r, 0, 0, 0)
		}
	}
}

// An entry that is cut anywhere is waited for; after the restart of the tablet, which writes EOF over it, nothing is missing.
func TestTornTailIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, size := range []int{50, 3990, 9000} {
		for cut := 1; cut < size+20; cut += 1 + size/60 {
			dir := t.TempDir()
			w := newWriter(t, dir, binlogw.Options{})
			w.add(1, 3, 60)
			r := reader(t, dir, Options{})
			w.wantDrain(r, ErrTail, 1, 2, 3)
			if err := w.Tear(entryOf(4, size), cut); err != nil {
				t.Fatal(err)
			}
			w.wantDrain(r, ErrTail)
			w.wantDrain(r, ErrTail)
			w.restart()
			w.wantDrain(r, ErrTail)
			w.add(4, 6, 80)
			w.wantDrain(r, ErrTail, 4, 5, 6)
			w.wantStats(r, 0, 0, 0)
			fresh := reader(t, dir, Options{})
			w.wantDrain(fresh, ErrTail, 1, 2, 3, 4, 5, 6)
			if n, err := LastIndex(context.Background(), OS(), dir); err != nil || n != 6 {
				t.Fatalf("last index %d, %v", n, err)
			}
		}
	}
}

// Without the EOF record of a restart, a newer file says that the tail of the older one is torn: it is read once more and left.
func TestTornTailWithNewerFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWriter(t, dir, binlogw.Options{})
	w.add(1, 3, 60)
	r := reader(t, dir, Options{})
	w.wantDrain(r, ErrTail, 1, 2, 3)
	if err := w.Tear(entryOf(4, 500), 100); err != nil {
		t.Fatal(err)
	}
	w.wantDrain(r, ErrTail)
	other := newWriter(t, t.TempDir(), binlogw.Options{})
	other.add(4, 5, 60)
	copyFile(t, filepath.Join(other.dir, "00000000.log"), filepath.Join(dir, "00000001.log"))
	w.wantDrain(r, ErrTail, 4, 5)
	w.wantStats(r, 0, 0, 0)
}

// The newer file appears after the reader has found the end of the older one and before it looks for files: what was appended to the older one
// in between must be read first.
func TestOlderFileIsReadOnceMore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWriter(t, dir, binlogw.Options{})
	w.add(1, 3, 60)
	late := &hookFS{FS: OS()}
	r := NewReader(late, dir, Options{})
	defer r.Close()
	w.wantDrain(r, ErrTail, 1, 2, 3)
	late.beforeReadDir = func() {
		late.beforeReadDir = nil
		w.add(4, 5, 60)
		w.rotate()
		w.add(6, 6, 60)
	}
	w.wantDrain(r, ErrTail, 4, 5, 6)
	w.wantStats(r, 0, 0, 0)
}

// A last file without a whole record is truncated by a starting tablet and written anew, also behind an EOF record.
func TestReusedLastFile(t *testing.T) {
	t.Parallel()
	for _, cut := range []int{0, 3, 50, 4090, 4200} {
		dir := t.TempDir()
		w := newWriter(t, dir, binlogw.Options{})
		w.add(1, 2, 60)
		w.rotate()
		if err := w.Tear(entryOf(3, 5000), cut); err != nil {
			t.Fatal(err)
		}
		if cut == 0 {
			eof := []byte{0xf0, 0xb9, 0x1d, 0x31, 0, 0, 5}
			if err := os.WriteFile(filepath.Join(dir, "00000001.log"), eof, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r := reader(t, dir, Options{})
		w.wantDrain(r, ErrTail, 1, 2)
		w.restart()
		w.add(3, 5, 70)
		if n := w.File(); n != 1 {
			t.Fatalf("file %d", n)
		}
		w.wantDrain(r, ErrTail, 3, 4, 5)
		w.wantStats(r, 0, 0, 0)
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

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
