package snapshot

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
)

// noTsColumn stands in a shared family's keys for an index without ts column.
const noTsColumn = math.MaxUint32

// Index says which entries of a checkpoint are the rows of one index of the table (formats.md §3.3, §3.4).
type Index struct {
	Family  string  // column family
	TsColID *uint32 // set if several indexes share the family: the id that stands in the keys of this one
	TTL     TTL
}

// IndexOf derives index idx of a table from its meta data alone. An index that was added at runtime over the same columns as an older one has a
// family of its own until the table is reloaded, which only a checkpoint can tell: DB.IndexOf.
func IndexOf(meta *apipb.TableMeta, idx int) (Index, error) {
	return indexOf(meta, idx, func(string) bool { return false })
}

// IndexOf derives index idx of a table from its meta data and the families that are in this checkpoint.
func (db *DB) IndexOf(meta *apipb.TableMeta, idx int) (Index, error) {
	return indexOf(meta, idx, func(family string) bool { _, ok := db.families[family]; return ok })
}

func indexOf(meta *apipb.TableMeta, idx int, exists func(family string) bool) (Index, error) {
	keys := meta.GetColumnKey()
	if len(keys) == 0 && idx == 0 {
		return Index{Family: "idx0"}, nil
	}
	if idx < 0 || idx >= len(keys) {
		return Index{}, fmt.Errorf("table %s.%s has %d indexes, there is no index %d", meta.GetDb(), meta.GetName(), len(keys), idx)
	}
	ttl, err := ttlOf(keys[idx].GetTtl())
	if err != nil {
		return Index{}, fmt.Errorf("table %s.%s, index %s: %w", meta.GetDb(), meta.GetName(), keys[idx].GetIndexName(), err)
	}
	var group []int // indexes of the family of idx, in order
	for i, k := range keys {
		if sharing(k) == sharing(keys[idx]) {
			group = append(group, i)
		}
	}
	own := func(i int) bool { return i != group[0] && exists(keys[i].GetIndexName()) }
	if own(idx) {
		return Index{Family: keys[idx].GetIndexName(), TTL: ttl}, nil
	}
	group = slices.DeleteFunc(group, own)
	ix := Index{Family: keys[group[0]].GetIndexName(), TTL: ttl}
	if len(group) > 1 {
		id, err := tsColumn(meta, keys[idx])
		if err != nil {
			return Index{}, err
		}
		ix.TsColID = &id
	}
	return ix, nil
}

// sharing is what indexes of one family have in common: their columns in order, as the tablet puts them together (TableIndex::FillIndexVal). An
// index without columns stands under its own name.
func sharing(key *commonpb.ColumnKey) string {
	switch cols := key.GetColName(); len(cols) {
	case 0:
		return key.GetIndexName()
	case 1:
		return cols[0]
	default:
		return strings.Join(cols, "|") + "|"
	}
}

// tsColumn is the position of the index's ts column among all columns, those added later included.
func tsColumn(meta *apipb.TableMeta, key *commonpb.ColumnKey) (uint32, error) {
	if key.GetTsName() == "" {
		return noTsColumn, nil
	}
	for i, c := range slices.Concat(meta.GetColumnDesc(), meta.GetAddedColumnDesc()) {
		if c.GetName() == key.GetTsName() {
			return uint32(i), nil
		}
	}
	return 0, fmt.Errorf("table %s.%s, index %s: there is no column %s, which it takes its ts from", meta.GetDb(), meta.GetName(), key.GetIndexName(), key.GetTsName())
}

// Key appends the user key of (pk, ts) to dst.
func (ix Index) Key(dst, pk []byte, ts uint64) []byte {
	dst = append(dst, pk...)
	if ix.TsColID != nil {
		dst = binary.LittleEndian.AppendUint32(dst, *ix.TsColID)
	}
	return binary.LittleEndian.AppendUint64(dst, ts)
}

// Split cuts a user key of this index; ok is false if the key is of another one or is none.
func (ix Index) Split(key []byte) (pk []byte, ts uint64, ok bool) {
	n := len(key) - ix.suffix()
	if n < 0 || ix.TsColID != nil && binary.LittleEndian.Uint32(key[n:]) != *ix.TsColID {
		return nil, 0, false
	}
	return key[:n:n], binary.LittleEndian.Uint64(key[len(key)-tsSize:]), true
}

// suffix is the number of bytes behind the pk.
func (ix Index) suffix() int {
	if ix.TsColID != nil {
		return tsSize + 4
	}
	return tsSize
}

// TTL says which rows upstream's readers hide though they are still there (formats.md §3.4). The zero value hides none.
type TTL struct {
	Kind typepb.TTLType
	Abs  uint64 // ms; 0: no row is too old
	Lat  uint64 // rows of a pk, newest first; 0: no row is too many
}

func ttlOf(t *commonpb.TTLSt) (TTL, error) {
	k := t.GetTtlType()
	switch k {
	case typepb.TTLType_kAbsoluteTime, typepb.TTLType_kRelativeTime, typepb.TTLType_kLatestTime, typepb.TTLType_kAbsAndLat, typepb.TTLType_kAbsOrLat:
	default:
		return TTL{}, fmt.Errorf("TTL type %d is unknown", k)
	}
	const minute = 60_000
	abs := t.GetAbsTtl()
	if abs > math.MaxInt64/minute { // longer than time itself
		abs = 0
	}
	return TTL{Kind: k, Abs: abs * minute, Lat: t.GetLatTtl()}, nil
}

// expiry is a TTL at one moment.
type expiry struct {
	abs, lat bool   // which part can hide a row at all
	both     bool   // only both together do
	time     uint64 // rows with ts ≤ time are too old
	count    uint64 // rows with rank > count are too many
}

// at gives the expiry at nowMs; 0 means that nothing is hidden.
func (t TTL) at(nowMs int64) expiry {
	if nowMs <= 0 {
		return expiry{}
	}
	var e expiry
	if t.Abs > 0 && uint64(nowMs) > t.Abs {
		e.abs, e.time = true, uint64(nowMs)-t.Abs
	}
	e.lat, e.count = t.Lat > 0, t.Lat
	switch t.Kind {
	case typepb.TTLType_kLatestTime:
		e.abs = false
	case typepb.TTLType_kAbsAndLat:
		// A part that never hides keeps every row.
		e.both = e.abs && e.lat
		e.abs, e.lat = e.both, e.both
	case typepb.TTLType_kAbsOrLat:
	default:
		e.lat = false
	}
	return e
}

// hides tells whether the rank-th newest row (from 1) of its pk is hidden.
func (e *expiry) hides(ts, rank uint64) bool {
	old, many := e.abs && ts <= e.time, e.lat && rank > e.count
	if e.both {
		return old && many
	}
	return old || many
}
