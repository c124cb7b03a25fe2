package ledger

import (
	"cmp"
	"slices"
	"sort"
)

// end of a life.
type end struct {
	span
	index uint64 // 0: not logged
	sure  bool
}

// life is one version of a row in the table: from a put to what overwrites or deletes it.
type life struct {
	n     uint32
	born  int // in history.puts
	shaky bool
	gone  *end // logged
	trunc *end // TRUNCATE, not logged
}

// lives is a history in order.
type lives struct {
	h     *history
	all   []life
	ofRow [][]int32 // row -> lives
	puts  [][]int32 // row -> acknowledged puts, by index
	loose []int     // row -> attempts without a known outcome
	// marks: the largest step among the entries up to an index, for asking what was done when the log stood at z.
	indexes []uint64
	steps   []uint64
	newest  map[uint32][]uint64 // pk -> all ts ever put, ascending
}

type cell struct {
	pk uint32
	ts uint64
}

type op struct {
	index uint64
	at    int
	del   bool
}

// resolve plays the acknowledged entries in log order, which for one (key, ts) is the order of the store too.
func resolve(h *history) *lives {
	l := &lives{
		h: h, ofRow: make([][]int32, len(h.rows)), puts: make([][]int32, len(h.rows)), loose: make([]int, len(h.rows)), newest: map[uint32][]uint64{},
	}
	var ops []op
	for i, p := range h.puts {
		switch p.state {
		case acked:
			ops = append(ops, op{p.index, i, false})
		case pending, unknown:
			l.loose[p.n]++
		}
	}
	for i, d := range h.removed {
		if d.state == acked {
			ops = append(ops, op{d.index, i, true})
		}
	}
	slices.SortStableFunc(ops, func(a, b op) int { return cmp.Compare(a.index, b.index) })
	cur := map[cell]int32{}
	versions := map[uint32][]uint64{}
	step := uint64(0)
	for _, o := range ops {
		if o.del {
			step = max(step, h.removed[o.at].span.end)
			l.remove(h.removed[o.at], cur, versions)
		} else {
			step = max(step, h.puts[o.at].span.end)
			l.put(o.at, cur, versions)
		}
		l.indexes = append(l.indexes, o.index)
		l.steps = append(l.steps, step)
	}
	for pk, ts := range l.newest {
		slices.Sort(ts)
		l.newest[pk] = slices.Compact(ts)
	}
	l.doubt()
	l.truncate()
	l.restarts()
	return l
}

func (l *lives) put(at int, cur map[cell]int32, versions map[uint32][]uint64) {
	p := l.h.puts[at]
	pk := l.h.rows[p.n].pk
	l.puts[p.n] = append(l.puts[p.n], int32(at))
	l.newest[pk] = append(l.newest[pk], p.ts)
	c := cell{pk, p.ts}
	if id, ok := cur[c]; ok {
		if l.all[id].n == p.n {
			return // an identical rewrite
		}
		l.all[id].gone = &end{span: p.span, index: p.index, sure: true}
	} else {
		versions[pk] = append(versions[pk], p.ts)
	}
	id := int32(len(l.all))
	l.all = append(l.all, life{n: p.n, born: at})
	l.ofRow[p.n] = append(l.ofRow[p.n], id)
	cur[c] = id
}

func (l *lives) remove(d removal, cur map[cell]int32, versions map[uint32][]uint64) {
	kill := func(pk uint32) {
		versions[pk] = slices.DeleteFunc(versions[pk], func(ts uint64) bool {
			if ts <= d.end || ts > d.start {
				return false
			}
			l.all[cur[cell{pk, ts}]].gone = &end{span: d.span, index: d.index, sure: true}
			delete(cur, cell{pk, ts})
			return true
		})
	}
	if d.pk != allKeys {
		kill(d.pk)
		return
	}
	for pk := range versions {
		kill(pk)
	}
}

// over tells whether a life was certainly over before s began.
func (x *life) over(s span) bool { return x.gone != nil && x.gone.sure && x.gone.before(s) }

// doubt marks the lives that a call of unknown outcome may have ended.
func (l *lives) doubt() {
	puts := map[cell][]put{}
	for _, p := range l.h.puts {
		if p.state == pending || p.state == unknown {
			c := cell{l.h.rows[p.n].pk, p.ts}
			puts[c] = append(puts[c], p)
		}
	}
	var dels []removal
	for _, d := range l.h.removed {
		if d.state == pending || d.state == unknown {
			dels = append(dels, d)
		}
	}
	if len(puts) == 0 && len(dels) == 0 {
		return
	}
	for i := range l.all {
		x := &l.all[i]
		born := l.h.puts[x.born]
		pk := l.h.rows[x.n].pk
		may := func(s span) bool { return !x.over(s) && !s.before(born.span) }
		for _, p := range puts[cell{pk, born.ts}] {
			x.shaky = x.shaky || (p.n != x.n && may(p.span))
		}
		for _, d := range dels {
			x.shaky = x.shaky || ((d.pk == allKeys || d.pk == pk) && born.ts > d.end && born.ts <= d.start && may(d.span))
		}
	}
}

func (l *lives) truncate() {
	for i := range l.all {
		x := &l.all[i]
		born := l.h.puts[x.born]
		for _, t := range l.h.truncs {
			if x.over(t) || t.before(born.span) {
				continue
			}
			x.trunc = &end{span: t, sure: born.span.before(t)}
			break
		}
	}
}

// restarts marks what a tablet may have lost or got back by itself: entries that its offset hides and its snapshot lacks.
func (l *lives) restarts() {
	for _, r := range l.h.starts {
		hidden := func(s span, index uint64) bool { return index <= r.offset && s.end > r.base.begin && s.before(r.span) }
		for i := range l.all {
			x := &l.all[i]
			born := l.h.puts[x.born]
			x.shaky = x.shaky || hidden(born.span, born.index)
			if x.gone != nil && hidden(x.gone.span, x.gone.index) {
				x.gone.sure = false
			}
		}
	}
}

// stepAt is a step at which every entry up to z had been acknowledged.
func (l *lives) stepAt(z uint64) uint64 {
	i := sort.Search(len(l.indexes), func(i int) bool { return l.indexes[i] > z })
	if i == 0 {
		return 0
	}
	return l.steps[i-1]
}
