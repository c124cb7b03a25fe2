package ledger

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/tabletsim"
)

var cols = []tabletsim.Column{
	{Name: "k", Type: typepb.DataType_kString}, {Name: "ts", Type: typepb.DataType_kBigInt}, {Name: "v", Type: typepb.DataType_kDouble},
	{Name: "tag", Type: typepb.DataType_kString},
}

func shape() Shape {
	return Shape{Name: "db.t", Columns: cols, Tag: 3, Index: tabletsim.Index{Name: "i", Columns: []string{"k"}, TsColumn: "ts"}}
}

// world is a tablet in its simplest form: everything happens one after the other. It notes what it does in a ledger and keeps, apart from it, what
// the claim asks for.
type world struct {
	t     *testing.T
	r     *rand.Rand
	l     *Table
	index uint64
	now   uint64
	live  map[cell2]version
	log   []entry
	base  map[cell2]version
	name  string
	made  int
}

type cell2 struct {
	k  string
	ts uint64
}

type version struct {
	n      uint32
	values []any
}

type entry struct {
	index uint64
	put   *version
	at    cell2
	del   func(cell2) bool
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), l: NewTable(shape()), live: map[cell2]version{}, base: map[cell2]version{}, now: 1_700_000_000_000}
}

func (w *world) ack() tabletsim.Ack {
	w.index++
	w.now++
	return tabletsim.Ack{Index: w.index, Term: 1, Time: w.now}
}

func (w *world) put(c cell2) {
	n, tag := w.l.Row(0)
	w.send(c, version{n, []any{c.k, int64(c.ts), float64(n), tag}})
}

func (w *world) send(c cell2, v version) {
	p, err := w.l.Put(0, v.n, c.k, c.ts, v.values)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Acked(w.ack())
	w.live[c] = v
	w.log = append(w.log, entry{index: w.index, put: &v, at: c})
}

func (w *world) delete(k *string, start, end uint64) {
	d := w.l.Delete(0, k, start, end)
	d.Acked(w.ack())
	in := func(c cell2) bool { return (k == nil || c.k == *k) && c.ts > end && c.ts <= start }
	for c := range w.live {
		if in(c) {
			delete(w.live, c)
		}
	}
	w.log = append(w.log, entry{index: w.index, del: in})
}

func (w *world) snapshot() {
	begin := w.l.Step()
	w.base = map[cell2]version{}
	for c, v := range w.live {
		w.base[c] = v
	}
	w.made++
	w.name = fmt.Sprintf("s%d", w.made)
	w.l.Snapshot(0, "t", tabletsim.Checkpoint{Name: w.name, End: time.UnixMilli(int64(w.now))}, begin)
}

func (w *world) truncate() {
	begin := w.l.Step()
	clear(w.live)
	w.l.Truncated(0, begin)
	w.now += 3600_000 // beyond the clock tolerance
	w.snapshot()
}

func (w *world) randomSteps(n int) {
	for range n {
		c := cell2{fmt.Sprint("k", w.r.IntN(6)), uint64(1 + w.r.IntN(20))}
		switch w.r.IntN(20) {
		case 0:
			w.delete(&c.k, c.ts+5, c.ts)
		case 1:
			w.delete(nil, c.ts, 0)
		case 2:
			if v, ok := w.live[c]; ok {
				w.send(c, v) // an identical rewrite
			}
		case 3:
			w.snapshot()
		case 4:
			if w.r.IntN(5) == 0 {
				w.truncate()
			}
		default:
			w.put(c)
		}
	}
}

// export is what rule G of docs/design.md §5.1 gives at z: the base, the live rows at z that it lacks, then every put behind z.
func (w *world) export(z uint64, mode int) []Row {
	var out []Row
	add := func(v version) {
		out = append(out, Row{File: "f", Line: len(out), PID: 0, Values: v.values})
	}
	at := map[cell2]version{}
	for _, e := range w.log {
		if e.index > z {
			break
		}
		if e.put != nil {
			at[e.at] = *e.put
			continue
		}
		for c := range at {
			if e.del(c) {
				delete(at, c)
			}
		}
	}
	for _, v := range w.base {
		add(v)
	}
	for c, v := range at {
		if b, ok := w.base[c]; (!ok || b.n != v.n) && w.after(v) {
			add(v)
		}
	}
	for _, e := range w.log {
		if e.index > z && e.put != nil && mode != 0 {
			add(*e.put)
		}
	}
	return out
}

// after tells whether a version was put behind the last truncation's snapshot, which is the only thing that removes without a log entry.
func (w *world) after(v version) bool {
	for _, t := range w.l.part(0).truncs {
		for _, p := range w.l.part(0).puts {
			if p.n == v.n && p.span.end < t.begin {
				return false
			}
		}
	}
	return true
}

func (w *world) window(z uint64, mode int) Window {
	h := w.l.part(0)
	b := Base{}
	if len(h.bases) > 0 {
		b = h.bases[len(h.bases)-1]
	}
	return Window{Mode: mode, ZLo: z, ZHi: z, Bases: []Base{b}, PinLo: int64(w.now), PinHi: int64(w.now)}
}

func seq(rows []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (w *world) verify(rows []Row, win Window) Result {
	w.t.Helper()
	rep, err := w.l.Verify(seq(rows), map[uint32]Window{0: win})
	if err != nil {
		w.t.Fatal(err)
	}
	return rep.Partitions[0]
}

func TestRandomHistoriesAreJudgedRight(t *testing.T) {
	t.Parallel()
	var lost, doubled int
	for seed := range uint64(400) {
		w := newWorld(t, seed)
		w.randomSteps(50 + w.r.IntN(100))
		w.snapshot()
		w.calm(w.r.IntN(60))
		z := w.index
		w.calm(w.r.IntN(60))
		mode := int(seed % 2 * 2)
		rows, win := w.export(z, mode), w.window(z, mode)
		if r := w.verify(rows, win); r.Lost+r.Duplicate+r.Phantom != 0 || r.Rows != len(rows) {
			t.Fatalf("seed %d: a right export is called wrong: %+v", seed, r)
		}
		wide := win
		wide.ZLo, wide.ZHi = 0, w.index
		if r := w.verify(rows, wide); r.Lost+r.Phantom+r.Duplicate != 0 {
			t.Fatalf("seed %d: with z unknown: %+v", seed, r)
		}
		if len(rows) == 0 {
			continue
		}
		twice := append(slices.Clone(rows), rows[w.r.IntN(len(rows))])
		if r := w.verify(twice, win); r.Duplicate != 1 || r.Lost+r.Phantom != 0 {
			t.Fatalf("seed %d: one row twice: %+v", seed, r)
		}
		doubled++
		gone := w.r.IntN(len(rows))
		n := uint32(rows[gone].Values[2].(float64))
		if resolve(w.l.part(0)).rowBounds(w.l, n, win).min == 0 {
			continue // one that need not be there
		}
		if r := w.verify(slices.Delete(slices.Clone(rows), gone, gone+1), win); r.Lost != 1 || r.Duplicate+r.Phantom != 0 {
			t.Fatalf("seed %d: one row missing: %+v", seed, r)
		}
		lost++
	}
	if lost < 200 || doubled < 200 {
		t.Fatalf("only %d lost and %d doubled rows were tried", lost, doubled)
	}
}

// calm goes on without snapshots and truncation, so that the base stays.
func (w *world) calm(n int) {
	for range n {
		c := cell2{fmt.Sprint("k", w.r.IntN(6)), uint64(1 + w.r.IntN(20))}
		switch w.r.IntN(10) {
		case 0:
			w.delete(&c.k, c.ts+5, c.ts)
		case 1:
			if v, ok := w.live[c]; ok {
				w.send(c, v)
			}
		default:
			w.put(c)
		}
	}
}
