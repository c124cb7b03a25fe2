package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/golang/snappy"
)

// entry is one entry of a table that a test makes.
type entry struct {
	user  []byte
	seq   uint64
	kind  kind
	value []byte
}

// tableSpec is a table file that a test makes, in key order. Zero values stand for what a tablet writes.
type tableSpec struct {
	num       uint64
	level     int
	entries   []entry
	tombs     []tombstone
	blockSize int // 0: 256 KiB
	checksum  *checksum
	version   uint32
	magic     uint64
	compress  compression
	props     map[string][]byte
	metas     map[string][]byte // more meta blocks
	hashFlag  bool              // data blocks claim a hash index
	smallest  *bound
	largest   *bound
}

func ikey(user []byte, seq uint64, k kind) []byte {
	return binary.LittleEndian.AppendUint64(append([]byte(nil), user...), seq<<8|uint64(k))
}

// blockOf encodes entries without sharing keys; every entry is a restart if restarts is 1.
func blockOf(keys, values [][]byte, restarts int) []byte {
	var b []byte
	var at []uint32
	for i, k := range keys {
		if i%restarts == 0 {
			at = append(at, uint32(len(b)))
		}
		b = append(b, 0)
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = binary.AppendUvarint(b, uint64(len(values[i])))
		b = append(append(b, k...), values[i]...)
	}
	if len(at) == 0 {
		at = []uint32{0}
	}
	for _, o := range at {
		b = binary.LittleEndian.AppendUint32(b, o)
	}
	return binary.LittleEndian.AppendUint32(b, uint32(len(at)))
}

// table makes the bytes of a table file.
func (s *tableSpec) table() []byte {
	sum := checksumCRC32C
	if s.checksum != nil {
		sum = *s.checksum
	}
	var f []byte
	block := func(b []byte, c compression) handle {
		if c == compressSnappy {
			b = snappy.Encode(nil, b)
		}
		h := handle{uint64(len(f)), uint64(len(b))}
		f = append(append(f, b...), byte(c))
		f = binary.LittleEndian.AppendUint32(f, sum.of(f[h.offset:]))
		return h
	}
	encode := func(h handle) []byte { return binary.AppendUvarint(binary.AppendUvarint(nil, h.offset), h.size) }
	var keys, values, indexKeys, indexValues [][]byte
	size := 0
	cut := func() {
		if len(keys) == 0 {
			return
		}
		b := blockOf(keys, values, 16)
		if s.hashFlag {
			b[len(b)-1] |= 0x80
		}
		indexKeys = append(indexKeys, keys[len(keys)-1])
		indexValues = append(indexValues, encode(block(b, s.compress)))
		keys, values, size = nil, nil, 0
	}
	limit := s.blockSize
	if limit == 0 {
		limit = 256 << 10
	}
	for _, e := range s.entries {
		keys, values = append(keys, ikey(e.user, e.seq, e.kind)), append(values, e.value)
		if size += len(e.user) + len(e.value) + 12; size >= limit {
			cut()
		}
	}
	cut()
	index := blockOf(indexKeys, indexValues, 1)
	metas := map[string][]byte{}
	if len(s.tombs) > 0 {
		var k, v [][]byte
		for _, t := range s.tombs {
			k, v = append(k, ikey(t.start, t.seq, kindRangeDelete)), append(v, t.end)
		}
		metas[metaRangeDel] = blockOf(k, v, 1)
	}
	var names, props [][]byte
	p := map[string][]byte{propComparator: []byte(keyTSComparator), propIndexType: {0, 0, 0, 0}, propUserKey: {0}, propDelta: {0}}
	for k, v := range s.props {
		p[k] = v
	}
	for _, k := range sortedKeys(p) {
		names, props = append(names, []byte(k)), append(props, p[k])
	}
	metas[metaProperties] = blockOf(names, props, 1)
	for k, v := range s.metas {
		metas[k] = v
	}
	names, props = nil, nil
	for _, k := range sortedKeys(metas) {
		names, props = append(names, []byte(k)), append(props, encode(block(metas[k], compressNone)))
	}
	meta := block(blockOf(names, props, 1), compressNone)
	ih := block(index, compressNone)
	foot := append([]byte{byte(sum)}, append(encode(meta), encode(ih)...)...)
	foot = append(foot, make([]byte, footerSize-12-len(foot))...)
	version, magic := s.version, s.magic
	if version == 0 {
		version = 5
	}
	if magic == 0 {
		magic = blockMagic
	}
	return append(f, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(foot, version), magic)...)
}

func sortedKeys(m map[string][]byte) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (s *tableSpec) bounds() (lo, hi []byte) {
	var keys [][]byte
	for _, e := range s.entries {
		keys = append(keys, ikey(e.user, e.seq, e.kind))
	}
	for _, t := range s.tombs {
		keys = append(keys, ikey(t.start, t.seq, kindRangeDelete), ikey(t.end, maxSeq, kindRangeDelete))
	}
	slices.SortFunc(keys, func(a, b []byte) int {
		x, _ := boundOf(a)
		y, _ := boundOf(b)
		return x.compare(y.user, y.trailer)
	})
	lo, hi = keys[0], keys[len(keys)-1]
	if s.smallest != nil {
		lo = binary.LittleEndian.AppendUint64(append([]byte(nil), s.smallest.user...), s.smallest.trailer)
	}
	if s.largest != nil {
		hi = binary.LittleEndian.AppendUint64(append([]byte(nil), s.largest.user...), s.largest.trailer)
	}
	return lo, hi
}

// record frames version edits as RocksDB's log does; each must fit into a block.
func recordsOf(edits ...[]byte) []byte {
	var f []byte
	for _, e := range edits {
		if left := recordBlock - len(f)%recordBlock; left < recordHeader+len(e) {
			f = append(f, make([]byte, left)...)
		}
		b := append([]byte{recordFull}, e...)
		f = binary.LittleEndian.AppendUint32(f, maskCRC(crc32.Checksum(b, castagnoli)))
		f = append(binary.LittleEndian.AppendUint16(f, uint16(len(e))), b...)
	}
	return f
}

// editOf builds a version edit: numbers become varints, strings and byte slices go with their length.
func editOf(fields ...any) []byte {
	var b []byte
	for _, f := range fields {
		switch v := f.(type) {
		case int:
			b = binary.AppendUvarint(b, uint64(v))
		case uint64:
			b = binary.AppendUvarint(b, v)
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		case []byte:
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		default:
			panic(fmt.Sprintf("%T in an edit", f))
		}
	}
	return b
}

// checkpoint writes a directory with one family, i0, of id 1, and the given tables; more edits go to the end of the MANIFEST.
func checkpoint(t testing.TB, tables []*tableSpec, edits ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	all := [][]byte{
		editOf(tagComparator, bytewiseComparator, tagLogNumber, 0, tagNextFile, 100, tagLastSequence, uint64(1<<40)),
		editOf(tagFamily, 1, tagFamilyAdd, "i0", tagComparator, keyTSComparator),
	}
	for _, s := range tables {
		b := s.table()
		write(t, filepath.Join(dir, tableName(s.num)), b)
		lo, hi := s.bounds()
		var seq uint64
		for _, e := range s.entries {
			seq = max(seq, e.seq)
		}
		for _, e := range s.tombs {
			seq = max(seq, e.seq)
		}
		all = append(all, editOf(tagFamily, 1, tagNewFile4, s.level, s.num, len(b), lo, hi, 0, seq, fieldEnd))
	}
	write(t, filepath.Join(dir, "MANIFEST-000005"), recordsOf(append(all, edits...)...))
	write(t, filepath.Join(dir, "CURRENT"), []byte("MANIFEST-000005\n"))
	return dir
}

func write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// uk is a user key of an index alone in its family.
func uk(pk string, ts uint64) []byte { return Index{}.Key(nil, []byte(pk), ts) }

func put(pk string, ts, seq uint64, value string) entry {
	return entry{uk(pk, ts), seq, kindValue, []byte(value)}
}

var i0 = Index{Family: "i0"}
