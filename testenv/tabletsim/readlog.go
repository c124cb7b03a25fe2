package tabletsim

import (
	"errors"
	"iter"

	"omsync/openmldb/pb/apipb"
)

// Logged is one entry of a log with its row.
type Logged struct {
	Index   uint64
	Term    uint64
	Method  apipb.MethodType
	Time    uint64
	Dims    []Dim
	Version uint8 // of the row's schema
	Values  []any // nil of a delete
}

// Index0 tells whether the entry belongs to base index 0 in its partition.
func (l Logged) Index0() bool {
	for _, d := range l.Dims {
		if d.Idx == 0 {
			return true
		}
	}
	return false
}

var errStop = errors.New("stop")

// ReadLog visits the entries of a log directory in order, with this package's own reader.
func ReadLog(dir string, s *Schema) iter.Seq2[Logged, error] {
	return func(yield func(Logged, error) bool) {
		err := replay(dir, func(_ uint64, e *apipb.LogEntry) error {
			l := Logged{Index: e.GetLogIndex(), Term: e.GetTerm(), Method: e.GetMethodType(), Time: e.GetTs()}
			for _, d := range e.GetDimensions() {
				l.Dims = append(l.Dims, Dim{d.GetIdx(), d.GetKey()})
			}
			if l.Method != apipb.MethodType_kDelete {
				row, err := s.plain(e.GetValue())
				if err == nil {
					l.Values, err = s.DecodeRow(row)
				}
				if err != nil {
					return err
				}
				l.Version = row[1]
			}
			if !yield(l, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(Logged{}, err)
		}
	}
}
