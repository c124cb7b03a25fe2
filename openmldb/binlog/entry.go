package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"
)

// Method says what an entry does.
type Method uint8

const (
	Put    Method = 1
	Delete Method = 2
)

func (m Method) String() string {
	switch m {
	case Put:
		return "put"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("method %d", uint8(m))
}

// Dim is one index key of an entry. Idx is the index's place in the table's column_key list.
type Dim struct {
	Key []byte
	Idx uint32
}

// Position is a place between two entries: offset bytes into file number File.
type Position struct {
	File   uint64
	Offset int64
}

// Entry is one decoded LogEntry (formats.md §4.3). It and all it points to are valid until the next call on the reader.
type Entry struct {
	Index  uint64
	Term   uint64
	Method Method
	TS     uint64 // put time in ms; of a delete the first ts that stays, seen from above (start, inclusive)
	HasTS  bool
	EndTS  *uint64  // delete only: exclusive lower end, nil = 0
	TsName string   // delete only: the ts column it speaks of, empty = not said
	Dims   []Dim    // only the indexes whose key lives in this partition
	Value  []byte   // the row as stored: a snappy block where the table is compressed
	Pos    Position // where the entry's first record begins
	End    Position // right behind it: where reading goes on
	Size   int      // bytes of the encoded entry

	end uint64
}

// Key0 is the key of base index 0. Without one the entry does not concern that index: the row lives in another partition.
func (e *Entry) Key0() ([]byte, bool) {
	for i := range e.Dims {
		if e.Dims[i].Idx == 0 {
			return e.Dims[i].Key, true
		}
	}
	return nil, false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC is what two replicas' entries of one index are compared by (design.md §5.2): crc32c over
//
//	u64 term, u64 log index, u8 method, u8 has ts, u64 ts, u32 number of dims, {u32 idx, u32 key length, key}*, u64 value length, value
//
// with little-endian numbers. It does not depend on how the entry was encoded.
func (e *Entry) CRC() uint32 {
	var b [64]byte
	h := binary.LittleEndian.AppendUint64(b[:0], e.Term)
	h = binary.LittleEndian.AppendUint64(h, e.Index)
	has := byte(0)
	if e.HasTS {
		has = 1
	}
	h = append(h, byte(e.Method), has)
	h = binary.LittleEndian.AppendUint64(h, e.TS)
	h = binary.LittleEndian.AppendUint32(h, uint32(len(e.Dims)))
	crc := crc32.Update(0, castagnoli, h)
	for i := range e.Dims {
		h = binary.LittleEndian.AppendUint32(b[:0], e.Dims[i].Idx)
		h = binary.LittleEndian.AppendUint32(h, uint32(len(e.Dims[i].Key)))
		crc = crc32.Update(crc, castagnoli, h)
		crc = crc32.Update(crc, castagnoli, e.Dims[i].Key)
	}
	h = binary.LittleEndian.AppendUint64(b[:0], uint64(len(e.Value)))
	crc = crc32.Update(crc, castagnoli, h)
	return crc32.Update(crc, castagnoli, e.Value)
}

// field numbers of openmldb.api.LogEntry and Dimension
const (
	fTerm   = 1
	fIndex  = 2
	fValue  = 4
	fTS     = 5
	fDims   = 6
	fMethod = 7
	fEndTS  = 9
	fTsName = 10

	fDimKey = 1
	fDimIdx = 2
)

// decode fills e from an encoded LogEntry. Byte fields point into b. Unknown fields, and known ones of another wire type, are passed over as
// protobuf does; a method that is neither put nor delete is refused, for nobody can say what it does to the rows.
func (e *Entry) decode(b []byte) error {
	dims, name, method := e.Dims[:0], e.TsName, int32(Put)
	*e = Entry{Dims: dims, Size: len(b)}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		switch {
		case typ == protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			switch num {
			case fTerm:
				e.Term = v
			case fIndex:
				e.Index = v
			case fTS:
				e.TS, e.HasTS = v, true
			case fMethod:
				method = int32(v)
			case fEndTS:
				e.end = v
				e.EndTS = &e.end
			}
		case typ == protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			switch num {
			case fValue:
				e.Value = v
			case fTsName:
				if name != string(v) {
					name = string(v)
				}
				e.TsName = name
			case fDims:
				d, err := decodeDim(v)
				if err != nil {
					return err
				}
				e.Dims = append(e.Dims, d)
			}
		default:
			n := protowire.ConsumeFieldValue(num, typ, b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
		}
	}
	if e.Index == 0 {
		return errors.New("no log index")
	}
	if method != int32(Put) && method != int32(Delete) {
		return fmt.Errorf("unknown method %d", method)
	}
	e.Method = Method(method)
	return nil
}

func decodeDim(b []byte) (d Dim, err error) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return d, protowire.ParseError(n)
		}
		b = b[n:]
		switch {
		case num == fDimKey && typ == protowire.BytesType:
			d.Key, n = protowire.ConsumeBytes(b)
		case num == fDimIdx && typ == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			d.Idx = uint32(v)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return d, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return d, nil
}
