package snapshot

import (
	"errors"
	"fmt"

	"github.com/golang/snappy"
)

// compression is the type byte behind a block.
type compression byte

const (
	compressNone   compression = 0
	compressSnappy compression = 1
	compressLZ4    compression = 4
	compressLZ4HC  compression = 5
)

func (c compression) String() string {
	names := [...]string{"none", "snappy", "zlib", "bzip2", "lz4", "lz4hc", "xpress", "zstd"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("compression type %d", byte(c))
}

// readable tells whether blocks of this type can be read.
func (c compression) readable() bool {
	return c == compressNone || c == compressSnappy || c == compressLZ4 || c == compressLZ4HC
}

// expansion is more than either format can expand a byte to; a block that promises more is refused before memory is taken for it.
const expansion = 256

// decompress decodes b, reusing dst. Snappy blocks carry their size themselves; lz4 ones have it before them as a varint32 (compress_format_version 2).
func (c compression) decompress(dst, b []byte) ([]byte, error) {
	switch c {
	case compressSnappy:
		n, err := snappy.DecodedLen(b)
		if err != nil {
			return nil, err
		}
		if n > expansion*len(b) {
			return nil, fmt.Errorf("snappy: %d bytes cannot become %d", len(b), n)
		}
		return snappy.Decode(resize(dst, n), b)
	case compressLZ4, compressLZ4HC:
		size, k := uvarint32(b)
		if k == 0 {
			return nil, errors.New("lz4: there is no size")
		}
		b = b[k:]
		if int(size) > expansion*len(b) {
			return nil, fmt.Errorf("lz4: %d bytes cannot become %d", len(b), size)
		}
		dst = resize(dst, int(size))
		if err := lz4Block(dst, b); err != nil {
			return nil, err
		}
		return dst, nil
	}
	return nil, fmt.Errorf("compression %v", c)
}

const keepBuffer = 1 << 20 // bytes; a larger buffer, for one huge row, is let go of when the next block needs much less

// resize gives n bytes with any content, in b if they fit.
func resize(b []byte, n int) []byte {
	if cap(b) < n || cap(b) > keepBuffer && n < cap(b)/4 {
		return make([]byte, n, n+n/8)
	}
	return b[:n]
}
