package handoff

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// del is a delete's reach: it covers end < ts ≤ start, in puts before index.
type del struct{ start, end, index uint64 }

// cover answers which is the last delete that covers a ts. Deletes are many on a busy key, so it holds a step function over ts rather than
// comparing each put with each delete.
type cover struct {
	few  []del    // while they are few, they are simply asked
	from []uint64 // else: from[i] ≤ ts < from[i+1] is covered last by index last[i], 0 = by none
	last []uint64
}

const fewDeletes = 8

// coverOf keeps dels.
func coverOf(dels []del) cover {
	if len(dels) <= fewDeletes {
		return cover{few: dels}
	}
	slices.SortFunc(dels, func(a, b del) int { return cmp.Compare(a.end, b.end) })
	bounds := make([]uint64, 0, 2*len(dels))
	for _, d := range dels {
		if d.end < d.start {
			bounds = append(bounds, d.end+1)
			if d.start < math.MaxUint64 {
				bounds = append(bounds, d.start+1)
			}
		}
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	c := cover{from: bounds, last: make([]uint64, len(bounds))}
	var open newest
	next := 0
	for i, b := range bounds {
		for ; next < len(dels) && dels[next].end < b; next++ {
			heap.Push(&open, dels[next])
		}
		for len(open) > 0 && open[0].start < b {
			heap.Pop(&open)
		}
		if len(open) > 0 {
			c.last[i] = open[0].index
		}
	}
	return c
}

// lastAt is the index of the last delete that covers ts, 0 if none does. ts 0 is covered by none (formats.md §3.4).
func (c *cover) lastAt(ts uint64) (index uint64) {
	for _, d := range c.few {
		if d.end < ts && ts <= d.start {
			index = max(index, d.index)
		}
	}
	if i, ok := slices.BinarySearch(c.from, ts); ok {
		return c.last[i]
	} else if i > 0 {
		return c.last[i-1]
	}
	return index
}

// newest is a heap with the highest index on top.
type newest []del

func (h newest) Len() int           { return len(h) }
func (h newest) Less(i, j int) bool { return h[i].index > h[j].index }
func (h newest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *newest) Push(x any)        { *h = append(*h, x.(del)) }
func (h *newest) Pop() any {
	old := *h
	d := old[len(old)-1]
	*h = old[:len(old)-1]
	return d
}
