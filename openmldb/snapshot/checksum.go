package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/xxh3"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the kind of block checksum of a table file, the first byte of its footer.
type checksum byte

const (
	checksumNone     checksum = 0
	checksumCRC32C   checksum = 1
	checksumXXHash   checksum = 2
	checksumXXHash64 checksum = 3
	checksumXXH3     checksum = 4
)

func (c checksum) String() string {
	switch c {
	case checksumNone:
		return "no checksum"
	case checksumCRC32C:
		return "CRC32C"
	case checksumXXHash:
		return "xxHash"
	case checksumXXHash64:
		return "xxHash64"
	case checksumXXH3:
		return "XXH3"
	}
	return fmt.Sprintf("checksum kind %d", byte(c))
}

// of computes the checksum of a block. b is the block and the byte of its compression type.
func (c checksum) of(b []byte) uint32 {
	switch c {
	case checksumCRC32C:
		return maskCRC(crc32.Checksum(b, castagnoli))
	case checksumXXHash:
		return xxh32(b)
	case checksumXXHash64:
		return uint32(xxhash.Sum64(b))
	case checksumXXH3:
		// The type byte is mixed in afterwards: RocksDB has no streaming XXH3 here (table/format.cc).
		const lastByteFactor = 0x6b9083d9
		n := len(b) - 1
		return uint32(xxh3.Hash(b[:n])) ^ uint32(b[n])*lastByteFactor
	}
	return 0
}

// maskCRC is RocksDB's mask, made for checksums that are stored next to what they cover.
func maskCRC(c uint32) uint32 { return bits.RotateLeft32(c, -15) + 0xa282ead8 }

// xxh32 is XXH32 with seed 0.
func xxh32(b []byte) uint32 {
	const (
		p1 uint32 = 2654435761
		p2 uint32 = 2246822519
		p3 uint32 = 3266489917
		p4 uint32 = 668265263
		p5 uint32 = 374761393
	)
	n := len(b)
	h := p5
	if n >= 16 {
		v1, v2, v3, v4 := p1, p2, uint32(0), uint32(0)
		v1 += p2
		v4 -= p1
		for ; len(b) >= 16; b = b[16:] {
			v1 = bits.RotateLeft32(v1+binary.LittleEndian.Uint32(b)*p2, 13) * p1
			v2 = bits.RotateLeft32(v2+binary.LittleEndian.Uint32(b[4:])*p2, 13) * p1
			v3 = bits.RotateLeft32(v3+binary.LittleEndian.Uint32(b[8:])*p2, 13) * p1
			v4 = bits.RotateLeft32(v4+binary.LittleEndian.Uint32(b[12:])*p2, 13) * p1
		}
		h = bits.RotateLeft32(v1, 1) + bits.RotateLeft32(v2, 7) + bits.RotateLeft32(v3, 12) + bits.RotateLeft32(v4, 18)
	}
	h += uint32(n)
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*p3, 17) * p4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h ^= h >> 15
	h *= p2
	h ^= h >> 13
	h *= p3
	return h ^ h>>16
}
