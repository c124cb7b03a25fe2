package binlog

import (
	"context"
	"fmt"
)

// Mark identifies one entry, so that a forked log is noticed (design.md §5.2).
type Mark struct {
	Index uint64 // 0 = no entry
	Term  uint64
	CRC   uint32
	End   Position // right behind it
}

// MarkOf is the mark of an entry.
func MarkOf(e *Entry) Mark { return Mark{Index: e.Index, Term: e.Term, CRC: e.CRC(), End: e.End} }

// LastIndex is the physical end of the log in dir: the index of the last whole entry in its files, 0 if there is none.
func LastIndex(ctx context.Context, fsys FS, dir string) (uint64, error) {
	m, err := Last(ctx, fsys, dir)
	return m.Index, err
}

// Last is the mark of the last whole entry in the files of dir. It reads blocks from the end of the newest file backwards until one
// holds a beginning of an entry: normally one block.
func Last(ctx context.Context, fsys FS, dir string) (Mark, error) {
	files, err := list(ctx, fsys, dir)
	if err != nil {
		return Mark{}, err
	}
	for i := len(files) - 1; i >= 0; i-- {
		if files[i].First == 0 && files[i].Err == nil {
			continue
		}
		m, err := lastOf(ctx, fsys, files[i])
		if err != nil || m.Index != 0 {
			return m, err
		}
	}
	return Mark{}, nil
}

// lastOf finds the last whole entry of one file. At a block's beginning stands a record or the continuation of one, so reading can begin
// at any block; continuations without their beginning are passed over.
func lastOf(ctx context.Context, fsys FS, f File) (Mark, error) {
	h, err := fsys.Open(f.Path)
	if err != nil {
		return Mark{}, fmt.Errorf("open log file: %w", err)
	}
	defer h.Close() // read only: nothing can be lost by it
	fi, err := h.Stat()
	if err != nil {
		return Mark{}, fmt.Errorf("stat log file %s: %w", f.Path, err)
	}
	return lastFromEnd(ctx, &scanner{h: h, max: maxRecordLen}, f, fi.Size())
}

func lastFromEnd(ctx context.Context, s *scanner, f File, size int64) (Mark, error) {
	for back := int64(1); ; back *= 2 {
		if err := ctx.Err(); err != nil {
			return Mark{}, err
		}
		from := max(0, size/BlockSize-back+1) * BlockSize
		m, err := lastFrom(s, f, from)
		if m.Index == 0 && from > 0 && isCorrupt(err) {
			continue // perhaps what an EOF record further up has put out of force
		}
		if err != nil || m.Index != 0 || from == 0 {
			return m, err
		}
	}
}

func lastFrom(s *scanner, f File, pos int64) (m Mark, err error) {
	s.drop()
	var e Entry
	for {
		rec, st, err := s.record(pos)
		switch {
		case err != nil:
			return m, fmt.Errorf("read log file %s: %w", f.Path, err)
		case st == bad:
			return m, &CorruptError{File: f.Path, Offset: rec.badAt, Reason: rec.reason}
		case st != found:
			return m, nil
		}
		if err := e.decode(rec.payload); err != nil {
			return m, &CorruptError{File: f.Path, Offset: rec.start, Reason: "not a log entry: " + err.Error()}
		}
		pos = rec.end
		if e.Index > m.Index {
			e.End = Position{f.Num, rec.end}
			m = MarkOf(&e)
		}
	}
}
