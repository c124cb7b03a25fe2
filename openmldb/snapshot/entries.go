package snapshot

import (
	"bytes"
	"encoding/binary"
)

// Hidden says why an entry is no row for a scan.
type Hidden string

// The reasons. Where several hold, the first of this order is given.
const (
	Shown       Hidden = ""
	Overwritten Hidden = "overwritten" // a newer version of the key is there
	Deleted     Hidden = "deleted"     // by a tombstone
	Expired     Hidden = "expired"     // by the index's TTL
)

// Entries gives every entry of an index, hidden ones too, in ascending order of Compare and the newest version of a key first. It is for people
// who look into a checkpoint; exports use Scan, which decides in the same way. What its methods return is valid until the next call of Next.
type Entries struct {
	it   *Iter
	why  Hidden
	live bool // the newest version of the key is no tombstone
}

// Entries starts at the first entry of an index. nowMs is the time at which TTLs are judged; 0: no entry is expired.
func (db *DB) Entries(ix Index, nowMs int64) (*Entries, error) {
	it, err := db.Scan(ScanOptions{Index: ix, NowMs: nowMs})
	if err != nil {
		return nil, err
	}
	return &Entries{it: it}, nil
}

// Next steps to the next entry. After false, Err says whether these were all.
func (e *Entries) Next() bool {
	it := e.it
	for it.move() {
		r := it.merge.heap[0]
		user := r.user
		older := it.key != nil && bytes.Equal(user, it.key)
		if it.expiry.lat && it.key != nil && !bytes.Equal(prefixOf(user), prefixOf(it.key)) {
			it.rank = 0
		}
		it.key = user
		if id := it.ix.TsColID; id != nil {
			n := len(user) - tsSize - 4
			if n < 0 {
				return it.end(r.corrupt("a key is too short for a column family of several indexes"))
			}
			if binary.LittleEndian.Uint32(user[n:]) != *id {
				continue
			}
		}
		k := kind(r.trailer)
		live, err := it.live(r, k)
		if err != nil {
			return it.end(err)
		}
		it.run = r
		if e.why = e.judge(older, live, user); k != kindValue {
			continue // a tombstone has no row to show
		}
		return true
	}
	return false
}

func (e *Entries) judge(older, live bool, user []byte) Hidden {
	it := e.it
	switch {
	case older && e.live:
		return Overwritten
	case older, !live:
		if !older {
			e.live = false
		}
		return Deleted
	}
	e.live = true
	if it.expiry.abs || it.expiry.lat {
		it.rank++
		if len(user) >= tsSize && it.expiry.hides(binary.LittleEndian.Uint64(user[len(user)-tsSize:]), it.rank) {
			return Expired
		}
	}
	return Shown
}

// Hidden is why a scan leaves the entry out.
func (e *Entries) Hidden() Hidden { return e.why }

// PK, Ts, Value and Seq are those of Iter.
func (e *Entries) PK() []byte    { return e.it.PK() }
func (e *Entries) Ts() uint64    { return e.it.Ts() }
func (e *Entries) Value() []byte { return e.it.Value() }
func (e *Entries) Seq() uint64   { return e.it.Seq() }

// Err is the reason why Next was false, nil at the end of the entries.
func (e *Entries) Err() error { return e.it.Err() }

// Close gives the files back.
func (e *Entries) Close() error { return e.it.Close() }
