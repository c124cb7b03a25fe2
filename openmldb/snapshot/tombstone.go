package snapshot

import (
	"bytes"
	"container/heap"
	"slices"
	"sort"
)

// tombstone is a range deletion: entries older than seq with start ≤ user key < end are gone.
type tombstone struct {
	start, end []byte
	seq        uint64
}

// fragment is a piece of the key space with the newest tombstone over it. Fragments of a file do not overlap. The ends are internal keys because
// a file can end between two versions of one key.
type fragment struct {
	lo, hi bound // lo ≤ entry < hi
	seq    uint64
}

// parseTombstones reads a range_del block into memory of its own.
func parseTombstones(block []byte) ([]tombstone, string) {
	var out []tombstone
	var e entries
	for e.reset(block); e.next(); {
		user, trailer, ok := splitInternal(e.key)
		if !ok || kind(trailer) != kindRangeDelete {
			return nil, "a key in the range_del block is no range deletion"
		}
		if Compare(user, e.val) < 0 {
			out = append(out, tombstone{start: bytes.Clone(user), end: bytes.Clone(e.val), seq: trailer >> 8})
		}
	}
	return out, e.bad
}

// fragmentize cuts tombstones at each other's ends and keeps the newest in every piece.
func fragmentize(tombs []tombstone) []fragment {
	if len(tombs) == 0 {
		return nil
	}
	cuts := make([][]byte, 0, 2*len(tombs))
	for _, t := range tombs {
		cuts = append(cuts, t.start, t.end)
	}
	slices.SortFunc(cuts, Compare)
	cuts = slices.CompactFunc(cuts, func(a, b []byte) bool { return Compare(a, b) == 0 })
	slices.SortFunc(tombs, func(a, b tombstone) int { return Compare(a.start, b.start) })
	var open newestFirst
	var out []fragment
	next := 0
	for i := 0; i+1 < len(cuts); i++ {
		for ; next < len(tombs) && Compare(tombs[next].start, cuts[i]) <= 0; next++ {
			heap.Push(&open, tombs[next])
		}
		for len(open) > 0 && Compare(open[0].end, cuts[i]) <= 0 {
			heap.Pop(&open)
		}
		if len(open) == 0 {
			continue
		}
		lo, hi := bound{cuts[i], maxTrailer}, bound{cuts[i+1], maxTrailer}
		if n := len(out); n > 0 && out[n-1].seq == open[0].seq && Compare(out[n-1].hi.user, lo.user) == 0 {
			out[n-1].hi = hi
			continue
		}
		out = append(out, fragment{lo: lo, hi: hi, seq: open[0].seq})
	}
	return out
}

// newestFirst is a heap of tombstones over the current key.
type newestFirst []tombstone

func (h newestFirst) Len() int           { return len(h) }
func (h newestFirst) Less(i, j int) bool { return h[i].seq > h[j].seq }
func (h newestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *newestFirst) Push(x any)        { *h = append(*h, x.(tombstone)) }
func (h *newestFirst) Pop() any {
	o := *h
	t := o[len(o)-1]
	*h = o[:len(o)-1]
	return t
}

// clip cuts fragments to the boundaries of their file: beyond them a tombstone may be out of date, because the neighbour was compacted without it
// and its sequence numbers were zeroed (RocksDB's TruncatedRangeDelIterator).
func clip(frags []fragment, meta *fileMeta) []fragment {
	lo, hi := meta.smallest, meta.largest
	switch seq := hi.trailer >> 8; {
	case kind(hi.trailer) == kindRangeDelete && seq == maxSeq:
		// The file was extended to the end of a tombstone, which is exclusive.
	case seq == 0:
		// No other file has this key; the tombstones end before it or at it.
	default: // up to the last entry itself, before any entry that is older
		hi.trailer = (seq-1)<<8 | 0xff
	}
	out := frags[:0]
	for _, f := range frags {
		if f.lo.compare(lo.user, lo.trailer) < 0 {
			f.lo = lo
		}
		if f.hi.compare(hi.user, hi.trailer) > 0 {
			f.hi = hi
		}
		if f.lo.compare(f.hi.user, f.hi.trailer) < 0 {
			out = append(out, f)
		}
	}
	return out
}

// covering gives the sequence number of the tombstone over an entry, 0 if there is none.
func covering(frags []fragment, user []byte, trailer uint64) uint64 {
	i := sort.Search(len(frags), func(i int) bool { return frags[i].hi.compare(user, trailer) > 0 })
	if i < len(frags) && frags[i].lo.compare(user, trailer) <= 0 {
		return frags[i].seq
	}
	return 0
}
