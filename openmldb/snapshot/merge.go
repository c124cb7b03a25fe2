package snapshot

import (
	"fmt"
)

// merge brings the entries of several runs into one order: user key ascending, then newest first. Long stretches usually come from one run, so
// the next entry of the run on top is compared with the runner-up only, and not at all where the whole block lies before it.
type merge struct {
	runs  []*run // all, for close
	heap  []*run // those with a current entry
	up    *run   // the runner-up: the smaller child of the top
	ahead bool   // the top's whole block lies before the runner-up
}

// start positions every run at the first entry not before from.
func (m *merge) start(from []byte) error {
	for _, r := range m.runs {
		ok, err := r.first(from)
		if err != nil {
			return err
		}
		if ok {
			m.heap = append(m.heap, r)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	m.look()
	return nil
}

// next moves the top on. The current entry is that of heap[0].
func (m *merge) next() error {
	r := m.heap[0]
	if r.block.next() {
		if ok, err := r.take(); !ok {
			return m.drop(err)
		}
		if m.ahead || m.up == nil || less(r, m.up) {
			return nil
		}
	} else {
		if ok, err := r.advance(); !ok {
			return m.drop(err)
		}
	}
	m.down(0)
	m.look()
	return nil
}

// drop takes the top away, at its end or because of err.
func (m *merge) drop(err error) error {
	n := len(m.heap) - 1
	m.heap[0] = m.heap[n]
	m.heap = m.heap[:n]
	m.down(0)
	m.look()
	return err
}

// look finds the runner-up and how far the top can go without a comparison.
func (m *merge) look() {
	m.up, m.ahead = nil, true
	switch len(m.heap) {
	case 0, 1:
		return
	case 2:
		m.up = m.heap[1]
	default:
		m.up = m.heap[1]
		if less(m.heap[2], m.up) {
			m.up = m.heap[2]
		}
	}
	m.ahead = Compare(m.heap[0].last, m.up.user) < 0
}

func (m *merge) down(i int) {
	h := m.heap
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && less(h[c+1], h[c]) {
			c++
		}
		if !less(h[c], h[i]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

func less(a, b *run) bool {
	if c := compareInternal(a.user, a.trailer, b.user, b.trailer); c != 0 {
		return c < 0
	}
	return a.order < b.order
}

func (m *merge) close() error {
	var first error
	for _, r := range m.runs {
		if err := r.close(); err != nil && first == nil {
			first = err
		}
	}
	m.runs, m.heap, m.up = nil, nil, nil
	if first != nil {
		return fmt.Errorf("close table file: %w", first)
	}
	return nil
}
