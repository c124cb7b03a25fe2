package ledger

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"omsync/testenv/tabletsim"
)

// Shape is what the ledger must know of a table.
type Shape struct {
	Name    string
	Columns []tabletsim.Column // all, in the order of the files
	Tag     int                // the string column that carries the tag
	Index   tabletsim.Index    // index 0
}

// Table is the ledger of one table. It is safe for concurrent use.
type Table struct {
	shape Shape
	step  atomic.Uint64

	mu    sync.Mutex
	parts map[uint32]*history
	byRow map[uint64]rowID // rows without a tag, by fingerprint
}

type rowID struct {
	pid uint32
	n   uint32
}

// outcome of a call to a tablet.
type outcome uint8

const (
	pending outcome = iota // as unknown, until told otherwise
	unknown
	acked
	refused
)

// span of time between two steps: it happened somewhere in it.
type span struct{ begin, end uint64 }

func (a span) before(b span) bool { return a.end < b.begin }

type row struct {
	hash uint64
	pk   uint32
}

type put struct {
	span
	index uint64
	ts    uint64 // of the key
	time  uint64 // ms, LogEntry.ts
	n     uint32
	state outcome
}

type removal struct {
	span
	index      uint64
	pk         uint32 // allKeys: every key
	start, end uint64 // end < ts <= start
	state      outcome
}

const allKeys = math.MaxUint32

type restart struct {
	span
	offset uint64
	base   span // of the snapshot it began with; zero: none
}

// Base is one snapshot, or the empty one (zero value).
type Base struct {
	Begin, End uint64 // steps
	Tablet     string // where it lies
	Name       string
	MadeMs     int64  // ms, when it was done
	Gone       uint64 // step at which the next one of that tablet replaced it, 0 = not yet
}

// history is everything that happened to one partition.
type history struct {
	rows    []row
	puts    []put
	removed []removal
	truncs  []span
	starts  []restart
	bases   []Base
	keys    map[string]uint32
	last    uint64 // largest acknowledged index
}

// NewTable starts an empty ledger.
func NewTable(s Shape) *Table {
	return &Table{shape: s, parts: map[uint32]*history{}, byRow: map[uint64]rowID{}}
}

// Shape of the table.
func (t *Table) Shape() Shape { return t.shape }

// SetColumns follows ALTER TABLE ADD COLUMN.
func (t *Table) SetColumns(cols []tabletsim.Column) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shape.Columns = cols
}

func (t *Table) part(pid uint32) *history {
	h := t.parts[pid]
	if h == nil {
		h = &history{keys: map[string]uint32{}}
		t.parts[pid] = h
	}
	return h
}

func (h *history) key(pk string) uint32 {
	id, ok := h.keys[pk]
	if !ok {
		id = uint32(len(h.keys))
		h.keys[pk] = id
	}
	return id
}

// Row reserves a row of a partition and returns its tag, which goes into the tag column.
func (t *Table) Row(pid uint32) (n uint32, tag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.part(pid)
	n = uint32(len(h.rows))
	h.rows = append(h.rows, row{})
	return n, fmt.Sprintf("L%d-%d", pid, n)
}

// Put is an attempt under way.
type Put struct {
	t   *Table
	pid uint32
	at  int
}

// Put notes that row n is about to be sent. pk and ts are index 0's key; ts is 0 where the index has no ts column (Acked tells the put time). A
// second Put of one row is an identical rewrite and must bring the same values.
func (t *Table) Put(pid, n uint32, pk string, ts uint64, values []any) (*Put, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	hash := hashValues(normalAll(t.shape.Columns, values))
	h := t.part(pid)
	if int(n) >= len(h.rows) {
		return nil, fmt.Errorf("note put: partition %d has no row %d", pid, n)
	}
	r := row{hash: hash, pk: h.key(pk)}
	if h.rows[n].hash != 0 && h.rows[n] != r {
		return nil, fmt.Errorf("note put: row L%d-%d was put with other values before", pid, n)
	}
	h.rows[n] = r
	h.puts = append(h.puts, put{span: span{t.step.Add(1), math.MaxUint64}, ts: ts, n: n})
	return &Put{t, pid, len(h.puts) - 1}, nil
}

func (p *Put) done(f func(h *history, x *put)) {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	h := p.t.part(p.pid)
	h.puts[p.at].span.end = p.t.step.Add(1)
	f(h, &h.puts[p.at])
}

// Acked ends an attempt that the tablet acknowledged.
func (p *Put) Acked(a tabletsim.Ack) {
	p.done(func(h *history, x *put) {
		x.state, x.index, x.time = acked, a.Index, a.Time
		if p.t.shape.Index.TsColumn == "" {
			x.ts = a.Time
		}
		h.last = max(h.last, a.Index)
	})
}

// Unknown ends an attempt that may or may not have had an effect.
func (p *Put) Unknown() { p.done(func(_ *history, x *put) { x.state = unknown }) }

// Refused ends an attempt that had none.
func (p *Put) Refused() { p.done(func(_ *history, x *put) { x.state = refused }) }

// Delete is an attempt under way.
type Delete struct {
	t   *Table
	pid uint32
	at  int
}

// Delete notes a delete of end < ts <= start of a key of index 0, or of all (pk nil).
func (t *Table) Delete(pid uint32, pk *string, start, end uint64) *Delete {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.part(pid)
	r := removal{span: span{t.step.Add(1), math.MaxUint64}, pk: allKeys, start: start, end: end}
	if pk != nil {
		r.pk = h.key(*pk)
	}
	h.removed = append(h.removed, r)
	return &Delete{t, pid, len(h.removed) - 1}
}

func (d *Delete) done(state outcome, index uint64) {
	d.t.mu.Lock()
	defer d.t.mu.Unlock()
	h := d.t.part(d.pid)
	x := &h.removed[d.at]
	x.span.end, x.state, x.index = d.t.step.Add(1), state, index
	h.last = max(h.last, index)
}

// Acked ends a delete that the tablet acknowledged.
func (d *Delete) Acked(a tabletsim.Ack) { d.done(acked, a.Index) }

// Unknown ends a delete that may or may not have had an effect.
func (d *Delete) Unknown() { d.done(unknown, 0) }

// Refused ends a delete that had none.
func (d *Delete) Refused() { d.done(refused, 0) }

// Removal is a delete that was acknowledged: of end < ts <= start of a key of index 0, or of all (Key nil).
type Removal struct {
	Index      uint64
	Key        *string
	Start, End uint64
}

// Removed lists the acknowledged deletes of a partition behind a log index, and counts those of which nobody knows.
func (t *Table) Removed(pid uint32, after uint64) (out []Removal, open int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.part(pid)
	names := make([]string, len(h.keys))
	for pk, id := range h.keys {
		names[id] = pk
	}
	for _, x := range h.removed {
		if x.state == unknown || x.state == pending {
			open++
		}
		if x.state != acked || x.index <= after {
			continue
		}
		r := Removal{Index: x.index, Start: x.start, End: x.end}
		if x.pk != allKeys {
			r.Key = &names[x.pk]
		}
		out = append(out, r)
	}
	return out, open
}

// Step is a moment: what was told before is earlier, what is told after is later.
func (t *Table) Step() uint64 { return t.step.Add(1) }

// Truncated notes a TRUNCATE of a partition that was begun at step begin and is over.
func (t *Table) Truncated(pid uint32, begin uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.part(pid)
	h.truncs = append(h.truncs, span{begin, t.step.Add(1)})
}

// Snapshot notes a snapshot that a tablet made of a partition from step begin on.
func (t *Table) Snapshot(pid uint32, tablet string, c tabletsim.Checkpoint, begin uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.part(pid)
	end := t.step.Add(1)
	for i := range h.bases {
		if h.bases[i].Tablet == tablet && h.bases[i].Gone == 0 {
			h.bases[i].Gone = end
		}
	}
	h.bases = append(h.bases, Base{Begin: begin, End: end, Tablet: tablet, Name: c.Name, MadeMs: c.End.UnixMilli()})
}

// Restarted notes that a tablet's replica, which took puts before and after, came back from its last snapshot (with this MANIFEST offset) and the log
// behind it: what the offset hides between the two is lost to the tablet itself (formats.md §3.2, D24).
func (t *Table) Restarted(pid uint32, tablet string, offset uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.part(pid)
	r := restart{offset: offset, span: span{t.step.Add(1), 0}}
	r.span.end = r.span.begin
	for _, b := range h.bases {
		if b.Tablet == tablet {
			r.base = span{b.Begin, b.End}
		}
	}
	h.starts = append(h.starts, r)
}

// Seed notes a row that was there before the ledger, by values. index is its put's log index, 0 when only the snapshot has it.
func (t *Table) Seed(pid uint32, pk string, ts, putMs, index uint64, values []any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	hash := hashValues(normalAll(t.shape.Columns, values))
	h := t.part(pid)
	id, ok := t.byRow[hash]
	if !ok {
		id = rowID{pid, uint32(len(h.rows))}
		t.byRow[hash] = id
		h.rows = append(h.rows, row{hash: hash, pk: h.key(pk)})
	}
	s := t.step.Add(1)
	h.puts = append(h.puts, put{span: span{s, s}, index: index, ts: ts, time: putMs, n: id.n, state: acked})
	h.last = max(h.last, index)
}

// SeedBase notes a snapshot that was there before the ledger. It holds what was seeded so far.
func (t *Table) SeedBase(pid uint32, tablet, name string) {
	t.Snapshot(pid, tablet, tabletsim.Checkpoint{Name: name, End: time.UnixMilli(0)}, t.Step())
}

// Acknowledged counts the acknowledged puts.
func (t *Table) Acknowledged() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, h := range t.parts {
		for _, p := range h.puts {
			if p.state == acked {
				n++
			}
		}
	}
	return n
}
