package ledger

import (
	"slices"
	"sort"
	"time"

	"omsync/openmldb/pb/typepb"
)

// count bounds how often a row appears.
type count struct{ min, max int }

func (a count) plus(b count) count { return count{a.min + b.min, a.max + b.max} }

// doubt3 is an answer to a question about a history that is only partly ordered.
type doubt3 uint8

const (
	no doubt3 = iota
	maybe
	yes
)

// rowBounds widens over every z and every base that the window allows.
func (l *lives) rowBounds(t *Table, n uint32, w Window) count {
	zs := []uint64{w.ZLo, w.ZHi}
	add := func(i uint64) {
		for _, z := range []uint64{i - 1, i} {
			if z > w.ZLo && z < w.ZHi {
				zs = append(zs, z)
			}
		}
	}
	for _, p := range l.puts[n] {
		add(l.h.puts[p].index)
	}
	for _, x := range l.ofRow[n] {
		if g := l.all[x].gone; g != nil {
			add(g.index)
		}
	}
	slices.Sort(zs)
	out := count{-1, 0}
	for _, z := range slices.Compact(zs) {
		for _, b := range w.Bases {
			c := l.at(t, n, w, z, b)
			if out.min < 0 {
				out = c
			}
			out = count{min(out.min, c.min), max(out.max, c.max)}
		}
	}
	return out
}

// at is the claim for one row, one z and one base.
func (l *lives) at(t *Table, n uint32, w Window, z uint64, b Base) count {
	var c count
	seen := map[uint64]count{} // by ts: identical rewrites up to z count as one
	for _, i := range l.ofRow[n] {
		x := &l.all[i]
		born := l.h.puts[x.born]
		if (w.Mode == 1 && born.ts < w.StartTS) || born.index > z {
			continue
		}
		s := seen[born.ts]
		y := l.lifeBounds(t, x, w, z, b)
		seen[born.ts] = count{max(s.min, y.min), max(s.max, y.max)}
	}
	for _, s := range seen {
		c = c.plus(s)
	}
	for _, i := range l.puts[n] {
		p := l.h.puts[i]
		switch {
		case p.index <= z || (w.Mode == 1 && p.ts < w.StartTS) || w.Mode == 0:
		case w.UpTo > 0 && p.index > w.UpTo:
			c.max++
		default:
			c = c.plus(count{1, 1})
		}
	}
	c.max += l.loose[n]
	return c
}

// lifeBounds is what a version put at or before z contributes: 0 or 1.
func (l *lives) lifeBounds(t *Table, x *life, w Window, z uint64, b Base) count {
	expired := l.expired(t, x, w)
	if expired == yes {
		return count{}
	}
	base, live := l.inBase(x, b), l.liveAt(x, z, b)
	if x.gone != nil && x.gone.sure && b.Name != "" && x.gone.end < b.Begin && !x.shaky {
		return count{} // removed before the base: the log says so too
	}
	if tr := x.trunc; tr != nil && tr.sure && b.Name != "" && tr.end < b.Begin && base == no && !x.shaky {
		tol := w.Tolerance
		if tol == 0 {
			tol = 5 * time.Minute
		}
		if int64(l.h.puts[x.born].time) < b.MadeMs-tol.Milliseconds() {
			return count{}
		}
		return count{0, 1}
	}
	c := count{0, 1}
	if (base == yes || live == yes) && expired == no && !x.shaky {
		c.min = 1
	}
	return c
}

// inBase tells whether the snapshot holds the version.
func (l *lives) inBase(x *life, b Base) doubt3 {
	born := l.h.puts[x.born]
	if b.Name == "" || born.span.begin > b.End {
		return no
	}
	in := yes
	if born.span.end >= b.Begin {
		in = maybe
	}
	for _, g := range []*end{x.gone, x.trunc} {
		switch {
		case g == nil || g.span.begin > b.End:
		case g.sure && g.span.end < b.Begin:
			return no
		default:
			in = maybe
		}
	}
	return in
}

// liveAt tells whether the version was live when the log stood at z. A TRUNCATE after the base and not certainly after z leaves it open: the claim
// does not ask for the row, the rule exports it.
func (l *lives) liveAt(x *life, z uint64, b Base) doubt3 {
	at := yes
	if g := x.gone; g != nil && g.index <= z {
		if g.sure {
			return no
		}
		at = maybe
	}
	if tr := x.trunc; tr != nil && tr.span.begin <= l.stepAt(z) {
		at = maybe
		if b.Name != "" && tr.sure && tr.span.end < b.Begin {
			return no
		}
	}
	return at
}

// expired tells whether the version was hidden at the pin. The latest-n part only ever makes it open: rows may come and go before the pin.
func (l *lives) expired(t *Table, x *life, w Window) doubt3 {
	ix := t.shape.Index
	born := l.h.puts[x.born]
	abs := no
	if ix.AbsTTL > 0 {
		ttl := int64(ix.AbsTTL) * 60_000
		switch ts := int64(born.ts); {
		case ts <= w.PinLo-ttl:
			abs = yes
		case ts <= w.PinHi-ttl:
			abs = maybe
		}
	}
	lat := no
	if ix.LatTTL > 0 {
		all := l.newest[l.h.rows[x.n].pk]
		newer := len(all) - sort.Search(len(all), func(i int) bool { return all[i] > born.ts })
		if uint64(newer) >= ix.LatTTL {
			lat = maybe
		}
	}
	switch ix.TTLType {
	case typepb.TTLType_kLatestTime:
		return lat
	case typepb.TTLType_kAbsAndLat:
		// 0 = that part unlimited: never expired.
		return min(abs, lat)
	case typepb.TTLType_kAbsOrLat:
		return max(abs, lat)
	}
	return abs
}
