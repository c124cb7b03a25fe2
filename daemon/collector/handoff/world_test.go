package handoff

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// The model of a tablet and its clients of design.md §5.1, one partition (models/handoff.py). A put reaches the store first and the log later;
// the order of one (key, ts) is kept; deletes are logged, TTL GC and TRUNCATE are not; manifest.offset is a counter that may run ahead of the
// log and is read before a fuzzy checkpoint; files behind it are trimmed. One step is one tick of the clock.

// Constants are scaled down (real): near 32 (1,000), 16 puts in flight, clocks of clients off by up to 16 steps (5 min).
const (
	scaledNear = 32
	inFlight   = 16
	clockSkew  = 16
	forever    = 1_000_000_000
)

var scenarios = []string{"plain", "delete drift", "index build", "resent appends", "truncate", "gc", "old ts", "short stall", "long stall", "host loss",
	"old snapshot", "empty store", "few keys", "identical", "restart", "mixed"}

type opKind uint8

const (
	opPut     opKind = iota
	opForeign        // a put that concerns another index only
	opDelete
)

const everyKey = -1

// op is what a client asked for. Of a delete, ts and value are the ends of its reach: ts < t ≤ value.
type op struct {
	kind           opKind
	key, ts, value int
	n              int // number of the put
	putMs          int // by the client's clock
	hold, at, born int // stalled until the log has hold entries; last index and clock when it reached the store
}

func (o op) covers(key, ts int) bool {
	return (o.key == everyKey || o.key == key) && o.ts < ts && ts <= o.value
}

type logged struct {
	index int
	op
}

type place struct{ key, ts int }
type stored struct{ value, n int }
type row struct{ key, ts, value int }

type end struct {
	at   int
	kind string
}

type ckpt struct {
	rows   map[place]stored
	offset int // manifest.offset
	at     int
	start  int // first log index that is left behind it
}

type world struct {
	r         *rand.Rand
	sc        string
	store     map[place]stored
	log       []logged
	pend      []op
	removed   map[int]end  // put number → when it left the store, and why
	truncated map[int]bool // put numbers a TRUNCATE took, acknowledged or not
	damaged   map[int]bool // put number → a restart of the tablet brought it back
	last, cnt int
	n, clock  int
	files     []int
	fileSize  int
	ckpts     []ckpt
	batch     []row

	ttl                                    int
	oldTs, identical, long, stall, few     bool
	keyless                                bool
	deletes                                float64
	keys, tss                              int
	counterJumps, counterJumpsByWholeStore float64
}

func (w *world) between(lo, hi int) int       { return lo + w.r.IntN(hi-lo+1) }
func (w *world) chance(p float64) bool        { return w.r.Float64() < p }
func (w *world) is(names ...string) bool      { return slices.Contains(names, w.sc) }
func (w *world) mixes(p float64) bool         { return w.sc == "mixed" && w.chance(p) }
func (w *world) on(names ...string) bool      { return w.is(names...) || w.mixes(.4) }
func (w *world) happens(names ...string) bool { return w.is(names...) || w.mixes(.25) }

func newWorld(r *rand.Rand, sc string) *world {
	w := &world{r: r, sc: sc, store: map[place]stored{}, removed: map[int]end{}, truncated: map[int]bool{}, damaged: map[int]bool{}, files: []int{1}}
	w.fileSize = w.between(15, 120)
	if w.on("gc", "old ts") {
		w.ttl = w.between(60, 250)
	}
	w.oldTs, w.identical, w.long = w.on("old ts"), w.on("identical"), w.on("long stall")
	w.stall = w.on("short stall", "long stall")
	w.few = w.on("few keys")
	if sc != "truncate" {
		w.deletes = []float64{0, .02, .08}[r.IntN(3)]
	}
	w.keyless = w.on("delete drift")
	if w.few {
		w.keys, w.tss = w.between(1, 4), w.between(1, 3)
	} else {
		w.keys, w.tss = w.between(3, 12), w.between(5, 60)
	}
	switch sc {
	case "index build":
		w.counterJumpsByWholeStore = .02
	case "resent appends":
		w.counterJumps = .05
	case "restart":
		w.counterJumps, w.counterJumpsByWholeStore = .05, .01
	case "mixed":
		w.counterJumps, w.counterJumpsByWholeStore = .02, .005
	}
	return w
}

func (w *world) kill(at place, kind string) {
	w.removed[w.store[at].n] = end{w.clock, kind}
	delete(w.store, at)
}

func (w *world) append(i int) {
	o := w.pend[i]
	w.pend = slices.Delete(w.pend, i, i+1)
	if len(w.log) > 0 && w.last+1-w.files[len(w.files)-1] >= w.fileSize {
		w.files = append(w.files, w.last+1)
	}
	w.last++
	w.log = append(w.log, logged{w.last, o})
}

func (w *world) appendOne() bool {
	var due []int
	for i, o := range w.pend {
		if o.hold <= w.last {
			due = append(due, i)
		}
	}
	if len(due) == 0 {
		return false
	}
	i := due[0]
	if w.last-w.pend[i].at < 12 { // overtaken by 12 entries: its turn
		i = due[w.r.IntN(len(due))]
	}
	w.append(i)
	return true
}

func (w *world) put(key, ts, value, hold int) {
	for _, o := range w.pend {
		if o.kind == opPut && o.key == key && o.ts == ts || o.kind == opDelete && o.covers(key, ts) {
			return
		}
	}
	at := place{key, ts}
	if old, ok := w.store[at]; ok && old.value != value { // an identical rewrite removes nothing
		w.kill(at, "overwritten")
	}
	w.n++
	w.cnt++
	w.store[at] = stored{value, w.n}
	skew := w.between(-clockSkew, clockSkew)
	w.pend = append(w.pend, op{opPut, key, ts, value, w.n, w.clock + (skew+clockSkew)/2 - clockSkew/2, hold, w.last, w.clock})
}

func (w *world) delete(key, lo, hi int) {
	d := op{kind: opDelete, key: key, ts: lo, value: hi, putMs: w.clock, at: w.last, born: w.clock}
	for _, o := range w.pend {
		if o.kind == opDelete || o.kind == opPut && d.covers(o.key, o.ts) {
			return
		}
	}
	w.cnt++
	if key == everyKey {
		seen := map[int]bool{}
		for at := range w.store {
			seen[at.key] = true
		}
		w.cnt += len(seen) - 1
	}
	for at := range w.store {
		if d.covers(at.key, at.ts) {
			w.kill(at, "deleted")
		}
	}
	w.pend = append(w.pend, d)
}

func (w *world) step() {
	w.clock++
	if len(w.pend) > 0 && (len(w.pend) >= inFlight || w.chance(.5)) && w.appendOne() {
		return
	}
	if len(w.pend) >= inFlight {
		w.append(0)
		return
	}
	if w.chance(w.deletes) {
		w.someDelete()
		return
	}
	if w.chance(.05) {
		w.cnt++
		w.pend = append(w.pend, op{kind: opForeign, putMs: w.clock, at: w.last, born: w.clock})
		return
	}
	if w.ttl > 0 && w.chance(.03) {
		for at := range w.store {
			if at.ts <= w.clock-w.ttl {
				w.kill(at, "gc")
			}
		}
	}
	if w.chance(w.counterJumps) {
		w.cnt += w.between(1, 8)
	}
	if w.chance(w.counterJumpsByWholeStore) {
		w.cnt += len(w.store)
	}
	if w.identical && len(w.batch) == 0 && len(w.store) > 0 && w.chance(.03) {
		w.loadAgain()
	}
	if len(w.batch) > 0 && w.chance(.9) {
		b := w.batch[len(w.batch)-1]
		w.batch = w.batch[:len(w.batch)-1]
		w.put(b.key, b.ts, b.value, 0)
		return
	}
	w.somePut()
}

func (w *world) someDelete() {
	lo := 0
	if w.chance(.5) {
		lo = w.r.IntN(w.tss)
	}
	key := w.r.IntN(w.keys)
	if w.keyless && w.chance(.3) {
		key = everyKey
	}
	hi := lo + 5
	if lo == 0 && key != everyKey || w.chance(.5) {
		hi = forever
	}
	w.delete(key, lo, hi)
}

// loadAgain: a client loads its file again, a few rows of it are new.
func (w *world) loadAgain() {
	for at, s := range w.sorted(w.store) {
		w.batch = append(w.batch, row{at.key, at.ts, s.value})
	}
	if k := w.between(1, 200); k < len(w.batch) {
		w.batch = w.batch[len(w.batch)-k:]
	}
	if w.chance(.5) {
		w.r.Shuffle(len(w.batch), func(i, j int) { w.batch[i], w.batch[j] = w.batch[j], w.batch[i] })
	}
}

// sorted yields a store in the order in which its rows came: maps are not to bring other chance into a history than its seed.
func (w *world) sorted(store map[place]stored) func(func(place, stored) bool) {
	return func(yield func(place, stored) bool) {
		at := slices.SortedFunc(maps.Keys(store), func(a, b place) int { return store[a].n - store[b].n })
		for _, a := range at {
			if !yield(a, store[a]) {
				return
			}
		}
	}
}

func (w *world) somePut() {
	ts := w.r.IntN(w.tss)
	if w.ttl > 0 {
		back := w.r.IntN(3)
		if w.oldTs && w.chance(.4) {
			back = w.r.IntN(2 * w.ttl)
		}
		ts = w.clock - back
	}
	hold := 0
	if w.stall && w.chance(.03) {
		hold = w.last + w.between(2, 14)
		if w.long {
			hold = w.last + w.between(40, 80)
		}
	}
	value := w.n + 10
	if w.few {
		value = w.r.IntN(3)
	}
	w.put(w.r.IntN(w.keys), max(0, ts), value, hold)
}

func (w *world) steps(n int) {
	for range n {
		w.step()
	}
}

// settle: what is in flight reaches the log, in any order.
func (w *world) settle() {
	for len(w.pend) > 0 {
		w.append(w.r.IntN(len(w.pend)))
	}
}

func (w *world) checkpoint(replica bool) {
	m := w.cnt
	if replica && w.chance(1./3) {
		m += w.between(1, 80)
	}
	w.steps(w.between(0, 6))
	f := 0
	for i, first := range w.files {
		if first <= m {
			f = i
		}
	}
	w.ckpts = append(w.ckpts, ckpt{maps.Clone(w.store), m, w.clock, w.files[max(0, f-1)]})
}

func (w *world) truncate() {
	for at, s := range w.store {
		w.truncated[s.n] = true
		w.kill(at, "truncated")
	}
	for _, o := range w.pend {
		delete(w.removed, o.n) // not acknowledged yet: no phantom if exported
	}
	if w.chance(1. / 3) {
		w.steps(10)
	}
	w.checkpoint(false) // the tablet forces a snapshot
}

// restart is a crash: the store is the last checkpoint plus the log behind manifest.offset.
func (w *world) restart() {
	st, m := map[place]stored{}, 0
	if len(w.ckpts) > 0 {
		c := w.ckpts[len(w.ckpts)-1]
		st, m = maps.Clone(c.rows), c.offset
	}
	replay(st, w.log, m)
	lost := map[int]bool{} // never logged, never acknowledged
	for _, o := range w.pend {
		lost[o.born] = true
	}
	for n, e := range w.removed {
		if lost[e.at] {
			w.removed[n] = end{e.at, "tablet"}
		}
	}
	// Rows that were truncated, or deleted by an entry between the checkpoint and a manifest.offset that ran ahead, come back: the tablet itself
	// has damaged its data, and what is live there is no longer what its log and its checkpoint say.
	for _, s := range st {
		if gone, ok := w.removed[s.n]; ok && gone.kind != "tablet" || w.truncated[s.n] {
			w.damaged[s.n] = true
		}
	}
	for _, s := range w.store {
		w.removed[s.n] = end{w.clock, "tablet"}
	}
	for _, s := range st {
		delete(w.removed, s.n)
	}
	w.store, w.pend = st, nil
	w.last = max(w.last, m)
	w.cnt = w.last
	if len(w.log) > 0 && w.log[len(w.log)-1].index >= w.files[len(w.files)-1] {
		w.files = append(w.files, w.last+1)
	}
}

// replay applies the entries of the log behind index m.
func replay(st map[place]stored, log []logged, m int) {
	for _, e := range log {
		switch {
		case e.index <= m:
		case e.kind == opPut:
			st[place{e.key, e.ts}] = stored{e.value, e.n}
		case e.kind == opDelete:
			for at := range st {
				if e.covers(at.key, at.ts) {
					delete(st, at)
				}
			}
		}
	}
}
