package snapshot

import (
	"hash/crc32"
	"strings"
	"testing"
)

// TestXXH32 checks the vectors of the algorithm's own test suite and of its documentation, seed 0.
func TestXXH32(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]uint32{
		"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff, "Nobody inspects the spammish repetition": 0xe2293b2f,
	} {
		if got := xxh32([]byte(in)); got != want {
			t.Errorf("%q: %#x, want %#x", in, got, want)
		}
	}
}

// TestChecksumsSeeEveryBit: a checksum covers the block and its type byte.
func TestChecksumsSeeEveryBit(t *testing.T) {
	t.Parallel()
	for c := checksumCRC32C; c <= checksumXXH3; c++ {
		for _, n := range []int{1, 2, 15, 16, 17, 300} {
			b := []byte(strings.Repeat("x", n))
			sum := c.of(b)
			for i := range 8 * n {
				b[i/8] ^= 1 << (i % 8)
				if c.of(b) == sum {
					t.Errorf("%v of %d bytes does not see bit %d", c, n, i)
				}
				b[i/8] ^= 1 << (i % 8)
			}
		}
	}
}

func TestDecompressRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typ compression
		b   string
	}{
		"lz4 without size":     {compressLZ4, ""},
		"lz4 bomb":             {compressLZ4, "\xff\xff\xff\xff\x0f\x00"},
		"lz4 shorter":          {compressLZ4, "\x09\x10a"},
		"snappy without size":  {compressSnappy, ""},
		"snappy bomb":          {compressSnappy, "\xff\xff\xff\xff\x0f\x00"},
		"snappy wrong content": {compressSnappy, "\x05\x00a"},
		"zstd":                 {compression(7), "abc"},
	} {
		if out, err := c.typ.decompress(nil, []byte(c.b)); err == nil {
			t.Errorf("%s became %q", name, out)
		}
	}
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
