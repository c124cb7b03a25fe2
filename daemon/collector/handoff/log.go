package handoff

import (
	"errors"
	"fmt"
	"io"
	"math"

	"omsync/openmldb/binlog"
)

// Index0 is what the planner must know of a table's base index 0. The collector fills it from the table's meta.
type Index0 struct {
	// TsName is the index's ts column; empty: it has none, and the ts of its rows is the put time.
	TsName string
	// Key appends the sort key of an index key to dst: the checkpoint's user key without its ts.
	Key func(dst, pk []byte) []byte
	// Row reads a stored value: the ts column (0 where there is none) and the hash of the row.
	Row func(value []byte) (ts uint64, hash [16]byte, err error)
}

// Touches says whether a delete entry concerns index 0, and whether it names a key of it. A delete with keys concerns the indexes it names; one
// without concerns each index whose ts column it names, and every index without a ts column whatever it names (DiskTable::Delete).
func (ix *Index0) Touches(e *binlog.Entry) (key []byte, keyless, yes bool) {
	if len(e.Dims) > 0 {
		key, yes = e.Key0()
		return key, false, yes
	}
	return nil, true, ix.TsName == "" || ix.TsName == e.TsName
}

// ShortLogError: the log ends before z, though z was read from it.
type ShortLogError struct{ Last, Z uint64 }

func (e *ShortLogError) Error() string {
	return fmt.Sprintf("the log ends at entry %d, but %d was read before: the partition was re-created, or its log files are damaged", e.Last, e.Z)
}

// EntryLog is the Log of a table's log files up to z.
type EntryLog struct {
	Foreign uint64 // puts without a key of index 0 so far
	First   uint64 // first retained index, 0 before the first Next

	r    *binlog.Reader
	z    uint64
	ix   Index0
	mark binlog.Mark
	key  []byte
}

// NewLog reads the entries ≤ z from r, which stands at the start of the retained log.
func NewLog(r *binlog.Reader, z uint64, ix Index0) *EntryLog {
	return &EntryLog{r: r, z: z, ix: ix}
}

// Mark is the mark of the last entry read: of z, once Next has answered io.EOF.
func (l *EntryLog) Mark() binlog.Mark { return l.mark }

// Next implements Log. The errors are those of binlog.Reader.Next, and *ShortLogError.
func (l *EntryLog) Next() (Entry, error) {
	for l.mark.Index < l.z {
		e, err := l.r.Next()
		if errors.Is(err, binlog.ErrTail) {
			return Entry{}, &ShortLogError{l.r.Last(), l.z}
		}
		if err != nil {
			return Entry{}, err
		}
		if l.First == 0 {
			l.First = e.Index
		}
		if e.Index > l.z {
			return Entry{}, fmt.Errorf("log entry %d is missing: %d comes instead, though %d was read before", l.z, e.Index, l.z)
		}
		if e.Index == l.z {
			l.mark = binlog.MarkOf(e)
		} else {
			l.mark.Index = e.Index
		}
		x, ok, err := l.entry(e)
		if err != nil {
			return Entry{}, fmt.Errorf("log entry %d (file %d, offset %d): %w", e.Index, e.Pos.File, e.Pos.Offset, err)
		}
		if ok {
			return x, nil
		}
	}
	return Entry{}, io.EOF
}

func (l *EntryLog) entry(e *binlog.Entry) (x Entry, ok bool, err error) {
	x.Index = e.Index
	if e.Method == binlog.Delete {
		pk, keyless, yes := l.ix.Touches(e)
		if !yes {
			return x, false, nil
		}
		x.Op, x.StartTs = DeleteAll, math.MaxUint64
		if !keyless {
			l.key = l.ix.Key(l.key[:0], pk)
			x.Op, x.Key = Delete, l.key
		}
		if e.HasTS {
			x.StartTs = e.TS
		}
		if e.EndTS != nil {
			x.EndTs = *e.EndTS
		}
		return x, true, nil
	}
	pk, mine := e.Key0()
	if !mine {
		l.Foreign++
		return x, false, nil
	}
	l.key = l.ix.Key(l.key[:0], pk)
	x.Op, x.Key = Put, l.key
	if x.Ts, x.Hash, err = l.ix.Row(e.Value); err != nil {
		return x, false, err
	}
	if l.ix.TsName == "" {
		x.Ts = e.TS
	}
	x.PutMs = math.MaxUint64
	if e.HasTS {
		x.PutMs = e.TS
	}
	return x, true, nil
}
