package binlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/testenv/binlogw"
)

// TestTailWhileWriterGrows reads through hard links in another directory, as the collector does, while the writer appends entries of all sizes,
// rotates, is killed in the middle of entries and restarts, and while older links are pruned.
func TestTailWhileWriterGrows(t *testing.T) {
	t.Parallel()
	const total = 20_000
	root := t.TempDir()
	logs, links := filepath.Join(root, "binlog"), filepath.Join(root, "links")
	for _, d := range []string{logs, links} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer stop.Store(true)
		if err := write(logs, total); err != nil {
			t.Error(err)
		}
	})
	var consumed atomic.Uint64 // number of the file the reader stands in
	wg.Go(func() {
		for last := false; !last; runtime.Gosched() {
			last = stop.Load() // one more round after the writer's end
			if err := link(logs, links, consumed.Load()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	r := NewReader(OS(), links, Options{})
	defer r.Close()
	next, polls := uint64(1), 0
	for next <= total && !t.Failed() {
		e, err := r.Next()
		if errors.Is(err, ErrTail) {
			polls++
			if polls%50 == 0 { // a restart of the reader
				if err := r.SeekPosition(context.Background(), r.Position(), next); err != nil {
					t.Errorf("position %v before %d: %v", r.Position(), next, err)
				}
			}
			runtime.Gosched()
			continue
		}
		if err != nil {
			t.Errorf("instead of entry %d: %v", next, err)
			break
		}
		if want := entryOf(next, sizeOf(next)); e.Index != next || string(e.Value) != string(want.Value) {
			t.Errorf("got entry %d of %d bytes, want %d", e.Index, len(e.Value), next)
			break
		}
		consumed.Store(e.Pos.File)
		next++
	}
	stop.Store(true)
	wg.Wait()
	if h, rep, sk := r.Stats(); h+rep+sk != 0 {
		t.Errorf("holes %d, repeated %d, skipped %d", h, rep, sk)
	}
}

func sizeOf(index uint64) int {
	r := rand.New(rand.NewPCG(index, 1))
	if r.IntN(50) == 0 {
		return r.IntN(20_000)
	}
	return r.IntN(200)
}

func write(dir string, total uint64) error {
	r := rand.New(rand.NewPCG(1, 2))
	opts := binlogw.Options{MaxBytes: 100_000, AfterRecord: func() {
		if rand.IntN(20) == 0 {
			runtime.Gosched()
		}
	}}
	w, err := binlogw.Open(dir, opts)
	if err != nil {
		return err
	}
	for i := uint64(1); i <= total; i++ {
		e := entryOf(i, sizeOf(i))
		if r.IntN(400) == 0 {
			if err := w.Tear(e, 1+r.IntN(proto.Size(e))); err != nil {
				return err
			}
			if w, err = binlogw.Open(dir, opts); err != nil {
				return err
			}
		}
		if err := w.Append(e); err != nil {
			return err
		}
	}
	return w.Close()
}

// link links what is not linked yet, oldest first, and prunes what the reader has left.
func link(from, to string, below uint64) error {
	files, err := names(OS(), from)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(to, f.name)
		if f.num < below {
			if err := os.Remove(path); err != nil && !isNotExist(err) {
				return err
			}
			continue
		}
		if err := os.Link(filepath.Join(from, f.name), path); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// An entry costs no allocation.
func TestNoAllocationPerEntry(t *testing.T) {
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 3000, 200)
	r := reader(t, w.dir, Options{})
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(2000, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}); n > 0.01 {
		t.Errorf("%v allocations per entry", n)
	}
}

func TestEntryCRC(t *testing.T) {
	t.Parallel()
	of := func(f func(e *Entry)) uint32 {
		e := &Entry{Index: 5, Term: 2, Method: Put, TS: 9, HasTS: true, Dims: []Dim{{[]byte("k"), 0}, {[]byte("x"), 1}}, Value: []byte("v")}
		if f != nil {
			f(e)
		}
		return e.CRC()
	}
	const want = 0x2ec011cf // committed marks are compared over restarts and versions: this number must never change
	if got := of(nil); got != want {
		t.Errorf("crc %#08x, want %#08x", got, want)
	}
	if of(func(e *Entry) { e.Pos.Offset, e.Size = 7, 9 }) != of(nil) {
		t.Error("the place of an entry is no part of it")
	}
	seen := map[uint32]int{of(nil): -1}
	for i, f := range []func(e *Entry){
		func(e *Entry) { e.Index++ }, func(e *Entry) { e.Term++ }, func(e *Entry) { e.Method = Delete }, func(e *Entry) { e.TS++ }, func(e *Entry) { e.HasTS = false },
		func(e *Entry) { e.Dims = e.Dims[:1] }, func(e *Entry) { e.Dims[1].Idx = 2 }, func(e *Entry) { e.Dims[0].Key = []byte("kx"); e.Dims[1].Key = nil },
		func(e *Entry) { e.Value = []byte("w") }, func(e *Entry) { e.Value = nil },
	} {
		c := of(f)
		if j, dup := seen[c]; dup {
			t.Errorf("changes %d and %d have the same crc", i, j)
		}
		seen[c] = i
	}
}

func TestCloseAndStart(t *testing.T) {
	t.Parallel()
	w := twoFiles(t)
	r := NewReader(OS(), w.dir, Options{})
	w.wantDrain(r, ErrTail, ascending(10)...)
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
	if err := r.SeekStart(); err != nil {
		t.Fatal(err)
	}
	w.wantDrain(r, ErrTail, ascending(10)...)
	if r.Last() != 10 {
		t.Error(r.Last())
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Seek(stopped, 3); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewReader(OS(), filepath.Join(w.dir, "none"), Options{}).Next(); !isNotExist(err) {
		t.Error(err)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := newWriter(b, b.TempDir(), binlogw.Options{})
			n := uint64(64 << 20 / (size + 50))
			w.add(1, n, size)
			r := reader(b, w.dir, Options{})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Next(); errors.Is(err, ErrTail) {
					if err := r.SeekStart(); err != nil {
						b.Fatal(err)
					}
				} else if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
