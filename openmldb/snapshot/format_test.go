package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestTableFormats: what a table may look like, what is refused by name, and what is damage.
func TestTableFormats(t *testing.T) {
	t.Parallel()
	none, xxh, unknown := checksumNone, checksumXXHash, checksum(9)
	for _, c := range []struct {
		name        string
		change      func(*tableSpec)
		unsupported string
		corrupt     string
	}{
		{name: "as a tablet writes it"},
		{name: "no checksum", change: func(s *tableSpec) { s.checksum = &none }},
		{name: "xxHash", change: func(s *tableSpec) { s.checksum = &xxh }},
		{name: "checksum 9", change: func(s *tableSpec) { s.checksum = &unknown }, unsupported: "checksum kind 9"},
		{name: "snappy", change: func(s *tableSpec) { s.compress = compressSnappy }},
		{name: "bzip2", change: func(s *tableSpec) { s.compress = 3 }, unsupported: "compression bzip2"},
		{name: "xpress", change: func(s *tableSpec) { s.compress = 6 }, unsupported: "compression xpress"},
		{name: "zstd", change: func(s *tableSpec) { s.compress = 7 }, unsupported: "compression zstd"},
		{name: "compression 9", change: func(s *tableSpec) { s.compress = 9 }, unsupported: "compression type 9"},
		{name: "lz4 that is none", change: func(s *tableSpec) { s.compress = compressLZ4 }, corrupt: "decompressed"},
		{name: "version 2", change: func(s *tableSpec) { s.version = 2 }},
		{name: "version 1", change: func(s *tableSpec) { s.version = 1 }, unsupported: "format_version 1"},
		{name: "version 6", change: func(s *tableSpec) { s.version = 6 }, unsupported: "format_version 6"},
		{name: "version 0", change: func(s *tableSpec) { s.magic = legacyBlockMagic }, unsupported: "format_version 0"},
		{name: "plain table", change: func(s *tableSpec) { s.magic = plainMagic }, unsupported: "plain table"},
		{name: "cuckoo table", change: func(s *tableSpec) { s.magic = cuckooMagic }, unsupported: "cuckoo"},
		{name: "no table", change: func(s *tableSpec) { s.magic = 1 }, corrupt: "as no table does"},
		{name: "hash index of keys", change: func(s *tableSpec) { s.props = map[string][]byte{propIndexType: {1, 0, 0, 0}} }},
		{name: "index type 4", change: func(s *tableSpec) { s.props = map[string][]byte{propIndexType: {4, 0, 0, 0}} }, unsupported: "index type 4"},
		{name: "hash index in blocks", change: func(s *tableSpec) { s.hashFlag = true }, unsupported: "hash index"},
		{name: "dictionary", change: func(s *tableSpec) { s.metas = map[string][]byte{metaDictionary: []byte("dict")} }, unsupported: "compression dictionary"},
		{name: "filter", change: func(s *tableSpec) { s.metas = map[string][]byte{"fullfilter.rocksdb.BuiltinBloomFilter": []byte("?")} }},
		{name: "other order", change: func(s *tableSpec) { s.props = map[string][]byte{propComparator: []byte(bytewiseComparator)} }, corrupt: "sorted by"},
		{name: "other family", change: func(s *tableSpec) { s.props = map[string][]byte{propFamily: {2}} }, corrupt: "column family 2"},
		{name: "own family", change: func(s *tableSpec) { s.props = map[string][]byte{propFamily: {1}} }},
		{name: "ingested, version 3", change: func(s *tableSpec) { s.props = map[string][]byte{propExternal: {3, 0, 0, 0}} }, unsupported: "ingested file"},
		{name: "ingested elsewhere", change: func(s *tableSpec) {
			s.props = map[string][]byte{propExternal: {2, 0, 0, 0}, propExternalSeq: {99, 0, 0, 0, 0, 0, 0, 0}}
		}, corrupt: "ingested at sequence number 99"},
		{name: "merge", change: func(s *tableSpec) { s.entries[1].kind = kindMerge }, unsupported: "merge operand"},
		{name: "blob", change: func(s *tableSpec) { s.entries[1].kind = kindBlobIndex }, unsupported: "blob index"},
		{name: "wide columns", change: func(s *tableSpec) { s.entries[1].kind = kindWideColumns }, unsupported: "wide-column"},
		{name: "timestamps", change: func(s *tableSpec) { s.entries[1].kind = kindDeleteWithTS }, unsupported: "timestamp"},
		{name: "kind 99", change: func(s *tableSpec) { s.entries[1].kind = 99 }, corrupt: "kind 0x63"},
		{name: "merge that is deleted", change: func(s *tableSpec) {
			s.entries[1].kind = kindMerge
			s.tombs = []tombstone{{uk("b", 1), uk("b", 0), 100}}
		}},
		{name: "short key", change: func(s *tableSpec) { s.entries[0].user = []byte("short") }, corrupt: "shorter than a ts"},
		{name: "range deletion of another kind", change: func(s *tableSpec) {
			s.metas = map[string][]byte{metaRangeDel: blockOf([][]byte{ikey(uk("a", 9), 5, kindValue)}, [][]byte{uk("b", 0)}, 1)}
		}, corrupt: "no range deletion"},
		{name: "no properties", change: func(s *tableSpec) { s.metas = map[string][]byte{metaProperties: nil} }, corrupt: "restart count"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &tableSpec{num: 7, entries: []entry{put("a", 1, 1, "one"), put("b", 1, 2, "two"), put("c", 1, 3, strings.Repeat("three", 100))}}
			if c.change != nil {
				c.change(s)
			}
			db := mustOpen(t, checkpoint(t, []*tableSpec{s}))
			rows, _, err := scan(db, ScanOptions{Index: i0})
			_, _, getErr := db.Get(i0, []byte("b"), 1)
			switch {
			case c.unsupported != "":
				var u *UnsupportedError
				if !errors.As(err, &u) || !strings.Contains(u.What, c.unsupported) || filepath.Base(u.File) != "000007.sst" || !errors.As(getErr, &u) {
					t.Fatalf("%d rows, %v; Get %v", len(rows), err, getErr)
				}
			case c.corrupt != "":
				var u *CorruptError
				if !errors.As(err, &u) || !strings.Contains(u.Reason, c.corrupt) || filepath.Base(u.File) != "000007.sst" {
					t.Fatalf("%d rows, %v", len(rows), err)
				}
			default:
				live := (&model{s.entries, s.tombs}).live()
				if err != nil || getErr != nil || len(rows) != len(live) {
					t.Fatalf("%d rows, %v; Get %v", len(rows), err, getErr)
				}
			}
		})
	}
}

// TestIngestedFile: all entries of an ingested file have the sequence number of the ingestion, whatever stands beside them, and its properties may
// have been changed after their checksum was made.
func TestIngestedFile(t *testing.T) {
	t.Parallel()
	for _, written := range []uint64{0, 50} {
		in := &tableSpec{num: 8, entries: []entry{{uk("a", 1), 0, kindValue, []byte("new")}, {uk("b", 1), 0, kindValue, []byte("old")}},
			props: map[string][]byte{propExternal: {2, 0, 0, 0}, propExternalSeq: {0, 0, 0, 0, 0, 0, 0, 0}}}
		base := &tableSpec{num: 7, entries: []entry{put("a", 1, 49, "old"), put("b", 1, 51, "new")}}
		file := in.table()
		name := []byte(propExternalSeq)
		at := bytes.Index(file, name) + len(name)
		if !bytes.Equal(file[at:at+8], make([]byte, 8)) {
			t.Fatal("the test does not find the sequence number")
		}
		file[at] = byte(written)
		dir := checkpoint(t, []*tableSpec{base}, editOf(tagFamily, 1, tagNewFile4, 0, 8, len(file), ikey(uk("a", 1), 50, kindValue), ikey(uk("b", 1), 50, kindValue), 50, 50, fieldEnd))
		write(t, filepath.Join(dir, "000008.sst"), file)
		db := mustOpen(t, dir)
		rows, _ := mustScan(t, db, ScanOptions{Index: i0})
		if got := fmt.Sprint(rows); len(rows) != 2 || rows[0].value+rows[1].value != "newnew" || rows[0].seq != 50 || rows[1].seq != 51 {
			t.Errorf("%d in the properties: %s", written, got)
		}
		file[at+1] ^= 1 // a number that nobody wrote
		write(t, filepath.Join(dir, "000008.sst"), file)
		if _, _, err := scan(mustOpen(t, dir), ScanOptions{Index: i0}); !isCorrupt(err) {
			t.Errorf("wrong number: %v", err)
		}
	}
}

func isCorrupt(err error) bool {
	var c *CorruptError
	return errors.As(err, &c)
}

// TestClip: tombstones are cut to the boundaries of their file; the rules for the last key are those of RocksDB's TruncatedRangeDelIterator.
func TestClip(t *testing.T) {
	t.Parallel()
	const seq = 50
	frag := []fragment{{bound{uk("b", 5), maxTrailer}, bound{uk("y", 5), maxTrailer}, seq}}
	at := func(pk string, seq uint64, k kind) bound { return bound{uk(pk, 5), seq<<8 | uint64(k)} }
	for _, c := range []struct {
		name   string
		lo, hi bound
		key    bound
		want   bool
	}{
		{"whole, first key", at("a", 1, kindValue), at("z", 1, kindValue), at("b", 9, kindValue), true},
		{"whole, before it", at("a", 1, kindValue), at("z", 1, kindValue), at("a", 9, kindValue), false},
		{"whole, end is exclusive", at("a", 1, kindValue), at("z", 1, kindValue), at("y", 9, kindValue), false},
		{"before the file", at("c", 9, kindValue), at("z", 1, kindValue), at("b", 9, kindValue), false},
		{"newer version of the file's first key", at("c", 9, kindValue), at("z", 1, kindValue), at("c", 10, kindValue), false},
		{"the file's first key", at("c", 9, kindValue), at("z", 1, kindValue), at("c", 9, kindValue), true},
		{"the file's last key", at("a", 1, kindValue), at("m", 20, kindValue), at("m", 20, kindValue), true},
		{"older version of the last key, in the next file", at("a", 1, kindValue), at("m", 20, kindValue), at("m", 19, kindValue), false},
		{"older version of a last key that is a deletion, in the next file", at("a", 1, kindValue), at("m", 20, kindDelete), at("m", 19, kindValue), false},
		{"a last key that is a deletion", at("a", 1, kindValue), at("m", 20, kindDelete), at("m", 20, kindDelete), true},
		{"behind the file", at("a", 1, kindValue), at("m", 20, kindValue), at("n", 9, kindValue), false},
		{"file ends at a tombstone's end", at("a", 1, kindValue), at("m", maxSeq, kindRangeDelete), at("m", 9, kindValue), false},
		{"just before that end", at("a", 1, kindValue), at("m", maxSeq, kindRangeDelete), at("l", 9, kindValue), true},
	} {
		got := clip(append([]fragment(nil), frag...), &fileMeta{smallest: c.lo, largest: c.hi})
		if over := covering(got, c.key.user, c.key.trailer) == seq; over != c.want {
			t.Errorf("%s: covered %v", c.name, over)
		}
	}
}
