package snapshot

import (
	"encoding/binary"
	"fmt"
	"sort"
)

// run walks a sorted run: files of one level that do not overlap, or one file of level 0.
type run struct {
	db     *DB
	files  []*fileMeta
	before []byte // exclusive end, or nil
	order  int    // among the runs of a family; the smaller is newer

	opened int // files so far
	ref    *tableRef
	index  tableIter
	reader blockReader
	block  entries

	user    []byte // user key of the current entry
	trailer uint64
	last    []byte // no key of the current block is behind it
	limited bool   // the current block can hold keys not before `before`
	done    bool
}

// within keeps the files of a run that can hold keys in [from, before); nil is no limit.
func within(files []*fileMeta, from, before []byte) []*fileMeta {
	if from != nil {
		files = files[sort.Search(len(files), func(i int) bool { return Compare(files[i].largest.user, from) >= 0 }):]
	}
	if before != nil {
		files = files[:sort.Search(len(files), func(i int) bool { return Compare(files[i].smallest.user, before) >= 0 })]
	}
	return files
}

func newRun(db *DB, files []*fileMeta, order int, before []byte) *run {
	return &run{db: db, files: files, before: before, order: order, reader: blockReader{ahead: uint64(db.opts.ReadAhead)}}
}

// first steps to the first entry not before from, or the first of all if from is nil.
func (r *run) first(from []byte) (bool, error) {
	if from == nil {
		return r.advance()
	}
	if ok, err := r.nextFile(); !ok {
		return false, err
	}
	ok, err := r.index.seek(from)
	if err != nil {
		return false, err
	}
	if !ok {
		return r.advance()
	}
	if err := r.load(); err != nil {
		return false, err
	}
	if r.block.seek(from) {
		return r.take()
	}
	return r.advance()
}

// advance goes on when the block is used up.
func (r *run) advance() (bool, error) {
	for !r.done {
		if r.block.bad != "" {
			return false, r.corrupt(r.block.bad)
		}
		ok := false
		var err error
		if r.ref != nil {
			if ok, err = r.index.next(); err != nil {
				return false, err
			}
		}
		if !ok {
			if ok, err = r.nextFile(); !ok {
				return false, err
			}
			continue
		}
		if err := r.load(); err != nil {
			return false, err
		}
		if r.block.next() {
			return r.take()
		}
	}
	return false, nil
}

func (r *run) nextFile() (bool, error) {
	r.block.clear()
	if err := r.close(); err != nil {
		return false, err
	}
	if r.opened >= len(r.files) {
		r.done = true
		return false, nil
	}
	ref, err := r.db.tables.acquire(r.files[r.opened].num)
	if err != nil {
		return false, err
	}
	r.opened++
	r.ref = ref
	r.index.open(ref.t)
	r.reader.open(ref.t)
	return true, nil
}

func (r *run) load() error {
	x := r.index.at()
	b, err := r.reader.read(x.handle)
	if err != nil {
		return err
	}
	if n := len(b); n >= 4 && binary.LittleEndian.Uint32(b[n-4:])&hashIndexFlag != 0 {
		return unsupported(r.ref.t.name, "a hash index in a data block")
	}
	if r.block.reset(b); r.block.bad != "" {
		return r.corrupt(r.block.bad)
	}
	r.last = x.key
	r.limited = r.before != nil && Compare(r.last, r.before) >= 0
	return nil
}

// take reads the entry the block stands at.
func (r *run) take() (bool, error) {
	k := r.block.key
	n := len(k) - trailerSize
	if n < tsSize {
		return false, r.corrupt("a key is shorter than a ts and a sequence number")
	}
	r.user, r.trailer = k[:n:n], binary.LittleEndian.Uint64(k[n:])
	if r.ref.t.override {
		r.trailer = r.trailer&0xff | r.ref.t.meta.maxSeq<<8
	}
	if r.limited && Compare(r.user, r.before) >= 0 {
		r.done = true
		return false, r.close()
	}
	return true, nil
}

func (r *run) corrupt(why string) error {
	return corrupt(r.ref.t.name, int64(r.index.at().handle.offset), "%s", why)
}

// close gives the file back.
func (r *run) close() error {
	if r.ref == nil {
		return nil
	}
	ref := r.ref
	r.ref = nil
	return r.db.tables.release(ref)
}

// strange says why an entry of kind k, which is neither a value nor a deletion, ends the scan.
func (r *run) strange(k kind) error {
	switch k {
	case kindMerge:
		return unsupported(r.ref.t.name, "a merge operand")
	case kindBlobIndex:
		return unsupported(r.ref.t.name, "a blob index")
	case kindWideColumns:
		return unsupported(r.ref.t.name, "a wide-column entity")
	case kindDeleteWithTS:
		return unsupported(r.ref.t.name, "a deletion with a timestamp")
	}
	return r.corrupt(fmt.Sprintf("an entry has kind %#x", byte(k)))
}
