// Package snapshot reads what an OpenMLDB tablet left in a partition's snapshot directory (docs/formats.md §3): the text MANIFEST, and the
// RocksDB checkpoint it names, in pure Go and without writing anything.
//
// # What a caller may rely on
//
//   - Scan gives the rows of one index in the order of KeyTSComparator, each live row once: overwritten, deleted and range-deleted versions are
//     left out by sequence number over all levels, exactly as RocksDB's own iterator does.
//   - A scan can be cut at any key: the rows up to a key and the rows after it are together the rows of the whole scan, whatever the TTL.
//   - Every block is checked against its checksum before a byte of it is used. Damage is a *CorruptError with file and offset, a format this
//     package does not read is an *UnsupportedError that says which; neither is ever a shorter or different list of rows. Against a cut
//     RocksDB manifest, whose records cannot show it, Open compares its files with the directory.
//   - Memory is bounded by blocks, not by rows: see Options.
//   - A DB may be used by several goroutines at once, an Iter by one at a time.
//
// # What is read
//
// Block-based tables of format_version 2 to 5 with binary, hash or two-level index; blocks plain, snappy or lz4; checksums none, CRC32C, xxHash,
// xxHash64 and XXH3; ingested files. Not read, and refused: zlib, bzip2, xpress and zstd blocks, compression dictionaries, merge operands, blob
// files, user timestamps, plain and cuckoo tables. The write-ahead log of a checkpoint is passed over: all it can hold is newer than the
// snapshot's offset (docs/formats.md §3.2).
//
// # What does not belong here
//
// The meaning of values (package row), which rows a task exports and the links that keep the files alive (daemon/collector), and writing
// (testenv/rocks). Files are opened for reading only and through FS, so that tests can break it.
package snapshot
