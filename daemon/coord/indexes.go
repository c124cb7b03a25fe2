package coord

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// EncodeIndexes writes ascending log indexes as varints: the first as it is, each other as its distance to the one before. An empty list is empty.
// The caller promises ascending order without repetition; what breaks it is an error naming the place.
func EncodeIndexes(indexes []uint64) ([]byte, error) {
	out := make([]byte, 0, len(indexes)+8)
	var last uint64
	for i, v := range indexes {
		if v <= last && i > 0 {
			return nil, fmt.Errorf("encode log indexes: %d follows %d", v, last)
		}
		out = binary.AppendUvarint(out, v-last)
		last = v
	}
	return out, nil
}

// DecodeIndexes reads what EncodeIndexes wrote.
func DecodeIndexes(b []byte) ([]uint64, error) {
	var out []uint64
	for v, err := range Indexes(b) {
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Indexes yields the indexes of b in order without holding them all; it ends at the first error.
func Indexes(b []byte) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		var last uint64
		for at := 0; at < len(b); {
			d, n := binary.Uvarint(b[at:])
			switch {
			case n <= 0:
				yield(0, fmt.Errorf("decode log indexes: no varint at byte %d of %d", at, len(b)))
				return
			case d == 0 && at > 0:
				yield(0, fmt.Errorf("decode log indexes: index %d is repeated at byte %d", last, at))
				return
			case last+d < last:
				yield(0, fmt.Errorf("decode log indexes: overflow at byte %d", at))
				return
			}
			last += d
			at += n
			if !yield(last, nil) {
				return
			}
		}
	}
}
