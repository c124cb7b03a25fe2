package snapshot

import "encoding/binary"

const (
	footerSize       = 53                 // bytes: checksum kind, two handles in 40 bytes, u32le version, u64le magic
	blockMagic       = 0x88e241b785f4cff7 // block-based table
	legacyBlockMagic = 0xdb4775248b80fb57 // the same, format_version 0
	plainMagic       = 0x8242229663bf9564
	legacyPlainMagic = 0x4f3418eb7a8f13b8
	cuckooMagic      = 0x926789d0c5f17873
	oldestFormat     = 2 // lz4 blocks carry their size as a varint from here on
	newestFormat     = 5 // 6 mixes the offset into checksums
)

// footer is the end of a table file (formats.md §3.5).
type footer struct {
	checksum  checksum
	metaindex handle
	index     handle
}

// parseFooter reads the last footerSize bytes of a file of size bytes.
func parseFooter(name string, size int64, b []byte) (footer, error) {
	at := size - footerSize
	if len(b) != footerSize {
		return footer{}, corrupt(name, 0, "a table of %d bytes has no footer", size)
	}
	switch magic := binary.LittleEndian.Uint64(b[footerSize-8:]); magic {
	case blockMagic:
	case legacyBlockMagic:
		return footer{}, unsupported(name, "format_version 0")
	case plainMagic, legacyPlainMagic:
		return footer{}, unsupported(name, "a plain table")
	case cuckooMagic:
		return footer{}, unsupported(name, "a cuckoo table")
	default:
		return footer{}, corrupt(name, at, "the file ends in %#x, as no table does", magic)
	}
	if v := binary.LittleEndian.Uint32(b[footerSize-12:]); v < oldestFormat || v > newestFormat {
		return footer{}, unsupported(name, "format_version %d", v)
	}
	f := footer{checksum: checksum(b[0])}
	if f.checksum > checksumXXH3 {
		return footer{}, unsupported(name, "%v", f.checksum)
	}
	c := cursor{b: b[1 : footerSize-12]}
	f.metaindex, f.index = c.handle(), c.handle()
	if c.bad {
		return footer{}, corrupt(name, at, "the footer has no handles")
	}
	return f, nil
}
