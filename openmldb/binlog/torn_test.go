package binlog

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"omsync/testenv/binlogw"
)

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
