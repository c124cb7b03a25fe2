package snapshot

import (
	"encoding/binary"
	"errors"
)

var errLZ4 = errors.New("lz4: the block is damaged")

// lz4Block decodes an lz4 block into dst, which must be as long as its content. It is our own because blocks without checksum may hold anything,
// and the assembly of the usual module trusts its caller with an empty destination.
func lz4Block(dst, src []byte) error {
	const minMatch = 4
	d, s := 0, 0
	for s < len(src) {
		token := src[s]
		s++
		n := int(token >> 4)
		if n == 15 {
			var ok bool
			if n, s, ok = lz4Length(n, src, s); !ok {
				return errLZ4
			}
		}
		if n > len(src)-s || n > len(dst)-d {
			return errLZ4
		}
		if n <= 16 && len(src)-s >= 16 && len(dst)-d >= 16 { // what is written too much is written over
			a, b := (*[16]byte)(src[s:]), (*[16]byte)(dst[d:])
			*b = *a
		} else {
			copy(dst[d:], src[s:s+n])
		}
		d, s = d+n, s+n
		if s == len(src) { // the last sequence has literals only
			break
		}
		if len(src)-s < 2 {
			return errLZ4
		}
		back := int(binary.LittleEndian.Uint16(src[s:]))
		s += 2
		n = int(token & 15)
		if n == 15 {
			var ok bool
			if n, s, ok = lz4Length(n, src, s); !ok {
				return errLZ4
			}
		}
		n += minMatch
		if back == 0 || back > d || n > len(dst)-d {
			return errLZ4
		}
		// Short matches, most of all there are, go by words; again, what is written too much is written over.
		if back >= 8 && n <= 24 && len(dst)-d >= 24 {
			from, to := (*[24]byte)(dst[d-back:]), (*[24]byte)(dst[d:])
			binary.LittleEndian.PutUint64(to[:8], binary.LittleEndian.Uint64(from[:8]))
			binary.LittleEndian.PutUint64(to[8:16], binary.LittleEndian.Uint64(from[8:16]))
			binary.LittleEndian.PutUint64(to[16:24], binary.LittleEndian.Uint64(from[16:24]))
			d += n
			continue
		}
		// A match that reaches into itself repeats: each copy doubles what there is to copy from.
		for from := d - back; n > 0; {
			k := copy(dst[d:d+n], dst[from:d])
			d, n = d+k, n-k
		}
	}
	if d != len(dst) {
		return errLZ4
	}
	return nil
}

// lz4Length adds the bytes of a long length; n stays below the length of src times 255.
func lz4Length(n int, src []byte, s int) (length, next int, ok bool) {
	for s < len(src) {
		b := src[s]
		s++
		n += int(b)
		if b != 255 {
			return n, s, true
		}
	}
	return 0, 0, false
}
