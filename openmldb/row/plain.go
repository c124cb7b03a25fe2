package row

import (
	"fmt"

	"github.com/golang/snappy"
)

// expansion bounds what a snappy block may claim to unpack to: a copy of 64 bytes takes three.
const expansion = 22

// Plain returns the row of a stored value, a checkpoint's or a log entry's (docs/formats.md §3.4). Values of tables without compression are
// returned as they are; those of snappy tables are unpacked into dst, which is grown when it is too small and may be handed in again. A plain row
// in a snappy table, as servers before 0.8.4 stored what clients sent, is returned as it is.
func (s *Set) Plain(dst, value []byte) ([]byte, error) {
	if !s.snappy {
		return value, nil
	}
	if n, err := Size(value); err == nil && n == len(value) {
		return value, nil
	}
	n, err := snappy.DecodedLen(value)
	if err != nil || n > expansion*(len(value)+3) {
		return nil, fmt.Errorf("%w: %d bytes are neither a row nor a snappy block", ErrCorrupt, len(value))
	}
	out, err := snappy.Decode(dst[:cap(dst)], value)
	if err != nil {
		return nil, fmt.Errorf("%w: a snappy block of %d bytes: %w", ErrCorrupt, len(value), err)
	}
	return out, nil
}
