//go:build rocksdb

package snapshot

import "fmt"

// Kinds counts what the files of a checkpoint are made of, for tests that have to know that they have read it: "lz4 with XXH3" (data blocks),
// "level 1" and "index type 2" (files), "range tombstones".
func (db *DB) Kinds(count map[string]int) error {
	for num, o := range db.owners {
		ref, err := db.tables.acquire(num)
		if err != nil {
			return err
		}
		frags, err := ref.t.fragments()
		if err = errOr(err, countBlocks(ref.t, count)); err != nil {
			return errOr(err, db.tables.release(ref))
		}
		count[fmt.Sprintf("level %d", min(o.meta.level, 2))]++
		count["range tombstones"] += len(frags)
		if ref.t.twoLevel {
			count["two-level index"]++
		}
		if ref.t.format.firstKey {
			count["index with first keys"]++
		}
		if err := db.tables.release(ref); err != nil {
			return err
		}
	}
	return nil
}

func countBlocks(t *table, count map[string]int) error {
	var x tableIter
	var r blockReader
	x.open(t)
	r.open(t)
	for {
		ok, err := x.next()
		if !ok {
			return err
		}
		h := x.at().handle
		b, err := r.raw(h)
		if err != nil {
			return err
		}
		count[fmt.Sprintf("%v with %v", compression(b[h.size]), t.footer.checksum)]++
	}
}
