package binlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"omsync/testenv/binlogw"
)

// history is a tablet that writes, rotates, dies in the middle of entries, restarts with a hole in its indexes and deletes old files, with a
// reader that comes and goes. Every entry must be read once, in order, and every hole counted once.
type history struct {
	*rapid.T
	dir  string
	w    *binlogw.Writer
	r    *Reader
	next uint64   // the index the tablet writes next
	all  []uint64 // written whole
	read int      // of all
	// last says of the entry read last where it ended and what it was.
	last  Mark
	holes uint64
	seen  uint64 // holes counted up to that entry
	older uint64 // of those by readers before this one
}

func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *history) open() {
	w, err := binlogw.Open(h.dir, binlogw.Options{MaxBytes: rapid.SampledFrom([]int64{1, 300, 5000, 30_000}).Draw(h.T, "max bytes")})
	h.must(err)
	h.w = w
}

func (h *history) size() int {
	return rapid.SampledFrom([]int{5, 60, 200, 4000, 4060, 4070, 9000}).Draw(h.T, "size") + rapid.IntRange(0, 30).Draw(h.T, "more")
}

func (h *history) append() {
	for range rapid.IntRange(1, 8).Draw(h.T, "entries") {
		h.must(h.w.Append(entryOf(h.next, h.size())))
		h.all = append(h.all, h.next)
		h.next++
	}
}

func (h *history) rotate() { h.must(h.w.Rotate()) }

// die ends the process, perhaps in the middle of an entry; the next one may leave indexes out.
func (h *history) die() {
	if rapid.Bool().Draw(h.T, "torn") {
		e := entryOf(h.next, h.size())
		h.must(h.w.Tear(e, rapid.IntRange(1, proto.Size(e)).Draw(h.T, "cut"))) // headers come on top: it is never whole
	} else {
		h.must(h.w.Close())
	}
	h.take() // the reader sees the torn tail, or not
	h.open()
	if len(h.all) > 0 {
		hole := rapid.SampledFrom([]uint64{0, 0, 1, 30}).Draw(h.T, "hole")
		h.next += hole
		h.holes += hole
	}
}

// take reads some entries, or all there are.
func (h *history) take() {
	for range rapid.SampledFrom([]int{0, 1, 3, 1000}).Draw(h.T, "read") {
		e, err := h.r.Next()
		if errors.Is(err, ErrTail) {
			if h.read != len(h.all) {
				h.Fatalf("the log ends after entry %d for the reader, entry %d is written", h.last.Index, h.all[len(h.all)-1])
			}
			return
		}
		h.must(err)
		if h.read == len(h.all) || e.Index != h.all[h.read] {
			h.Fatalf("entry %d after %d", e.Index, h.last.Index)
		}
		if want := fmt.Sprint(e.Index); string(e.Value[:min(len(e.Value), len(want))]) != want[:min(len(e.Value), len(want))] {
			h.Fatalf("entry %d has value %.20q", e.Index, e.Value)
		}
		n, _, _ := h.r.Stats()
		h.last, h.seen = MarkOf(e), h.older+n
		h.read++
	}
}

// resume is a restart of the reader: at the position behind the last entry, where it stands, or by index alone.
func (h *history) resume() {
	h.older = h.seen
	at := h.r.Position()
	h.must(h.r.Close())
	h.r = NewReader(OS(), h.dir, Options{})
	want := h.last.Index + 1
	ctx := context.Background()
	switch rapid.IntRange(0, 2).Draw(h.T, "how") {
	case 0:
		h.must(h.r.SeekPosition(ctx, h.last.End, want))
	case 1:
		h.must(h.r.SeekPosition(ctx, at, want))
	default:
		h.must(h.r.Seek(ctx, want))
	}
}

// prune deletes files below the one that the last entry read is in.
func (h *history) prune() {
	ns, err := names(OS(), h.dir)
	h.must(err)
	for _, n := range ns {
		if h.last.Index > 0 && n.num < h.last.End.File {
			h.must(os.Remove(filepath.Join(h.dir, n.name)))
		}
	}
}

func (h *history) check() {
	m, err := Last(context.Background(), OS(), h.dir)
	h.must(err)
	if n := len(h.all); n > 0 && m.Index != h.all[n-1] || n == 0 && m.Index != 0 {
		h.Fatalf("the last entry is %d of %v", m.Index, h.all)
	}
}

func TestHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		h := &history{T: rt, dir: dir, next: 1, r: NewReader(OS(), dir, Options{})}
		h.open()
		defer func() { h.w.Close(); h.r.Close() }()
		step := map[string]func(){"append": h.append, "append more": h.append, "rotate": h.rotate, "die": h.die, "take": h.take, "resume": h.resume, "prune": h.prune}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			name := rapid.SampledFrom([]string{"append", "append more", "rotate", "die", "take", "resume", "prune"}).Draw(rt, "step")
			step[name]()
			h.check()
		}
		h.append()
		for h.read < len(h.all) {
			h.take()
		}
		if _, repeated, skipped := h.r.Stats(); h.seen != h.holes || repeated+skipped != 0 {
			rt.Fatalf("%d holes counted of %d, %d repeated, %d skipped", h.seen, h.holes, repeated, skipped)
		}
	})
}
