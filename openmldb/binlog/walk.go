package binlog

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
)

// Tail says how a file ends.
type Tail string

// The ends of a file.
const (
	TailOpen  Tail = ""           // behind a whole record: the tablet may go on here
	TailEOF   Tail = "closed"     // by an end-of-file record; what follows it does not count
	TailCut   Tail = "unfinished" // inside a record: the tablet is writing it, or died over it
	TailZeros Tail = "zeros"      // in zeros behind the last record
)

// Walker visits every whole entry of a directory's files in their order, whatever its index, and passes over damage: it is for people who look into
// a log. Exports use Reader, which stops at damage and at gaps. Memory is bounded by one entry.
type Walker struct {
	// Entry is called for each whole entry. It is valid during the call.
	Entry func(path string, e *Entry) error
	// Damage is called for each place that holds no record, or a record that is no entry; reading goes on at the next record that is whole.
	Damage func(*CorruptError) error
	// Odd is called where zeros or a piece of a record stand between whole records. It is harmless if the next entry's index follows on.
	Odd func(*CorruptError) error
	// Ended is called at the end of each file; at is where its whole records end.
	Ended func(path string, tail Tail, at int64) error
}

// Walk visits all files of dir.
func (w *Walker) Walk(ctx context.Context, fsys FS, dir string) error {
	ns, err := names(fsys, dir)
	if err != nil {
		return err
	}
	s := scanner{max: maxRecordLen}
	for _, n := range ns {
		path := filepath.Join(dir, n.name)
		h, err := fsys.Open(path)
		if isNotExist(err) {
			continue // the tablet trims while we read
		}
		if err != nil {
			return fmt.Errorf("open log file: %w", err)
		}
		s.reset(h)
		tail, at, err := w.file(ctx, &s, n.num, path)
		h.Close() // read only: nothing can be lost by it
		if err == nil {
			err = w.Ended(path, tail, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Walker) file(ctx context.Context, s *scanner, num uint64, path string) (Tail, int64, error) {
	var e Entry
	pos := int64(0)
	for n := 0; ; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return TailOpen, pos, ctx.Err()
		}
		rec, st, err := s.record(pos)
		if err != nil {
			return TailOpen, pos, fmt.Errorf("read log file %s: %w", path, err)
		}
		if rec.suspect >= 0 && st != wait {
			if err := w.Odd(&CorruptError{File: path, Offset: rec.suspect, Reason: "zeros or a piece of a record between whole records"}); err != nil {
				return TailOpen, pos, err
			}
		}
		switch st {
		case found:
			pos = rec.end
			if err := e.decode(rec.payload); err != nil {
				err = w.Damage(&CorruptError{File: path, Offset: rec.start, Reason: "not a log entry: " + err.Error()})
				if err != nil {
					return TailOpen, pos, err
				}
				continue
			}
			e.Pos, e.End = Position{num, rec.start}, Position{num, rec.end}
			if err := w.Entry(path, &e); err != nil {
				return TailOpen, pos, err
			}
		case ended:
			return TailEOF, rec.start, nil
		case wait:
			return s.tail(rec.suspect, pos)
		case bad:
			if err := w.Damage(&CorruptError{File: path, Offset: rec.badAt, Reason: rec.reason}); err != nil {
				return TailOpen, pos, err
			}
			if pos, err = s.behind(rec.badAt); err != nil {
				return TailOpen, pos, fmt.Errorf("read log file %s: %w", path, err)
			}
		}
	}
}

// tail names what the file ends in; suspect is where something stands behind the last whole record, pos is that record's end.
func (s *scanner) tail(suspect, pos int64) (Tail, int64, error) {
	if suspect < 0 {
		return TailOpen, pos, nil
	}
	b, _, err := s.window(suspect, headerSize)
	for _, x := range b[:min(len(b), headerSize)] {
		if x != 0 {
			return TailCut, suspect, err
		}
	}
	return TailZeros, suspect, err
}

// behind finds where to go on after the bad record at `at`: behind it if its length can be trusted, for a whole record stands there, else at the next
// block.
func (s *scanner) behind(at int64) (int64, error) {
	next := (at/BlockSize + 1) * BlockSize
	b, _, err := s.window(at, headerSize)
	if err != nil || len(b) < headerSize {
		return next, err
	}
	after := at + headerSize + int64(binary.LittleEndian.Uint16(b[4:]))
	if after+headerSize > next {
		return next, nil
	}
	if b, _, err = s.window(after, int(next-after)); err != nil || len(b) < headerSize {
		return next, err
	}
	end := headerSize + int(binary.LittleEndian.Uint16(b[4:]))
	if end > len(b) || crc32.Checksum(b[6:end], castagnoli) != unmask(binary.LittleEndian.Uint32(b)) {
		return next, nil
	}
	return after, nil
}
