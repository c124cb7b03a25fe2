package snapshot

import (
	"bytes"
	"encoding/binary"
)

// Comparator names as RocksDB stores them.
const (
	keyTSComparator    = "KeyTSComparator"
	bytewiseComparator = "leveldb.BytewiseComparator" // of the default family, which is always empty
)

const (
	tsSize      = 8 // u64le at the end of a user key
	trailerSize = 8 // u64le seq<<8 | kind at the end of an internal key
	maxTrailer  = ^uint64(0)
	maxSeq      = 1<<56 - 1
)

// kind of an entry, the low byte of the trailer.
type kind byte

const (
	kindDelete       kind = 0x0
	kindValue        kind = 0x1
	kindMerge        kind = 0x2
	kindSingleDelete kind = 0x7
	kindRangeDelete  kind = 0xF
	kindBlobIndex    kind = 0x11
	kindDeleteWithTS kind = 0x14
	kindWideColumns  kind = 0x16
)

// Compare orders user keys as KeyTSComparator does (formats.md §3.3): the last 8 bytes are a ts, u64le; the bytes before it ascending, then the
// larger ts first. A key shorter than 8 bytes has an empty prefix and ts 0.
func Compare(a, b []byte) int {
	if len(a) < tsSize || len(b) < tsSize {
		return compareShort(a, b)
	}
	pa, pb := a[:len(a)-tsSize], b[:len(b)-tsSize]
	if c := bytes.Compare(pa, pb); c != 0 {
		return c
	}
	ta, tb := binary.LittleEndian.Uint64(a[len(pa):]), binary.LittleEndian.Uint64(b[len(pb):])
	switch {
	case ta > tb:
		return -1
	case ta < tb:
		return 1
	}
	return 0
}

func compareShort(a, b []byte) int {
	var zero [tsSize]byte
	if len(a) < tsSize {
		a = zero[:]
	}
	if len(b) < tsSize {
		b = zero[:]
	}
	return Compare(a, b)
}

// compareInternal orders entries: user key ascending, then newest first.
func compareInternal(a []byte, at uint64, b []byte, bt uint64) int {
	if c := Compare(a, b); c != 0 {
		return c
	}
	switch {
	case at > bt:
		return -1
	case at < bt:
		return 1
	}
	return 0
}

// bound is an internal key used as the end of a range.
type bound struct {
	user    []byte
	trailer uint64
}

func (b bound) compare(user []byte, trailer uint64) int {
	return compareInternal(b.user, b.trailer, user, trailer)
}

// splitInternal cuts an internal key; ok is false when it is shorter than its trailer.
func splitInternal(ikey []byte) (user []byte, trailer uint64, ok bool) {
	n := len(ikey) - trailerSize
	if n < 0 {
		return nil, 0, false
	}
	return ikey[:n:n], binary.LittleEndian.Uint64(ikey[n:]), true
}

// prefixOf is a key without its ts; two keys with the same prefix are versions of one pk in one index.
func prefixOf(user []byte) []byte { return user[:max(0, len(user)-tsSize)] }
