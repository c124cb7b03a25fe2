package snapshot

import (
	"errors"
	"fmt"
)

// ErrNoManifest: the partition was never snapshotted; all its data is in the log.
var ErrNoManifest = errors.New("the partition has no snapshot")

// ErrClosed: the DB or the iterator was closed.
var ErrClosed = errors.New("the snapshot is closed")

// CorruptError: bytes that are not what their checksum or their format says.
type CorruptError struct {
	File   string // path
	Offset int64  // of the damaged block or record
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("snapshot file %s is damaged at offset %d: %s; let the tablet write a new snapshot (makesnapshot) or export from another replica", e.File, e.Offset, e.Reason)
}

// UnsupportedError: a file that RocksDB could read, with something in it that OpenMLDB's own build never writes.
type UnsupportedError struct {
	File string // path
	What string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("snapshot file %s cannot be read: %s is not supported; the tablet's RocksDB must write block-based tables that are plain, snappy or lz4", e.File, e.What)
}

func corrupt(file string, offset int64, format string, args ...any) error {
	return &CorruptError{File: file, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

func unsupported(file, format string, args ...any) error {
	return &UnsupportedError{File: file, What: fmt.Sprintf(format, args...)}
}
