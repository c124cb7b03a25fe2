package snapshot

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// seeds gives the fixtures' files whose names match.
func seeds(f *testing.F, pattern string, add func(b []byte)) {
	f.Helper()
	n := 0
	for _, root := range []string{fixtures, fixtures7} {
		paths, err := filepath.Glob(filepath.Join(root, "10[258]_*", "snapshot", pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			add(b)
			n++
		}
	}
	if n == 0 {
		f.Fatal("no fixtures")
	}
}

// FuzzManifest reads any bytes as the text MANIFEST: an accepted name is a plain one.
func FuzzManifest(f *testing.F) {
	seeds(f, "MANIFEST", func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err == nil && filepath.Base(m.GetName()) != m.GetName() {
			t.Fatalf("name %q", m.GetName())
		}
	})
}

// FuzzEdits plays any bytes as version edits, each a byte of length before it: no panic, and what is accepted has its files in order.
func FuzzEdits(f *testing.F) {
	lo, hi := ikey(uk("a", 1), 3, kindValue), ikey(uk("b", 1), 2, kindValue)
	var all []byte
	for _, e := range [][]byte{
		editOf(tagFamily, 1, tagFamilyAdd, "i0", tagComparator, keyTSComparator),
		editOf(tagFamily, 1, tagNewFile4, 1, 7, 1, lo, hi, 1, 3, 5, "t", fieldEnd),
		editOf(tagFamily, 1, tagNewFile2, 0, 8, 1, lo, hi, 1, 3, tagInAtomicGroup, 1),
		editOf(tagFamily, 1, tagDeletedFile, 1, 7, tagInAtomicGroup, 0),
		editOf(tagIgnorable+1, "x", tagFamily, 1, tagFamilyDrop),
	} {
		all = append(append(all, byte(len(e))), e...)
		f.Add(slices.Clone(all))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var edits [][]byte
		for len(b) > 0 {
			n := min(int(b[0]), len(b)-1)
			edits = append(edits, b[1:1+n])
			b = b[1+n:]
		}
		log := recordsOf(edits...)
		v := &version{manifest: "M", families: map[uint32]*family{0: newFamily(0, "default")}}
		if v.replay(newRecords("M", bytes.NewReader(log), int64(len(log)))) != nil {
			return
		}
		for _, c := range v.families {
			if c.sort("M") != nil {
				return
			}
			n := 0
			for _, files := range c.runs {
				n += len(files)
			}
			if c.comparator == keyTSComparator && n != len(c.files) {
				t.Fatalf("%d files in runs of %d", n, len(c.files))
			}
		}
	})
}

// FuzzRecords reads any bytes as a log: no panic, and no more bytes come out than go in.
func FuzzRecords(f *testing.F) {
	seeds(f, "*/MANIFEST-*", func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newRecords("M", bytes.NewReader(b), int64(len(b)))
		n := 0
		for {
			r, err := l.next()
			if err != nil {
				break
			}
			decodeEdit(r) // any answer is good, a panic is not
			if n += len(r) + recordHeader; n > len(b) {
				t.Fatal("more bytes than the file has")
			}
		}
	})
}

// FuzzBlock walks any bytes as a block: entries do not overlap and seek finds what walking finds.
func FuzzBlock(f *testing.F) {
	f.Add(blockOf([][]byte{ikey(uk("a", 2), 1, kindValue), ikey(uk("a", 1), 1, kindValue), ikey(uk("b", 1), 1, kindValue)}, [][]byte{[]byte("x"), nil, bytes.Repeat([]byte("y"), 300)}, 1), uk("a", 1))
	f.Add([]byte("\x00\x11\x01aaaaaaaa\x01\x00\x00\x00\x00\x00\x00\x00x\x11\x01\x01bz\x00\x00\x00\x00\x01\x00\x00\x00"), uk("a", 0))
	f.Fuzz(func(t *testing.T, b, key []byte) {
		var e entries
		n, total := 0, 0
		sorted := true
		var last, want []byte
		for e.reset(b); e.next(); {
			if total += len(e.val); total > len(b) {
				t.Fatal("values overlap")
			}
			n++
			user, _, ok := splitInternal(e.key)
			if !ok {
				sorted = false
				continue
			}
			sorted = sorted && (last == nil || Compare(last, user) <= 0)
			last = bytes.Clone(user)
			if want == nil && Compare(user, key) >= 0 {
				want = last
			}
		}
		if n > len(b) {
			t.Fatal("more entries than bytes")
		}
		clean := e.bad == ""
		found := e.seek(key)
		if !clean || !sorted || e.bad != "" || !restartsInOrder(b) {
			return
		}
		if found != (want != nil) || found && Compare(e.key[:len(e.key)-trailerSize], want) != 0 {
			t.Fatalf("seek %x: %v %x, want %x", key, found, e.key, want)
		}
	})
}

// restartsInOrder tells whether the restarts of a block are offsets of entries, ascending, the first of them 0.
func restartsInOrder(b []byte) bool {
	starts := map[int]bool{}
	var e entries
	for e.reset(b); ; {
		at := e.pos
		if !e.next() {
			break
		}
		starts[at] = true
	}
	last := -1
	for i := 0; i < len(e.restarts); i += 4 {
		at := int(fixed32(e.restarts[i : i+4]))
		if !starts[at] || at <= last || i == 0 && at != 0 {
			return false
		}
		last = at
	}
	return true
}

// FuzzIndexBlock walks any bytes as an index block in each of its forms.
func FuzzIndexBlock(f *testing.F) {
	f.Add(blockOf([][]byte{ikey(uk("a", 2), 1, kindValue)}, [][]byte{{0, 50}}, 1), byte(0), uk("a", 1))
	f.Add([]byte("\x00\x09aaaaaaaaa\x00\x40\x00\x00\x00\x00\x01\x00\x00\x00"), byte(3), uk("a", 1))
	f.Fuzz(func(t *testing.T, b []byte, form byte, key []byte) {
		format := indexFormat{delta: form&1 != 0, userKey: form&2 != 0, firstKey: form&4 != 0}
		var x indexBlock
		n := 0
		for x.reset(b, format); x.next(); n++ {
			if n > len(b) {
				t.Fatal("more entries than bytes")
			}
		}
		x.reset(b, format)
		if x.seek(key) && (x.key == nil && format.userKey == false || Compare(x.key, key) < 0) {
			t.Fatalf("seek %x gives %x", key, x.key)
		}
	})
}

// FuzzFooter reads any bytes as a footer: what is accepted is of a version and a checksum we know.
func FuzzFooter(f *testing.F) {
	seeds(f, "*/*.sst", func(b []byte) { f.Add(b[len(b)-footerSize:]) })
	f.Fuzz(func(t *testing.T, b []byte) {
		foot, err := parseFooter("x", int64(len(b)), b)
		if err == nil && foot.checksum > checksumXXH3 {
			t.Fatalf("%+v", foot)
		}
	})
}

// FuzzProperties reads any bytes as properties and range tombstones; fragments are in order, apart, and cover what the tombstones cover.
func FuzzProperties(f *testing.F) {
	f.Add(blockOf([][]byte{[]byte(propComparator)}, [][]byte{[]byte(keyTSComparator)}, 1))
	f.Add(blockOf([][]byte{ikey(uk("a", 9), 5, kindRangeDelete), ikey(uk("a", 4), 7, kindRangeDelete)}, [][]byte{uk("b", 0), uk("a", 1)}, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseProperties(b)
		tombs, bad := parseTombstones(b)
		if bad != "" {
			return
		}
		frags := fragmentize(slices.Clone(tombs))
		for i, g := range frags {
			if Compare(g.lo.user, g.hi.user) >= 0 || i > 0 && Compare(frags[i-1].hi.user, g.lo.user) > 0 {
				t.Fatalf("fragment %d: %x to %x", i, g.lo.user, g.hi.user)
			}
		}
		for _, p := range tombs {
			for _, k := range [][]byte{p.start, p.end} {
				var want uint64
				for _, q := range tombs {
					if Compare(q.start, k) <= 0 && Compare(k, q.end) < 0 {
						want = max(want, q.seq)
					}
				}
				if got := covering(frags, k, 1); got != want {
					t.Fatalf("%x: %d, want %d", k, got, want)
				}
			}
		}
	})
}

// FuzzTable reads any bytes as a whole table file, without and with the checksums made right: no panic, and no more rows than bytes.
func FuzzTable(f *testing.F) {
	none := checksumNone
	spec := tableSpec{checksum: &none, blockSize: 1, entries: []entry{put("a", 1, 5, "one"), put("b", 1, 6, "two")}, tombs: []tombstone{{uk("a", 9), uk("b", 3), 7}}}
	f.Add(spec.table())
	spec.compress = compressSnappy
	f.Add(spec.table())
	f.Fuzz(func(t *testing.T, b []byte) {
		meta := &fileMeta{num: 7, size: uint64(len(b)), smallest: bound{uk("", 1<<63), maxTrailer}, largest: bound{uk("\xff\xff\xff", 0), 0}, maxSeq: 9}
		c := &family{id: 1, name: "i0", comparator: keyTSComparator, files: map[uint64]*fileMeta{7: meta}, runs: [][]*fileMeta{{meta}}}
		db := &DB{fsys: &brokenFS{files: map[string][]byte{"000007.sst": b}}, opts: Options{OpenFiles: 1, ReadAhead: 64}, families: map[string]*family{"i0": c},
			owners: map[uint64]owner{7: {meta, c}}, probes: map[string][]*probe{}}
		db.tables = newTables(1, db.openTable)
		defer db.Close()
		for _, o := range []ScanOptions{{Index: i0}, {Index: i0, After: uk("a", 1)}, {Index: i0, Before: uk("b", 1)}} {
			it, err := db.Scan(o)
			if err != nil {
				t.Fatal(err)
			}
			for n := 0; it.Next(); n++ {
				if n > len(b)*len(b) { // an index can name a block as often as it likes
					t.Fatal("no end")
				}
			}
			it.Close()
		}
		db.Get(i0, []byte("a"), 1)
	})
}
