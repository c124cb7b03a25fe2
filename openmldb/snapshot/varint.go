package snapshot

import (
	"encoding/binary"
	"math"
)

// uvarint32 decodes a varint32; n is 0 if b does not begin with one.
func uvarint32(b []byte) (v uint32, n int) {
	u, n := binary.Uvarint(b)
	if n <= 0 || u > math.MaxUint32 {
		return 0, 0
	}
	return uint32(u), n
}

// cursor takes fields off the front of a record; the first that is not whole makes bad true and all later ones zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) fail() { c.b, c.bad = nil, true }

func (c *cursor) u64() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) u32() uint32 {
	v := c.u64()
	if v > math.MaxUint32 {
		c.fail()
		return 0
	}
	return uint32(v)
}

// bytes takes a string with its length before it; it lies in the record.
func (c *cursor) bytes() []byte {
	n := c.u64()
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	s := c.b[:n:n]
	c.b = c.b[n:]
	return s
}

// fixed64 reads a u64le of exactly 8 bytes, or 0.
func fixed64(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// fixed32 reads a u32le of exactly 4 bytes, or 0.
func fixed32(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}
