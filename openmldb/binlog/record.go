package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Layout of a log file (formats.md §4.2).
const (
	BlockSize  = 4096
	headerSize = 7 // u32 masked crc32c, u16 length, u8 type

	typeZero   = 0
	typeFull   = 1
	typeFirst  = 2
	typeMiddle = 3
	typeLast   = 4
	typeEOF    = 5
)

func unmask(c uint32) uint32 {
	c -= 0xa282ead8
	return c<<15 | c>>17
}

type state uint8

const (
	found state = iota // a whole logical record
	wait               // the file ends before the record does
	ended              // EOF record: whatever follows in this file does not count
	bad                // not a record, at record.badAt
)

// record is one logical record.
type record struct {
	payload    []byte // valid until the next call on the scanner
	start, end int64
	// suspect is where something stood that may be harmless and may be lost entries: a block of zeros, pieces of a record without its
	// beginning or end, in state wait an unfinished record. -1 = nothing. It is harmless if the next entry's index follows on.
	suspect int64
	badAt   int64
	reason  string
}

// scanner cuts one file into logical records. The file may change under it: bytes it has once seen as an unfinished record are read again.
type scanner struct {
	h    Handle
	buf  []byte // what was read of the file from base on; base is a block's beginning
	base int64
	join []byte // a record of several pieces
	max  int    // longest logical record
}

const (
	bufferBytes  = 64 << 10 // 16 blocks: one system call per 64 KiB, and 1,000 idle readers stay at 64 MiB
	keepJoin     = 1 << 20
	maxRecordLen = 256 << 20
)

func (s *scanner) reset(h Handle) {
	s.h = h
	s.drop()
}

// drop forgets what was read ahead.
func (s *scanner) drop() { s.buf, s.base = s.buf[:0], 0 }

// window returns the bytes that are there from off to the end of off's block, at least need of them if the file has them. whole says that the
// file holds the block to its end.
func (s *scanner) window(off int64, need int) (b []byte, whole bool, err error) {
	blockEnd := (off/BlockSize + 1) * BlockSize
	have := s.base + int64(len(s.buf))
	if off < s.base || have < off+int64(need) && have < blockEnd {
		if s.buf == nil {
			s.buf = make([]byte, 0, bufferBytes)
		}
		start := off / BlockSize * BlockSize
		n, err := s.h.ReadAt(s.buf[:cap(s.buf)], start)
		if err != nil && !errors.Is(err, io.EOF) {
			s.drop()
			return nil, false, err
		}
		s.buf, s.base = s.buf[:n], start
		have = start + int64(n)
	}
	if have <= off {
		return nil, false, nil
	}
	end := min(blockEnd, have)
	return s.buf[off-s.base : end-s.base], have >= blockEnd, nil
}

// record reads the logical record at or behind pos, which is a record boundary.
func (s *scanner) record(pos int64) (record, state, error) {
	r := record{suspect: -1}
	if cap(s.join) > keepJoin {
		s.join = nil
	}
	s.join = s.join[:0]
	inside := false // between a first and its last piece
	suspect := func(at int64) {
		if r.suspect < 0 {
			r.suspect = at
		}
		inside, s.join = false, s.join[:0]
	}
	waiting := func(at int64, b []byte) (record, state, error) {
		if inside {
			suspect(r.start)
		} else if len(b) > 0 {
			suspect(at)
		}
		s.drop()
		return r, wait, nil
	}
	isBad := func(at int64, format string, a ...any) (record, state, error) {
		r.badAt, r.reason = at, fmt.Sprintf(format, a...)
		return r, bad, nil
	}
	for off := pos; ; {
		left := BlockSize - int(off%BlockSize)
		if left < headerSize {
			off += int64(left) // block trailer
			continue
		}
		b, whole, err := s.window(off, headerSize)
		if err != nil {
			return r, wait, err
		}
		if len(b) < headerSize {
			return waiting(off, b)
		}
		sum, length, typ := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[4:])), b[6]
		if typ == typeZero && length == 0 && sum == 0 {
			suspect(off)
			off += int64(left) // formats.md §4.2: a bad block; what matters is whether the log goes on without a hole behind it
			continue
		}
		if headerSize+length > left && whole {
			return isBad(off, "a record of %d bytes does not fit into its block", length)
		}
		if len(b) < headerSize+length && !whole {
			if b, _, err = s.window(off, headerSize+min(length, left-headerSize)); err != nil {
				return r, wait, err
			}
		}
		if len(b) < headerSize+length {
			return waiting(off, b)
		}
		piece := b[headerSize : headerSize+length]
		if got := crc32.Checksum(b[6:headerSize+length], castagnoli); got != unmask(sum) {
			return isBad(off, "checksum is %08x, the record says %08x", got, unmask(sum))
		}
		next := off + int64(headerSize+length)
		switch typ {
		case typeEOF:
			if length != 0 {
				return isBad(off, "end-of-file record with %d bytes", length)
			}
			if inside {
				suspect(r.start)
			}
			r.start, r.end = off, next
			return r, ended, nil
		case typeFull:
			if inside {
				suspect(r.start)
			}
			r.payload, r.start, r.end = piece, off, next
			return r, found, nil
		case typeFirst:
			if inside {
				suspect(r.start)
			}
			inside, r.start, s.join = true, off, append(s.join[:0], piece...)
		case typeMiddle, typeLast:
			if !inside {
				suspect(off)
				break
			}
			if len(s.join)+length > s.max {
				return isBad(r.start, "a record longer than %d bytes", s.max)
			}
			s.join = append(s.join, piece...)
			if typ == typeLast {
				r.payload, r.end = s.join, next
				return r, found, nil
			}
		default:
			return isBad(off, "unknown record type %d", typ)
		}
		off = next
	}
}
