package snapshot

import (
	"bytes"
	"fmt"
)

const idleProbes = 4 // per family; each holds the last block and keeps open the last file it read of every level

// probe looks up keys in one family. It keeps the blocks it read last, so that lookups in ascending order read each block once.
type probe struct {
	db   *DB
	c    *family
	runs []*run // one per file or level, as in family.runs
	at   []spot // the block each run has loaded
}

// spot is a loaded block.
type spot struct {
	handle handle
	valid  bool
}

// Get looks up the row (pk, ts) of an index. The value, as it is stored, belongs to the caller. No TTL is applied.
func (db *DB) Get(ix Index, pk []byte, ts uint64) (value []byte, ok bool, err error) {
	c, err := db.family(ix.Family)
	if err != nil {
		return nil, false, fmt.Errorf("look up in snapshot: %w", err)
	}
	p, err := db.takeProbe(c)
	if err == nil {
		value, ok, err = p.get(ix.Key(nil, pk, ts))
		err = errOr(err, db.putProbe(p, err == nil))
	}
	if err != nil {
		return nil, false, fmt.Errorf("look up in snapshot: %w", err)
	}
	return value, ok, nil
}

func (db *DB) takeProbe(c *family) (*probe, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, ErrClosed
	}
	if idle := db.probes[c.name]; len(idle) > 0 {
		p := idle[len(idle)-1]
		db.probes[c.name] = idle[:len(idle)-1]
		return p, nil
	}
	p := &probe{db: db, c: c, at: make([]spot, len(c.runs))}
	for i := range c.runs {
		r := newRun(db, nil, i, nil)
		r.reader.ahead = 0
		p.runs = append(p.runs, r)
	}
	return p, nil
}

// putProbe keeps a probe for the next lookup, unless it failed.
func (db *DB) putProbe(p *probe, good bool) error {
	db.mu.Lock()
	keep := good && !db.closed && len(db.probes[p.c.name]) < idleProbes
	if keep {
		db.probes[p.c.name] = append(db.probes[p.c.name], p)
	}
	db.mu.Unlock()
	if keep {
		return nil
	}
	return p.close()
}

// get finds the newest version of key over all runs, and whether a range tombstone of any run covers it.
func (p *probe) get(key []byte) (value []byte, ok bool, err error) {
	var best *run
	var over [][]fragment
	for i, files := range p.c.runs {
		found := false
		for _, f := range within(files, key, nil) {
			if Compare(f.smallest.user, key) > 0 {
				break
			}
			// A key at the end of a file can go on in the next one, with its older versions.
			if !found {
				if found, err = p.seek(i, f, key); err != nil {
					return nil, false, err
				}
				if found && (best == nil || less(p.runs[i], best)) {
					best = p.runs[i]
				}
			}
			frags, err := p.db.fragmentsOf(f.num)
			if err != nil {
				return nil, false, err
			}
			if len(frags) > 0 {
				over = append(over, frags)
			}
		}
	}
	if best == nil {
		return nil, false, nil
	}
	k := kind(best.trailer)
	if k == kindDelete || k == kindSingleDelete {
		return nil, false, nil
	}
	for _, frags := range over {
		if covering(frags, key, best.trailer) > best.trailer>>8 {
			return nil, false, nil
		}
	}
	if k != kindValue {
		return nil, false, best.strange(k)
	}
	return bytes.Clone(best.block.val), true, nil
}

// seek moves run i to the newest version of key in file f, if there is one.
func (p *probe) seek(i int, f *fileMeta, key []byte) (bool, error) {
	r, s := p.runs[i], &p.at[i]
	if r.ref == nil || r.ref.num != f.num {
		r.files, r.opened, r.done = []*fileMeta{f}, 0, false
		*s = spot{}
		if ok, err := r.nextFile(); !ok {
			return false, err
		}
	}
	ok, err := r.index.seek(key)
	if !ok {
		return false, err
	}
	if h := r.index.at().handle; !s.valid || s.handle != h {
		s.valid = false
		if err := r.load(); err != nil {
			return false, err
		}
		*s = spot{handle: h, valid: true}
	}
	if !r.block.seek(key) {
		if r.block.bad != "" {
			return false, r.corrupt(r.block.bad)
		}
		return false, nil
	}
	if ok, err := r.take(); !ok {
		return false, err
	}
	return Compare(r.user, key) == 0, nil
}

func (p *probe) close() error {
	var first error
	for _, r := range p.runs {
		if err := r.close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
