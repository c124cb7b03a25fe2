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

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"omsync/testenv/binlogw"
)

// twoFiles is a log of two files, entries 1..8 and 9..10; the first file is ended.
func twoFiles(t testing.TB) *writer {
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 3, 60)
	w.add(4, 5, 3900)
	w.add(6, 6, 5000)
	w.add(7, 8, 60)
	w.rotate()
	w.add(9, 10, 60)
	return w
}

func ascending(n int) []uint64 {
	var out []uint64
	for i := range n {
		out = append(out, uint64(i+1))
	}
	return out
}

// TestChecksumIsVerified: whichever byte of a file is flipped, what is read is a beginning of the truth, and then either the truth goes on or the
// reader stops with file and offset. Nothing is ever left out.
func TestChecksumIsVerified(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"00000000.log", "00000001.log"} {
		w := twoFiles(t)
		path := filepath.Join(w.dir, file)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		stopped := 0
		for at := range whole {
			if len(whole) > 1000 && at > 300 && at%7 != 0 && at%BlockSize > 20 && at < len(whole)-300 {
				continue // inside long values one place is as good as the next
			}
			b := append([]byte(nil), whole...)
			b[at] ^= 1 << (at % 8)
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			r := NewReader(OS(), w.dir, Options{})
			got, err := drain(r)
			h, rep, sk := r.Stats()
			r.Close()
			var corrupt *CorruptError
			switch {
			case fmt.Sprint(got) != fmt.Sprint(ascending(len(got))) || h+rep+sk != 0:
				t.Fatalf("%s, byte %d flipped: read %v, holes %d, %v", file, at, got, h, err)
			case errors.As(err, &corrupt):
				stopped++
				if corrupt.File != path && file == "00000000.log" {
					t.Fatalf("byte %d of %s flipped: %v", at, file, err)
				}
			case errors.Is(err, ErrTail) && (len(got) == 10 || file == "00000001.log"):
				// a trailer of a block; or a length in the last block, which may still be written
			default:
				t.Fatalf("%s, byte %d flipped: read %v, then %v", file, at, got, err)
			}
		}
		if stopped < len(whole)/10 {
			t.Fatalf("%s: stopped at %d of %d bytes", file, stopped, len(whole))
		}
	}
}

// A zeroed block stops the reader where it stands: the entries in it are missing behind it.
func TestZeroedBlockStops(t *testing.T) {
	t.Parallel()
	w := twoFiles(t)
	path := filepath.Join(w.dir, "00000000.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for block := range len(whole)/BlockSize + 1 {
		b := append([]byte(nil), whole...)
		clear(b[block*BlockSize : min(len(b), (block+1)*BlockSize)])
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		r := reader(t, w.dir, Options{})
		got, err := drain(r)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.File != path || fmt.Sprint(got) != fmt.Sprint(ascending(len(got))) || len(got) == 10 {
			t.Fatalf("block %d: read %v, %v", block, got, err)
		}
		skip := reader(t, w.dir, Options{SkipBadBlocks: true})
		if err := skip.Seek(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		got, err = drain(skip)
		if !errors.Is(err, ErrTail) || got[len(got)-1] != 10 || uint64(len(got))+skip.Lost() != 10 {
			t.Fatalf("block %d skipped: read %v, lost %d, %v", block, got, skip.Lost(), err)
		}
	}
}

// The same where records and blocks end together, so that no piece of a record betrays the loss.
func TestZeroedWholeBlocksStop(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	for i := uint64(1); i <= 6; i++ {
		e := entryOf(i, 4000)
		e.Pk = proto.String(strings.Repeat("p", BlockSize-headerSize-proto.Size(e)))
		if n := proto.Size(e); n != BlockSize-headerSize {
			t.Fatalf("%d bytes", n)
		}
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(w.dir, "00000000.log"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 2*BlockSize), 2*BlockSize); err != nil {
		t.Fatal(err)
	}
	got, err := drain(reader(t, w.dir, Options{}))
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.Offset != 2*BlockSize || len(got) != 2 {
		t.Fatalf("read %v, %v", got, err)
	}
	skip := reader(t, w.dir, Options{SkipBadBlocks: true})
	w.wantDrain(skip, ErrTail, 1, 2, 5, 6)
	if skip.Lost() != 2 {
		t.Errorf("lost %d", skip.Lost())
	}
}

// Pieces of an unfinished record are never put together with what is written over them.
func TestUnfinishedRecordIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	logOf := func(fill byte) []byte {
		w := newWriter(t, t.TempDir(), binlogw.Options{})
		if err := w.AppendBytes(bytes.Repeat([]byte{fill}, 3*BlockSize)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(w.dir, "00000000.log"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, b := logOf('a'), logOf('b')
	for _, cut := range []int{BlockSize, BlockSize + 100, 3 * BlockSize} {
		write(a[:cut])
		h, err := OS().Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		s := scanner{h: h, max: maxRecordLen}
		if _, st, err := s.record(0); st != wait || err != nil {
			t.Fatalf("state %v, %v", st, err)
		}
		write(b)
		rec, st, err := s.record(0)
		if st != found || err != nil || bytes.ContainsRune(rec.payload, 'a') {
			t.Fatalf("cut at %d: state %v, %v", cut, st, err)
		}
	}
}

// What is read while a tablet writes EOF over a torn tail may be half of each: a bad record is read twice.
func TestBadRecordIsReadTwice(t *testing.T) {
	t.Parallel()
	w := twoFiles(t)
	flipped := 0
	h := &hookFS{FS: OS(), flip: func(p []byte) {
		if flipped++; flipped%2 == 1 && len(p) > 100 {
			p[50] ^= 1
		}
	}}
	r := NewReader(h, w.dir, Options{})
	defer r.Close()
	w.wantDrain(r, ErrTail, ascending(10)...)
	if flipped < 2 {
		t.Fatal("no byte was flipped")
	}
}

// A listing may miss a file that appears while it is made, and show a later one.
func TestIncompleteListing(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 2, 60)
	h := &hookFS{FS: OS()}
	r := NewReader(h, w.dir, Options{})
	defer r.Close()
	w.wantDrain(r, ErrTail, 1, 2)
	w.rotate()
	w.add(3, 4, 60)
	w.rotate()
	w.add(5, 6, 60)
	h.hide = "00000001.log"
	w.wantDrain(r, ErrTail, 3, 4, 5, 6)
	if h.hide != "" {
		t.Fatal("nothing was hidden")
	}
}

// Zeros at the end of the last file are space that is not written yet.
func TestZeroTailIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 3, 60)
	path := filepath.Join(w.dir, "00000000.log")
	if err := os.Truncate(path, 3*BlockSize+100); err != nil {
		t.Fatal(err)
	}
	r := reader(t, w.dir, Options{})
	w.wantDrain(r, ErrTail, 1, 2, 3)
	w.add(4, 200, 60) // over the zeros, as the writer stands before them
	w.wantDrain(r, ErrTail, ascending(200)[3:]...)
	w.wantStats(r, 0, 0, 0)
}

// A length that overruns a complete block can never become a record; upstream waits for it for ever.
func TestLengthOverrunsCompleteBlock(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 2, 60)
	path := filepath.Join(w.dir, "00000000.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := len(b)
	b = append(b, 1, 2, 3, 4, 0xff, 0x0f, 1)
	for _, tt := range []struct {
		size    int
		corrupt bool
	}{{end + 7, false}, {BlockSize - 1, false}, {BlockSize, true}, {BlockSize + 50, true}} {
		c := make([]byte, tt.size)
		copy(c, b)
		if err := os.WriteFile(path, c, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := drain(reader(t, w.dir, Options{}))
		var corrupt *CorruptError
		if errors.As(err, &corrupt) != tt.corrupt || len(got) != 2 || tt.corrupt && corrupt.Offset != int64(end) {
			t.Errorf("%d bytes: %v, %v", tt.size, got, err)
		}
	}
}

func TestSkipBadBlocks(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 200, 300)
	path := filepath.Join(w.dir, "00000000.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[2*BlockSize+2000] ^= 4
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	strict, err := drain(reader(t, w.dir, Options{}))
	if !errors.As(err, &corrupt) || corrupt.Offset/BlockSize != 2 {
		t.Fatalf("read %v, %v", strict, err)
	}
	r := reader(t, w.dir, Options{SkipBadBlocks: true})
	got, err := drain(r)
	if !errors.Is(err, ErrTail) || uint64(len(got))+r.Lost() != 200 || r.Lost() == 0 || r.Lost() > 13 || got[len(got)-1] != 200 {
		t.Fatalf("read %d entries, lost %d, %v", len(got), r.Lost(), err)
	}
	w.wantStats(r, 0, 0, 1)
	// More entries missing than the skipped block can have held: that is another loss, not this one.
	w2 := newWriter(t, t.TempDir(), binlogw.Options{})
	w2.add(1, 20, 300)
	w2.add(5000, 5020, 300)
	path = filepath.Join(w2.dir, "00000000.log")
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	b[BlockSize+2000] ^= 4
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	var gap *GapError
	if got, err := drain(reader(t, w2.dir, Options{SkipBadBlocks: true})); !errors.As(err, &gap) {
		t.Fatalf("read %v, %v", got, err)
	}
}

func TestStrangeEntries(t *testing.T) {
	t.Parallel()
	var known []byte
	known = protowire.AppendTag(known, fIndex, protowire.VarintType)
	known = protowire.AppendVarint(known, 1)
	with := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), known...)) }
	tests := []struct {
		name    string
		payload []byte
		ok      bool
	}{
		{"unknown fields of every type", with(func(b []byte) []byte {
			b = protowire.AppendTag(b, 99, protowire.BytesType)
			b = protowire.AppendString(b, "x")
			b = protowire.AppendTag(b, 100, protowire.Fixed32Type)
			b = protowire.AppendFixed32(b, 1)
			b = protowire.AppendTag(b, 101, protowire.Fixed64Type)
			b = protowire.AppendFixed64(b, 1)
			b = protowire.AppendTag(b, 102, protowire.StartGroupType)
			return protowire.AppendTag(b, 102, protowire.EndGroupType)
		}), true},
		{"known field of another type", with(func(b []byte) []byte {
			b = protowire.AppendTag(b, fValue, protowire.VarintType)
			return protowire.AppendVarint(b, 1)
		}), true},
		{"unknown method", with(func(b []byte) []byte {
			b = protowire.AppendTag(b, fMethod, protowire.VarintType)
			return protowire.AppendVarint(b, 3)
		}), false},
		{"no index", nil, false},
		{"cut", known[:1], false},
		{"broken dimension", with(func(b []byte) []byte {
			b = protowire.AppendTag(b, fDims, protowire.BytesType)
			return protowire.AppendString(b, "\x0a\x7f")
		}), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWriter(t, t.TempDir(), binlogw.Options{})
			if err := w.AppendBytes(tt.payload); err != nil {
				t.Fatal(err)
			}
			e, err := reader(t, w.dir, Options{}).Next()
			var corrupt *CorruptError
			if tt.ok != (err == nil) || err != nil && !errors.As(err, &corrupt) {
				t.Fatalf("%v, %v", e, err)
			}
		})
	}
}

func TestRecordTooLong(t *testing.T) {
	t.Parallel()
	w := newWriter(t, t.TempDir(), binlogw.Options{})
	w.add(1, 1, 100_000)
	var corrupt *CorruptError
	if _, err := reader(t, w.dir, Options{MaxRecord: 50_000}).Next(); !errors.As(err, &corrupt) {
		t.Fatal(err)
	}
}
