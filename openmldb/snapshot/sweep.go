package snapshot

import "sort"

// sweep follows the range tombstones of all runs along a scan. Each run has at most the fragments of one file in memory.
type sweep struct {
	db    *DB
	runs  []sweepRun
	seq   uint64 // of the newest tombstone over the current place
	until bound  // where that can change
	open  bool   // until is set; otherwise nothing changes any more
}

type sweepRun struct {
	files []*fileMeta // files[0] is the current one
	frags []fragment  // of files[0] from the current place on
	read  bool        // frags was read
}

func newSweep(db *DB, c *family, from, before []byte) *sweep {
	s := &sweep{db: db, open: true} // until is before every key: the first step looks
	for _, files := range c.runs {
		if files = within(files, from, before); len(files) > 0 {
			s.runs = append(s.runs, sweepRun{files: files})
		}
	}
	return s
}

// over gives the sequence number of the newest tombstone over an entry, 0 if there is none. Entries come in ascending order.
func (s *sweep) over(user []byte, trailer uint64) (uint64, error) {
	if !s.open || s.until.user != nil && s.until.compare(user, trailer) > 0 {
		return s.seq, nil
	}
	s.seq, s.open = 0, false
	for i := range s.runs {
		r := &s.runs[i]
		seq, until, ok, err := r.step(s.db, user, trailer)
		if err != nil {
			return 0, err
		}
		s.seq = max(s.seq, seq)
		if ok && (!s.open || until.compare(s.until.user, s.until.trailer) < 0) {
			s.until, s.open = until, true
		}
	}
	return s.seq, nil
}

// step gives the tombstone of the run over an entry and where that changes; ok is false if it never does.
func (r *sweepRun) step(db *DB, user []byte, trailer uint64) (seq uint64, until bound, ok bool, err error) {
	for len(r.files) > 0 {
		if !r.read {
			f := r.files[0]
			if f.smallest.compare(user, trailer) > 0 {
				return 0, f.smallest, true, nil
			}
			if r.frags, err = db.fragmentsOf(f.num); err != nil {
				return 0, bound{}, false, err
			}
			r.read = true
		}
		// Usually it is the next one; after a jump there are many to pass.
		if n := len(r.frags); n > 0 && r.frags[0].hi.compare(user, trailer) <= 0 {
			r.frags = r.frags[1:]
			r.frags = r.frags[sort.Search(n-1, func(i int) bool { return r.frags[i].hi.compare(user, trailer) > 0 }):]
		}
		if len(r.frags) == 0 {
			r.files, r.read = r.files[1:], false
			continue
		}
		f := &r.frags[0]
		if f.lo.compare(user, trailer) > 0 {
			return 0, f.lo, true, nil
		}
		return f.seq, f.hi, true, nil
	}
	return 0, bound{}, false, nil
}

func (db *DB) fragmentsOf(num uint64) ([]fragment, error) {
	ref, err := db.tables.acquire(num)
	if err != nil {
		return nil, err
	}
	frags, err := ref.t.fragments()
	return frags, errOr(err, db.tables.release(ref))
}
