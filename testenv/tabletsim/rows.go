package tabletsim

import (
	"bytes"
	"fmt"
	"iter"
)

// Rows visits what the store holds of index 0 now, expired rows included.
func (p *Partition) Rows() iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		leave, err := p.enter(false)
		if err != nil {
			yield(nil, err)
			return
		}
		defer leave()
		s := p.Schema()
		stopped := false
		err = p.store.Scan(s.familyOf(0), func(key, value []byte) bool {
			if _, _, ok := s.splitKey(0, key); !ok {
				return true
			}
			row, err := s.plain(bytes.Clone(value))
			var values []any
			if err == nil {
				values, err = s.DecodeRow(row)
			}
			stopped = !yield(values, err) || err != nil
			return !stopped
		})
		if err != nil && !stopped {
			yield(nil, fmt.Errorf("rows of %d_%d: %w", p.TID, p.PID, err))
		}
	}
}
