package handoff

import (
	"iter"
	"math/bits"
	"slices"
)

// Set is a set of log indexes: a bitmap in pages, so that its size follows the span of the log that has members (one bit per entry), not the
// indexes' magnitude. The zero value is empty.
type Set struct {
	pages map[uint64]*page
	n     uint64
}

const pageBits = 1 << 15 // 4 KiB

type page [pageBits / 64]uint64

// Add puts index into the set.
func (s *Set) Add(index uint64) {
	if s.pages == nil {
		s.pages = map[uint64]*page{}
	}
	p := s.pages[index/pageBits]
	if p == nil {
		p = new(page)
		s.pages[index/pageBits] = p
	}
	w, b := &p[index%pageBits/64], uint64(1)<<(index%64)
	if *w&b == 0 {
		*w |= b
		s.n++
	}
}

// Contains says whether index is in the set.
func (s *Set) Contains(index uint64) bool {
	p := s.pages[index/pageBits]
	return p != nil && p[index%pageBits/64]&(1<<(index%64)) != 0
}

// Len is the number of members.
func (s *Set) Len() uint64 { return s.n }

// All yields the members in ascending order.
func (s *Set) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		at := make([]uint64, 0, len(s.pages))
		for k := range s.pages {
			at = append(at, k)
		}
		slices.Sort(at)
		for _, k := range at {
			for i, w := range s.pages[k] {
				for ; w != 0; w &= w - 1 {
					if !yield(k*pageBits + uint64(i)*64 + uint64(bits.TrailingZeros64(w))) {
						return
					}
				}
			}
		}
	}
}

// Slice is the members in ascending order, 8 bytes each.
func (s *Set) Slice() []uint64 {
	out := make([]uint64, 0, s.n)
	for i := range s.All() {
		out = append(out, i)
	}
	return out
}
