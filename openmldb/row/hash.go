package row

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"omsync/openmldb/pb/typepb"
)

// Hash is equal for two rows of the table that say the same, and differs for others (128 bits): bytes of NULL columns and the width of string
// offsets do not count, nor do columns that are NULL or missing at the end, so that rows of two schema versions can be equal. The row has passed
// Check.
func (s *Set) Hash(row []byte) ([16]byte, error) {
	sc := s.versions[row[1]]
	if sc == nil {
		return [16]byte{}, &VersionError{Version: row[1], Latest: s.latest.id}
	}
	last := len(sc.fields) - 1
	for last >= 0 && sc.Null(row, last) {
		last--
	}
	var h xxh3.Hasher
	var room [128]byte
	buf := room[:0]
	w := offsetWidth(len(row))
	for i := 0; i <= last; i++ {
		if len(buf) > len(room)-16 {
			h.Write(buf)
			buf = room[:0]
		}
		f := &sc.fields[i]
		if row[f.null]&f.bit != 0 {
			buf = append(buf, 0)
			continue
		}
		buf = append(buf, 1)
		switch f.typ {
		case typepb.DataType_kBool:
			buf = append(buf, byte(sc.Int(row, i)))
		case typepb.DataType_kSmallInt:
			buf = append(buf, row[f.at:f.at+2]...)
		case typepb.DataType_kInt, typepb.DataType_kFloat, typepb.DataType_kDate:
			buf = append(buf, row[f.at:f.at+4]...)
		case typepb.DataType_kBigInt, typepb.DataType_kDouble, typepb.DataType_kTimestamp:
			buf = append(buf, row[f.at:f.at+8]...)
		default:
			from, to := sc.bounds(row, w, f.at)
			buf = binary.LittleEndian.AppendUint32(buf, uint32(to-from))
			h.Write(buf)
			h.Write(row[from:to])
			buf = room[:0]
		}
	}
	h.Write(buf)
	return h.Sum128().Bytes(), nil
}
