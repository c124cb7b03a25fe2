package binlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// SeekStart stands before the oldest entry of the directory, whatever its index.
func (r *Reader) SeekStart() error {
	err := r.Close()
	r.begin(0)
	return err
}

// begin forgets where the reader stood.
func (r *Reader) begin(want uint64) {
	r.last, r.want, r.broken, r.suspect, r.passed = 0, want, false, nil, 0
	r.sawNewer, r.again, r.failed, r.held = false, false, nil, false
	r.cur = openFile{}
}

// Seek makes entry index (≥ 1) the next one returned. If it is not written yet, Next answers ErrTail until it is; if the source left it out, the
// entry after the hole comes next and the hole is counted. *TrimmedError: the log begins after it. In a long file the place is found by halving,
// so that damage and holes before it are not seen.
func (r *Reader) Seek(ctx context.Context, index uint64) error {
	if index == 0 {
		return errors.New("seek log: indexes begin at 1")
	}
	if err := r.Close(); err != nil {
		return err
	}
	r.begin(index)
	files, err := list(ctx, r.fsys, r.dir)
	if err != nil {
		return err
	}
	at, err := fileOf(ctx, r.fsys, files, index)
	if err != nil {
		return err
	}
	if at < 0 {
		for _, f := range files {
			if f.Err != nil && !r.opts.SkipBadBlocks {
				return f.Err // it stands before the first readable entry: who knows what it held
			}
			if f.First != 0 && f.Err == nil && !r.opts.SkipBadBlocks {
				return &TrimmedError{Dir: r.dir, Want: index, First: f.First}
			}
		}
		return nil // nothing there, or only damage: Next begins at the oldest file
	}
	if err := r.open(entryName{files[at].Num, files[at].Name}); err != nil {
		return err
	}
	if r.cur.pos, err = r.halve(ctx, files[at].Size, index); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		give, err := r.step()
		if errors.Is(err, ErrTail) {
			return nil
		}
		if err != nil {
			r.failed = err
			return err
		}
		if give {
			r.held = true
			return nil
		}
	}
}

// halve finds a block of the current file from where on reading meets index soon: the last one behind whose beginning the first entry comes
// before index. Reading can begin at any block, for pieces of an entry that began earlier are recognized as such.
func (r *Reader) halve(ctx context.Context, size int64, index uint64) (int64, error) {
	lo, hi := int64(0), size/BlockSize // lo is such a block
	for hi-lo > halveBlocks {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		mid := lo + (hi-lo)/2
		rec, st, err := r.scan.record(mid * BlockSize)
		if err != nil {
			return 0, fmt.Errorf("read log file %s: %w", r.cur.path, err)
		}
		var e Entry
		if st == found && e.decode(rec.payload) == nil && e.Index < index {
			lo = mid
		} else {
			hi = mid // behind index, behind the end of the log, or damaged
		}
	}
	return lo * BlockSize, nil
}

const halveBlocks = 64 // reading so many is one system call or four

// fileOf finds the file to begin at for index: the one with the largest first index ≤ index, and an earlier one if that still holds index, for
// of repeated entries the first wins. -1: the log begins after index.
func fileOf(ctx context.Context, fsys FS, files []File, index uint64) (int, error) {
	at := -1
	for i, f := range files {
		if f.First != 0 && f.First <= index {
			at = i
		}
	}
	for prev := at - 1; prev >= 0; prev-- {
		if files[prev].First == 0 {
			continue
		}
		tail, err := lastOf(ctx, fsys, files[prev])
		if isCorrupt(err) || isNotExist(err) {
			break // index stands in a later file; damage before it is not ours
		}
		if err != nil {
			return 0, err
		}
		if tail.Index < index {
			break
		}
		at = prev
	}
	return at, nil
}

// SeekPosition goes on at p, where the entry expect stood or will stand, without reading what is before it. Where p does not fit the
// directory any more, it does what Seek(expect) does.
func (r *Reader) SeekPosition(ctx context.Context, p Position, expect uint64) error {
	if expect == 0 {
		return errors.New("seek log: indexes begin at 1")
	}
	if err := r.Close(); err != nil {
		return err
	}
	r.begin(expect)
	ok, err := r.openAt(ctx, p, expect)
	if err != nil {
		return err
	}
	if !ok {
		return r.Seek(ctx, expect)
	}
	return nil
}

func (r *Reader) openAt(ctx context.Context, p Position, expect uint64) (bool, error) {
	ns, err := names(r.fsys, r.dir)
	if err != nil {
		return false, err
	}
	for _, n := range ns {
		if n.num != p.File {
			continue
		}
		if err := r.open(n); err != nil {
			if isNotExist(err) {
				return false, nil
			}
			return false, err
		}
		fi, err := r.cur.h.Stat()
		if err != nil {
			return false, fmt.Errorf("stat log file %s: %w", filepath.Join(r.dir, n.name), err)
		}
		if p.Offset < 0 || fi.Size() < p.Offset {
			return false, nil
		}
		r.cur.pos, r.cur.high = p.Offset, p.Offset
		r.last = expect - 1
		rec, st, err := r.scan.record(p.Offset)
		if err != nil {
			return false, fmt.Errorf("read log file %s: %w", r.cur.path, err)
		}
		if st == bad || rec.suspect >= 0 {
			return false, nil
		}
		if st == found {
			var e Entry
			return e.decode(rec.payload) == nil && e.Index == expect, nil
		}
		return r.isEnd(ctx, p, expect, fi.Size())
	}
	return false, nil
}

// isEnd tells whether p, where nothing stands yet, is the end of the log in the current file, with expect still to come. In a file of another
// replica the same offset may lie inside an entry that is being written.
func (r *Reader) isEnd(ctx context.Context, p Position, expect uint64, size int64) (bool, error) {
	defer r.scan.drop()
	m, err := lastFromEnd(ctx, &r.scan, File{Num: p.File, Path: r.cur.path}, size)
	if isCorrupt(err) {
		return false, nil
	}
	if err != nil || m.Index >= expect {
		return false, err
	}
	rec, st, err := r.scan.record(m.End.Offset) // 0 if the file holds no entry
	if err != nil {
		return false, fmt.Errorf("read log file %s: %w", r.cur.path, err)
	}
	return rec.suspect < 0 && (st == wait || st == ended && p.Offset <= rec.end), nil
}
