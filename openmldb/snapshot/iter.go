package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// ScanOptions says which rows a scan gives.
type ScanOptions struct {
	Index  Index
	After  []byte // user key, as Iter.Key gives it: only rows behind it; nil: from the beginning
	Before []byte // user key: only rows before it; nil: to the end
	NowMs  int64  // hide what upstream's readers hide at this time (formats.md §3.4); 0: hide nothing
	// Interrupt is asked now and then, also while no row is to be given: a snapshot may hold nothing but expired ones. Its error ends the scan.
	Interrupt func() error
}

// Iter gives the rows of a scan in ascending order of Compare. What its methods return is valid until the next call of Next or Close.
type Iter struct {
	db     *DB
	ix     Index
	expiry expiry
	from   []byte // where the scan begins in the files
	after  []byte // rows up to here only count for the rank; nil: passed
	merge  merge
	sweep  *sweep

	interrupt func() error
	steps     uint

	started bool
	done    bool
	err     error
	run     *run   // with the current row
	key     []byte // of the last entry, whether it was a row or not; nil before the first
	kept    []byte // holds key when its block goes away
	rank    uint64
	expired uint64
}

// Scan starts a scan. The index's family has to be there.
func (db *DB) Scan(o ScanOptions) (*Iter, error) {
	c, err := db.family(o.Index.Family)
	if err != nil {
		return nil, fmt.Errorf("scan snapshot: %w", err)
	}
	it := &Iter{db: db, ix: o.Index, expiry: o.Index.TTL.at(o.NowMs), interrupt: o.Interrupt}
	if o.After != nil {
		if len(o.After) < o.Index.suffix() {
			return nil, fmt.Errorf("scan snapshot: %q is no key of column family %s", o.After, c.name)
		}
		it.after = bytes.Clone(o.After)
		it.from = it.after
		if it.expiry.lat { // the rank counts from the newest row of the pk on
			it.from = binary.LittleEndian.AppendUint64(bytes.Clone(prefixOf(o.After)), maxTrailer)
		}
	}
	before := bytes.Clone(o.Before)
	for i, files := range c.runs {
		if files = within(files, it.from, before); len(files) > 0 {
			it.merge.runs = append(it.merge.runs, newRun(db, files, i, before))
		}
	}
	it.sweep = newSweep(db, c, it.from, before)
	return it, nil
}

// askEvery is the number of entries between two questions to Interrupt.
const askEvery = 1024

// Next steps to the next row. After false, Err says whether the scan is complete.
func (it *Iter) Next() bool {
	for it.move() {
		if it.steps++; it.steps%askEvery == 1 && it.interrupt != nil {
			if err := it.interrupt(); err != nil {
				return it.end(err)
			}
		}
		r := it.merge.heap[0]
		user := r.user
		if it.key != nil {
			if bytes.Equal(user, it.key) { // an older version
				it.key = user
				continue
			}
			if it.expiry.lat && !bytes.Equal(prefixOf(user), prefixOf(it.key)) {
				it.rank = 0
			}
		}
		it.key = user
		if k := kind(r.trailer); k != kindValue || it.sweep.open {
			live, err := it.live(r, k)
			if err != nil {
				return it.end(err)
			}
			if !live {
				continue
			}
		}
		if it.ix.TsColID != nil {
			n := len(user) - tsSize - 4
			if n < 0 {
				return it.end(r.corrupt("a key is too short for a column family of several indexes"))
			}
			if binary.LittleEndian.Uint32(user[n:]) != *it.ix.TsColID {
				continue
			}
		}
		if it.after != nil && Compare(user, it.after) > 0 {
			it.after = nil
		}
		if it.expiry.abs || it.expiry.lat {
			it.rank++
			if it.expiry.hides(binary.LittleEndian.Uint64(user[len(user)-tsSize:]), it.rank) {
				if it.after == nil {
					it.expired++
				}
				continue
			}
		}
		if it.after == nil {
			it.run = r
			return true
		}
	}
	return false
}

// move steps to the next entry of the merge.
func (it *Iter) move() bool {
	if it.done {
		return false
	}
	m := &it.merge
	var err error
	if it.started {
		if r := m.heap[0]; r.block.pos == len(r.block.data) { // the next block takes the place of this one, in which key lies
			it.kept = append(it.kept[:0], it.key...)
			it.key = it.kept
		}
		err = m.next()
	} else {
		it.started = true
		err = m.start(it.from)
	}
	if err != nil {
		return it.end(err)
	}
	if len(m.heap) == 0 {
		return it.end(nil)
	}
	return true
}

// live tells whether the newest version of a key, of kind k, is a row that no range tombstone covers.
func (it *Iter) live(r *run, k kind) (bool, error) {
	if k == kindDelete || k == kindSingleDelete {
		return false, nil
	}
	seq, err := it.sweep.over(r.user, r.trailer)
	if err != nil || seq > r.trailer>>8 {
		return false, err
	}
	if k != kindValue {
		return false, r.strange(k)
	}
	return true, nil
}

// end ends the scan, in good order if err is nil.
func (it *Iter) end(err error) bool {
	it.done, it.run, it.key = true, nil, nil
	if err = errOr(err, it.merge.close()); err != nil {
		it.err = fmt.Errorf("scan snapshot: %w", err)
	}
	return false
}

// Key is the user key of the row, fit for ScanOptions.
func (it *Iter) Key() []byte {
	if it.run == nil {
		return nil
	}
	return it.run.user
}

// PK is the index key of the row.
func (it *Iter) PK() []byte {
	k := it.Key()
	n := max(0, len(k)-it.ix.suffix())
	return k[:n:n]
}

// Ts is the index's ts of the row, in ms.
func (it *Iter) Ts() uint64 {
	if k := it.Key(); len(k) >= tsSize {
		return binary.LittleEndian.Uint64(k[len(k)-tsSize:])
	}
	return 0
}

// Value is the row as it is stored; in a table with compression it may be packed (package row).
func (it *Iter) Value() []byte {
	if it.run == nil {
		return nil
	}
	return it.run.block.val
}

// Seq is RocksDB's sequence number of the row, 0 where compaction has dropped it.
func (it *Iter) Seq() uint64 {
	if it.run == nil {
		return 0
	}
	return it.run.trailer >> 8
}

// Expired is the number of rows that were hidden so far, those up to ScanOptions.After not counted.
func (it *Iter) Expired() uint64 { return it.expired }

// Err is the reason why Next was false, nil at the end of the rows.
func (it *Iter) Err() error { return it.err }

// Close gives the files back. It may be called at any time, and twice.
func (it *Iter) Close() error {
	if !it.done {
		it.done, it.run, it.key = true, nil, nil
		if err := it.merge.close(); err != nil {
			return fmt.Errorf("scan snapshot: %w", err)
		}
	}
	return nil
}
