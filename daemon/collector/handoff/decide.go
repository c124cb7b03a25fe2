package handoff

import (
	"fmt"
	"time"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
)

// DefaultSettle is how old a checkpoint must be before z is read (handoff.settle): a put that takes longer than that from RocksDB to the log is
// outside the claim.
const DefaultSettle = time.Minute

// Settled says whether z may be read now, and how long to wait if not. checkpoint is the mtime of the checkpoint's CURRENT file, zero when
// there is no checkpoint: then there is nothing to wait for. A checkpoint from the future is waited for.
func Settled(checkpoint, now time.Time, settle time.Duration) (ok bool, left time.Duration) {
	if checkpoint.IsZero() {
		return true, 0
	}
	left = checkpoint.Add(settle).Sub(now)
	return left <= 0, max(left, 0)
}

// TrimmedLogError: the retained log does not reach back to what the export begins with.
type TrimmedLogError struct {
	First uint64 // first retained log index
	Need  uint64 // the log must begin here or before
	Why   string
}

func (e *TrimmedLogError) Error() string {
	return fmt.Sprintf("the log begins at entry %d, but %s needs it from %d on; make a snapshot of the partition (MakeSnapshot) and export again", e.First, e.Why, e.Need)
}

// NoSnapshot checks a partition without a MANIFEST: S is empty, so all rows must be in the log. first is the first retained index, 0 if
// the log has no entry: an empty partition.
func NoSnapshot(first uint64) error {
	if first > 1 {
		return &TrimmedLogError{First: first, Need: 1, Why: "a partition that never had a snapshot"}
	}
	return nil
}

// Reaches checks that the retained log goes on where the checkpoint's manifest ends. Tablets trim behind a snapshot, and the counter in the
// manifest is never behind the log, so a log that begins later has lost files. first is as for NoSnapshot.
func Reaches(first, manifestOffset uint64) error {
	if first > add(manifestOffset, 1) {
		return &TrimmedLogError{First: first, Need: manifestOffset + 1, Why: "the pinned snapshot"}
	}
	return nil
}

// Modes of a task (formats.md §6.2).
const (
	ModeFull        = 0
	ModeIncremental = 1 // by timestamp: rows before the start ts are left out
	ModeContinuous  = 2
)

// Wanted says whether a row belongs to a task. ts is the same clock in both phases: the value of index 0's ts column, or the put time where
// it has none.
func Wanted(mode int32, startTs, ts uint64) bool { return mode != ModeIncremental || ts >= startTs }

// AbsoluteTTL is the absolute part of an index's TTL in ms, 0 if time alone never expires a row: no TTL, the latest-N kind, and the kind that
// asks for both. Relative time counts as absolute (formats.md §3.4).
func AbsoluteTTL(key *commonpb.ColumnKey) uint64 {
	ttl := key.GetTtl()
	switch ttl.GetTtlType() {
	case typepb.TTLType_kAbsoluteTime, typepb.TTLType_kRelativeTime, typepb.TTLType_kAbsOrLat:
		const minute = 60_000
		if m := ttl.GetAbsTtl(); m <= 1<<63/minute {
			return m * minute
		}
	}
	return 0
}
