// Package binlog reads the log files of one OpenMLDB partition (docs/formats.md §4): it lists them, finds an entry by its log index, and
// follows the log while the tablet writes, rotates, restarts and deletes files, or while hard links to them appear in a directory of ours.
//
// # What a caller may rely on
//
//   - Entries come in strictly ascending log index. A missing index is either the source's own hole, which is counted, or a *GapError; it is
//     never passed over silently (docs/design.md §5.2).
//   - The checksum of every physical record is verified. A bad record is a *CorruptError with file and offset. Nothing behind it is returned
//     unless Options.SkipBadBlocks says so.
//   - An unfinished record at the end of the last file is not an error: Next answers ErrTail and a later call goes on at the same place. The
//     same in a file that has a newer one is the torn tail of a tablet that died; it is read once more and then left.
//   - Reading on costs the new bytes only, and an entry costs no allocation.
//
// # What does not belong here
//
// Rows (package row), which entries a task exports (daemon/collector), and writing: testenv/binlogw writes logs for tests. The package opens
// files for reading only and touches them through FS, so that tests can break it.
package binlog
