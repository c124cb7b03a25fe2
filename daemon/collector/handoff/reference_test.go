package handoff

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func compareRows(a, b sRow) int {
	if c := bytes.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	switch {
	case a.Ts > b.Ts:
		return -1
	case a.Ts < b.Ts:
		return 1
	}
	return 0
}

// entries is a log in memory.
type entries struct{ list []Entry }

func (l *entries) Next() (Entry, error) {
	if len(l.list) == 0 {
		return Entry{}, io.EOF
	}
	e := l.list[0]
	l.list = l.list[1:]
	return e, nil
}

// outcome is what a plan decides.
type outcome struct {
	backlog           []uint64
	vanished, expired uint64
	oldest            uint64
}

func outcomeOf(p *Plan) outcome {
	return outcome{p.Backlog.Slice(), p.Vanished, p.Expired, p.Oldest}
}

func (o outcome) equal(q outcome) bool {
	return slices.Equal(o.backlog, q.backlog) && o.vanished == q.vanished && o.expired == q.expired && o.oldest == q.oldest
}

// reference reads the rule of design.md §5.1 step 3 word by word, entry against entry.
func reference(log []Entry, rows []sRow, in Input, near uint64, tolerance int64) outcome {
	touches := func(d, e Entry) bool {
		switch d.Op {
		case Put:
			return bytes.Equal(d.Key, e.Key) && d.Ts == e.Ts
		case Delete:
			return bytes.Equal(d.Key, e.Key) && d.EndTs < e.Ts && e.Ts <= d.StartTs
		}
		return d.EndTs < e.Ts && e.Ts <= d.StartTs
	}
	inS := func(e Entry) bool {
		return slices.ContainsFunc(rows, func(r sRow) bool { return bytes.Equal(r.Key, e.Key) && r.Ts == e.Ts && r.hash == e.Hash })
	}
	out := outcome{oldest: math.MaxUint64}
	for _, r := range rows {
		lastPut := uint64(0)
		for _, e := range log {
			if e.Op == Put && bytes.Equal(e.Key, r.Key) && e.Ts == r.Ts && e.Hash == r.hash {
				lastPut = e.Index
			}
		}
		out.oldest = min(out.oldest, lastPut)
	}
	for i, e := range log {
		if e.Op != Put || inS(e) || slices.ContainsFunc(log[i+1:], func(d Entry) bool { return touches(d, e) }) {
			continue
		}
		if in.TTLMs > 0 && int64(e.Ts) <= in.NowMs-int64(in.TTLMs) {
			out.expired++
			continue
		}
		gone := in.Rows != nil && (out.oldest == math.MaxUint64 || e.Index <= out.oldest+near) && e.Index <= in.ManifestOffset+near &&
			e.PutMs != math.MaxUint64 && int64(e.PutMs) < in.CheckpointMs-tolerance
		if gone {
			out.vanished++
			continue
		}
		out.backlog = append(out.backlog, e.Index)
	}
	return out
}

func drawKey(t *rapid.T) []byte {
	return rapid.SampledFrom([][]byte{{}, []byte("a"), []byte("a\x00"), []byte("ab"), {0xff}, []byte("abcdefgh"), []byte("abcdefghi"), []byte("abcdefgi")}).Draw(t, "key")
}

func drawTs(t *rapid.T) uint64 {
	return rapid.OneOf(rapid.Uint64Range(0, 12), rapid.SampledFrom([]uint64{0, 1, math.MaxUint64 - 1, math.MaxUint64})).Draw(t, "ts")
}

func drawHash(t *rapid.T) [16]byte { return hashOf(rapid.IntRange(0, 2).Draw(t, "value")) }

func drawEntry(t *rapid.T, index uint64) Entry {
	e := Entry{Index: index, Op: Op(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, 2}).Draw(t, "op"))}
	if e.Op != DeleteAll {
		e.Key = drawKey(t)
	}
	if e.Op == Put {
		e.Ts, e.Hash = drawTs(t)%(1<<62), drawHash(t)
		e.PutMs = rapid.OneOf(rapid.Uint64Range(0, 100), rapid.Just(uint64(math.MaxUint64))).Draw(t, "put ms")
		return e
	}
	e.StartTs, e.EndTs = drawTs(t), drawTs(t)
	return e
}

// TestBatchesMatchReference: whatever the size of the sorted batches, Compute decides what a plain reading of the rule decides.
func TestBatchesMatchReference(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spilled := 0
	rapid.Check(t, func(t *rapid.T) {
		var log []Entry
		index := rapid.Uint64Range(1, 40).Draw(t, "first")
		for range rapid.IntRange(0, 60).Draw(t, "entries") {
			log = append(log, drawEntry(t, index))
			index += rapid.SampledFrom([]uint64{1, 1, 1, 5, 70_000}).Draw(t, "step")
		}
		in := Input{
			ManifestOffset: rapid.Uint64Range(0, 200).Draw(t, "manifest"), CheckpointMs: rapid.Int64Range(0, 100).Draw(t, "checkpoint"),
			NowMs: rapid.Int64Range(0, 20).Draw(t, "now"), TTLMs: rapid.Uint64Range(0, 15).Draw(t, "ttl"),
		}
		var rows []sRow
		if rapid.Bool().Draw(t, "snapshot") {
			retained := rapid.Bool().Draw(t, "all of the log")
			for range rapid.IntRange(0, 20).Draw(t, "rows") {
				r := sRow{Row{Key: drawKey(t), Ts: drawTs(t) % (1 << 62)}, drawHash(t)}
				if len(log) > 0 && rapid.Bool().Draw(t, "of the log") {
					if e := rapid.SampledFrom(log).Draw(t, "entry"); e.Op == Put {
						r = sRow{Row{Key: e.Key, Ts: e.Ts}, e.Hash}
					}
				}
				inLog := slices.ContainsFunc(log, func(e Entry) bool {
					return e.Op == Put && bytes.Equal(e.Key, r.Key) && e.Ts == r.Ts && e.Hash == r.hash
				})
				if !retained || inLog {
					rows = append(rows, r)
				}
			}
			slices.SortStableFunc(rows, compareRows)
			rows = slices.CompactFunc(rows, func(a, b sRow) bool { return compareRows(a, b) == 0 })
			in.Rows = &rowList{rows: rows}
		}
		in.Log = &entries{log}
		opts := Options{TempDir: dir, Near: rapid.Uint64Range(1, 40).Draw(t, "near"), ClockTolerance: 10 * time.Millisecond,
			Batch: rapid.SampledFrom([]int{1, 200, 1000, 1 << 20}).Draw(t, "batch"), FanIn: rapid.IntRange(2, 4).Draw(t, "fan in")}
		want := reference(log, rows, in, opts.Near, 10)
		plan, err := Compute(context.Background(), in, opts)
		if err != nil {
			t.Fatal(err)
		}
		spilled += plan.Spilled
		if got := outcomeOf(plan); !got.equal(want) {
			t.Fatalf("batch %d:\n got %+v\nwant %+v", opts.Batch, got, want)
		}
	})
	if spilled == 0 {
		t.Error("no batch was ever spilled")
	}
}

// TestCoverMatchesLinear: the step function over many deletes answers like asking each of them.
func TestCoverMatchesLinear(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var dels []del
		for i := range rapid.IntRange(fewDeletes+1, 40).Draw(t, "deletes") {
			dels = append(dels, del{start: drawTs(t), end: drawTs(t), index: uint64(i + 1)})
		}
		linear := cover{few: slices.Clone(dels)}
		step := coverOf(dels)
		for range 20 {
			ts := drawTs(t)
			if a, b := linear.lastAt(ts), step.lastAt(ts); a != b {
				t.Fatalf("ts %d: asked %d, step %d of %v", ts, a, b, dels)
			}
		}
	})
}

// memTemp is a temporary file in memory.
type memTemp struct {
	b   []byte
	off int
	max int // bytes after which the disk is full, 0 = never
}

var errFull = errors.New("no space left on device")

func (m *memTemp) Write(p []byte) (int, error) {
	if m.max > 0 && len(m.b)+len(p) > m.max {
		return 0, errFull
	}
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *memTemp) Read(p []byte) (int, error) {
	if m.off == len(m.b) {
		return 0, io.EOF
	}
	n := copy(p, m.b[m.off:])
	m.off += n
	return n, nil
}

func (m *memTemp) Seek(off int64, _ int) (int64, error) { m.off = int(off); return off, nil }
func (m *memTemp) Close() error                         { return nil }
