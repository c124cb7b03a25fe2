package dest

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// DeletesSuffix of files of deletes.
const DeletesSuffix = ".jsonl"

// Delete is a delete of the log: of the rows with End < ts ≤ Start that one key, or every key of the partition, has at that place of the log.
type Delete struct {
	Index  uint64
	Term   uint64
	Key    []byte  // nil: every key
	Start  *uint64 // inclusive; nil: no upper bound
	End    uint64  // exclusive; a row with ts 0 is never covered
	TimeMs int64   // when the entry was read
}

// AppendDelete adds the line of a delete, as docs/operating.md describes it.
func AppendDelete(dst []byte, d *Delete) ([]byte, error) {
	dst = append(dst, `{"log_index":`...)
	dst = strconv.AppendUint(dst, d.Index, 10)
	dst = append(dst, `,"term":`...)
	dst = strconv.AppendUint(dst, d.Term, 10)
	switch {
	case d.Key == nil:
		dst = append(dst, `,"key":null`...)
	case utf8.Valid(d.Key):
		text, err := json.Marshal(string(d.Key))
		if err != nil {
			return dst, err
		}
		dst = append(dst, `,"key":`...)
		dst = append(dst, text...)
	default:
		dst = append(dst, `,"key_hex":"`...)
		dst = hex.AppendEncode(dst, d.Key)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"start_ts":`...)
	if d.Start == nil || *d.Start == math.MaxUint64 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendUint(dst, *d.Start, 10)
	}
	dst = append(dst, `,"end_ts":`...)
	dst = strconv.AppendUint(dst, d.End, 10)
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, d.TimeMs, 10)
	return append(dst, '}', '\n'), nil
}
