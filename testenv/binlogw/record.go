package binlogw

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
)

const (
	block  = 4096
	header = 7

	full, first, middle, last, eof = 1, 2, 3, 4, 5
)

var table = crc32.MakeTable(crc32.Castagnoli)

func mask(c uint32) uint32 { return (c>>15 | c<<17) + 0xa282ead8 }

// pad is the zero fill up to the next place a record can begin at.
func pad(off int64) int64 {
	if left := block - off%block; left < header {
		return left
	}
	return 0
}

func one(pad int64, typ byte, piece []byte) []byte {
	b := make([]byte, pad, int(pad)+header+len(piece))
	crc := mask(crc32.Update(crc32.Checksum([]byte{typ}, table), table, piece))
	b = binary.LittleEndian.AppendUint32(b, crc)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(piece)))
	b = append(b, typ)
	return append(b, piece...)
}

// physical cuts a payload into the physical records that hold it when it is written at off.
func physical(off int64, payload []byte) [][]byte {
	var out [][]byte
	for begin := true; begin || len(payload) > 0; begin = false {
		p := pad(off)
		room := int(block - (off+p)%block - header)
		piece := payload[:min(room, len(payload))]
		payload = payload[len(piece):]
		typ := byte(middle)
		switch {
		case begin && len(payload) == 0:
			typ = full
		case begin:
			typ = first
		case len(payload) == 0:
			typ = last
		}
		out = append(out, one(p, typ, piece))
		off += p + header + int64(len(piece))
	}
	return out
}

func eofAt(off int64) []byte { return one(pad(off), eof, nil) }

// goodEnd finds the end of the last whole logical record of a file as a starting tablet does: checksums are not looked at (formats.md §4.2).
func goodEnd(path string) (end int64, whole, ended bool, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false, false, fmt.Errorf("read last log file: %w", err)
	}
	for off := int64(0); ; {
		off += pad(off)
		if off+header > int64(len(b)) {
			return end, whole, false, nil
		}
		length, typ := int64(binary.LittleEndian.Uint16(b[off+4:])), b[off+6]
		if typ == 0 && length == 0 {
			off = (off/block + 1) * block
			continue
		}
		if typ == eof {
			return end, whole, true, nil
		}
		off += header + length
		if off > int64(len(b)) || length > block-header {
			return end, whole, false, nil
		}
		if typ == full || typ == last {
			end, whole = off, true
		}
	}
}
