package snapshot

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// RocksDB's MANIFEST is a log of records in blocks of 32 KiB (formats.md §3.5). Header: u32le masked CRC32C over type and payload, u16le length,
// u8 type; the recyclable types have a u32le log number behind it, which the checksum covers, too.
const (
	recordBlock       = 32 << 10
	recordHeader      = 7
	recyclableHeader  = 11
	recordFull        = 1
	recordFirst       = 2
	recordMiddle      = 3
	recordLast        = 4
	recyclableFull    = 5
	recyclableLast    = 8
	recyclableToPlain = recyclableFull - recordFull
)

// records reads the records of a log file that is complete: unlike a database that starts, which takes a torn tail for the end, a reader of a
// checkpoint takes it for damage.
type records struct {
	name string
	r    io.ReaderAt
	size int64

	block []byte // the block that is being read, [0, recordBlock)
	start int64  // of block
	pos   int    // in block
	buf   []byte // a record of several fragments
	at    int64  // where the current record begins
}

func newRecords(name string, r io.ReaderAt, size int64) *records {
	return &records{name: name, r: r, size: size, start: -recordBlock}
}

// next gives the next record, valid until the next call; io.EOF at the end.
func (l *records) next() ([]byte, error) {
	l.buf = l.buf[:0]
	inside := false
	for {
		at, typ, payload, err := l.fragment()
		if err == io.EOF && inside {
			return nil, corrupt(l.name, l.at, "the file ends inside a record")
		}
		if err != nil {
			return nil, err
		}
		if !inside {
			l.at = at
		}
		switch {
		case inside != (typ == recordMiddle || typ == recordLast):
			return nil, corrupt(l.name, at, "a fragment of type %d is out of place", typ)
		case typ == recordFull:
			return payload, nil
		}
		inside = true
		l.buf = append(l.buf, payload...)
		if typ == recordLast {
			return l.buf, nil
		}
	}
}

func (l *records) fragment() (at int64, typ byte, payload []byte, err error) {
	if len(l.block)-l.pos < recordHeader {
		// What is left of a whole block is padding; at the end of the file it would be a torn header.
		if len(l.block) < recordBlock && l.pos < len(l.block) {
			return 0, 0, nil, corrupt(l.name, l.start+int64(l.pos), "the file ends inside a record header")
		}
		if err := l.nextBlock(); err != nil {
			return 0, 0, nil, err
		}
	}
	at = l.start + int64(l.pos)
	b := l.block[l.pos:]
	if len(b) < recordHeader {
		return 0, 0, nil, corrupt(l.name, at, "the file ends inside a record header")
	}
	sum, n, typ, header := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[4:])), b[6], recordHeader
	if typ >= recyclableFull && typ <= recyclableLast {
		header = recyclableHeader
	}
	if typ == 0 || typ > recyclableLast {
		return 0, 0, nil, corrupt(l.name, at, "a record has type %d", typ)
	}
	if header+n > len(b) {
		return 0, 0, nil, corrupt(l.name, at, "a record of %d bytes goes over the end of its block", n)
	}
	if maskCRC(crc32.Checksum(b[6:header+n], castagnoli)) != sum {
		return 0, 0, nil, corrupt(l.name, at, "the checksum of a record is wrong")
	}
	l.pos += header + n
	if header == recyclableHeader {
		typ -= recyclableToPlain
	}
	return at, typ, b[header : header+n], nil
}

func (l *records) nextBlock() error {
	l.start += recordBlock
	n := min(recordBlock, l.size-l.start)
	if n <= 0 {
		return io.EOF
	}
	if l.block == nil {
		l.block = make([]byte, recordBlock)
	}
	l.block, l.pos = l.block[:n], 0
	if got, err := l.r.ReadAt(l.block, l.start); got < len(l.block) {
		return readError(l.name, l.start, err)
	}
	return nil
}
