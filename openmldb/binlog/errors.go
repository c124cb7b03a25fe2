package binlog

import (
	"errors"
	"fmt"
)

// ErrTail: everything written so far has been read. Call Next again later; new bytes and new files are seen then.
var ErrTail = errors.New("end of the log for now")

// GapError: the log goes on, but entries between are in none of the files, and no restart of the tablet explains it.
type GapError struct {
	From, To uint64 // missing log indexes, both inclusive
	File     string // path of the file that goes on after the gap
	After    string // path of the file that ends before it
}

func (e *GapError) Error() string {
	return fmt.Sprintf("log entries %d to %d are missing: %s ends before them and %s begins after them; the files between were deleted, so only a new export of the partition can bring these rows",
		e.From, e.To, e.After, e.File)
}

// TrimmedError: the log that is left begins after the wanted entry.
type TrimmedError struct {
	Dir   string
	Want  uint64
	First uint64 // first index that is there
}

func (e *TrimmedError) Error() string {
	return fmt.Sprintf("log entry %d is gone: the log in %s begins at %d; only a new export of the partition can bring entries %d to %d", e.Want, e.Dir, e.First, e.Want, e.First-1)
}

// CorruptError: bytes that are no record, or a record that is no log entry.
type CorruptError struct {
	File   string // path
	Offset int64  // of the bad physical record
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("log file %s is damaged at offset %d: %s; `recover --skip-bad-blocks` goes on behind the damage and loses the entries in it", e.File, e.Offset, e.Reason)
}

// ReplacedError: the file under the reader is no longer the one it has read from, though it bears its name.
type ReplacedError struct {
	File   string
	Reason string
}

func (e *ReplacedError) Error() string {
	return fmt.Sprintf("log file %s was replaced while it was read: %s; the partition was probably re-created on this tablet", e.File, e.Reason)
}

func isCorrupt(err error) bool {
	var c *CorruptError
	return errors.As(err, &c)
}
