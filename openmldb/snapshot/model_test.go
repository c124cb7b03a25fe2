package snapshot

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"omsync/openmldb/pb/typepb"
)

// model is what a family holds, without any of the means to read it fast.
type model struct {
	entries []entry
	tombs   []tombstone
}

// live are the rows in order: the newest version of each key, if it is a value that no newer tombstone covers.
func (m *model) live() []row {
	es := slices.Clone(m.entries)
	slices.SortFunc(es, func(a, b entry) int { return compareInternal(a.user, a.seq, b.user, b.seq) })
	var out []row
	var last []byte
	for _, e := range es {
		if last != nil && bytes.Equal(last, e.user) {
			continue
		}
		last = e.user
		gone := e.kind != kindValue
		for _, t := range m.tombs {
			gone = gone || t.seq > e.seq && Compare(t.start, e.user) <= 0 && Compare(e.user, t.end) < 0
		}
		if !gone {
			pk, ts, _ := Index{}.Split(e.user)
			out = append(out, row{string(e.user), string(e.value), string(pk), ts, e.seq})
		}
	}
	return out
}

// visible leaves out rows by TTL as formats.md §3.4 words it, and counts those behind after.
func visible(rows []row, ix Index, now int64, after []byte) (out []row, expired uint64) {
	rank := map[string]uint64{}
	for _, r := range rows {
		pk, _, ok := ix.Split([]byte(r.key))
		if !ok {
			continue
		}
		rank[string(pk)]++
		old := ix.TTL.Abs > 0 && now > int64(ix.TTL.Abs) && int64(r.ts) <= now-int64(ix.TTL.Abs)
		many := ix.TTL.Lat > 0 && rank[string(pk)] > ix.TTL.Lat
		hidden := old
		switch ix.TTL.Kind {
		case typepb.TTLType_kLatestTime:
			hidden = many
		case typepb.TTLType_kAbsAndLat:
			hidden = old && many
		case typepb.TTLType_kAbsOrLat:
			hidden = old || many
		}
		if after != nil && Compare([]byte(r.key), after) <= 0 {
			continue
		}
		if hidden && now > 0 {
			expired++
			continue
		}
		r.pk = string(pk)
		out = append(out, r)
	}
	return out, expired
}

// TestScanModel: for any spread of versions and tombstones over the files of levels 0 to 2, for any index of a shared family and any TTL, a scan,
// the parts of it and lookups give what the model says.
func TestScanModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m, tables := drawTables(rt)
		var specs []*tableSpec
		for _, s := range tables {
			if len(s.entries)+len(s.tombs) > 0 {
				specs = append(specs, s)
			}
		}
		db, err := Open(OS(), checkpoint(t, specs), Options{OpenFiles: 1 + rapid.IntRange(0, 3).Draw(rt, "open files")})
		if err != nil {
			rt.Fatal(err)
		}
		defer db.Close()
		ix := i0
		if rapid.Bool().Draw(rt, "shared") {
			id := rapid.SampledFrom([]uint32{0x61616161, noTsColumn}).Draw(rt, "ts column")
			ix.TsColID = &id
		}
		ix.TTL = TTL{Kind: typepb.TTLType(rapid.IntRange(1, 5).Draw(rt, "kind")), Abs: rapid.Uint64Range(0, 12).Draw(rt, "abs"), Lat: rapid.Uint64Range(0, 3).Draw(rt, "lat")}
		now := rapid.Int64Range(0, 14).Draw(rt, "now")
		all := m.live()
		want, expired := visible(all, ix, now, nil)
		check(rt, db, ScanOptions{Index: ix, NowMs: now}, want, expired)

		cut := drawKey(rt)
		if len(cut) >= ix.suffix() {
			rest, restExpired := visible(all, ix, now, cut)
			check(rt, db, ScanOptions{Index: ix, NowMs: now, After: cut}, rest, restExpired)
			// Before is exclusive and After is, too: only the row at the cut itself is in neither part.
			head := slices.DeleteFunc(slices.Clone(want), func(r row) bool { return Compare([]byte(r.key), cut) >= 0 })
			rows, _, err := scan(db, ScanOptions{Index: ix, NowMs: now, Before: cut})
			if err != nil || !slices.Equal(rows, head) {
				rt.Fatalf("before %x: %v, want %v, %v", cut, rows, head, err)
			}
		}
		for range 5 {
			key := drawKey(rt)
			pk, ts, _ := Index{}.Split(key)
			got, ok, err := db.Get(i0, pk, ts)
			i := slices.IndexFunc(all, func(r row) bool { return r.key == string(key) })
			if err != nil || ok != (i >= 0) || ok && string(got) != all[i].value {
				rt.Fatalf("get %x: %q %v %v", key, got, ok, err)
			}
		}
	})
}

func check(rt *rapid.T, db *DB, o ScanOptions, want []row, expired uint64) {
	rt.Helper()
	rows, n, err := scan(db, o)
	if err != nil {
		rt.Fatal(err)
	}
	if !slices.Equal(rows, want) || n != expired {
		rt.Fatalf("after %x: %d rows %v, %d expired; want %d rows %v, %d", o.After, len(rows), rows, n, len(want), want, expired)
	}
}

func drawKey(rt *rapid.T) []byte {
	// In a shared family the last four bytes are the ts column.
	pk := rapid.SampledFrom([]string{"", "", "a", "aa", "b", "\xff"}).Draw(rt, "pk")
	return uk(pk+rapid.SampledFrom([]string{"aaaa", "aaaa", "aaab", "\xff\xff\xff\xff"}).Draw(rt, "ts column"), rapid.Uint64Range(0, 10).Draw(rt, "ts"))
}

// drawTables draws a history and spreads it over files: older parts lie in deeper levels, as compaction leaves them.
func drawTables(rt *rapid.T) (*model, []*tableSpec) {
	m := &model{}
	var tables []*tableSpec
	seq := uint64(0)
	num := uint64(10)
	file := func(level int) *tableSpec {
		num++
		s := &tableSpec{num: num, level: level, blockSize: rapid.SampledFrom([]int{1, 60, 1 << 20}).Draw(rt, "block size"), compress: rapid.SampledFrom([]compression{compressNone, compressSnappy}).Draw(rt, "compression")}
		tables = append(tables, s)
		return s
	}
	for _, level := range []int{2, 1, 0, 0, 0} {
		var part model
		for range rapid.IntRange(0, 12).Draw(rt, "entries") {
			seq++
			k := rapid.SampledFrom([]kind{kindValue, kindValue, kindValue, kindDelete, kindSingleDelete}).Draw(rt, "kind")
			e := entry{user: drawKey(rt), seq: seq, kind: k}
			if k == kindValue {
				e.value = fmt.Appendf(nil, "v%d", seq)
			}
			part.entries = append(part.entries, e)
		}
		for range rapid.IntRange(0, 3).Draw(rt, "tombstones") {
			seq++
			a, b := drawKey(rt), drawKey(rt)
			if Compare(a, b) > 0 {
				a, b = b, a
			}
			if !bytes.Equal(a, b) {
				part.tombs = append(part.tombs, tombstone{a, b, seq})
			}
		}
		m.entries, m.tombs = append(m.entries, part.entries...), append(m.tombs, part.tombs...)
		slices.SortFunc(part.entries, func(a, b entry) int { return compareInternal(a.user, a.seq, b.user, b.seq) })
		slices.SortFunc(part.tombs, func(a, b tombstone) int { return compareInternal(a.start, a.seq, b.start, b.seq) })
		if level == 0 || len(part.entries) == 0 {
			s := file(level)
			s.entries, s.tombs = part.entries, part.tombs
			continue
		}
		// Two files, cut between two keys; tombstones are cut there, too.
		at := part.entries[rapid.IntRange(0, len(part.entries)-1).Draw(rt, "cut")].user
		lo, hi := file(level), file(level)
		for _, e := range part.entries {
			if Compare(e.user, at) < 0 {
				lo.entries = append(lo.entries, e)
			} else {
				hi.entries = append(hi.entries, e)
			}
		}
		for _, t := range part.tombs {
			if Compare(t.start, at) < 0 {
				c := t
				if Compare(c.end, at) > 0 {
					c.end = at
				}
				lo.tombs = append(lo.tombs, c)
			}
			if Compare(t.end, at) > 0 {
				c := t
				if Compare(c.start, at) < 0 {
					c.start = at
				}
				hi.tombs = append(hi.tombs, c)
			}
		}
		slices.SortFunc(hi.tombs, func(a, b tombstone) int { return compareInternal(a.start, a.seq, b.start, b.seq) })
	}
	return m, tables
}
