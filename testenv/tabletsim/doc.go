// Package tabletsim is a simulated TabletServer: it answers the calls our daemons make, registers in ZooKeeper and leaves on disk what a real tablet
// leaves (docs/formats.md §1, §2.6, §3, §4), the ugly parts included:
//
//   - a put reaches the store before the log, up to 16 at a time, so that the two orders differ; the order of one (key, ts) is kept;
//   - the offset counter that a snapshot's MANIFEST takes is read before the flush and runs ahead of the log after keyless deletes and index builds;
//   - TTL GC and TRUNCATE leave no trace in the log;
//   - old snapshots and old log files go away behind a reader's back; a restart tears tails and leaves holes in the log index;
//   - replicas have the same entries with file boundaries of their own.
//
// The nouns: Tablet (a server), Partition (a replica of one partition), Schema (a table as the tablets see it), Store (what is under a partition's
// data/: RocksDB with the build tag rocksdb, nothing without it), entry (one log record).
//
// Rows, keys, hashes and log records are encoded and read here by code of its own, so that a mistake of the product is not undone by the same
// mistake on this side.
//
// What does not belong here: which tablets there are and what ZooKeeper says about tables (testenv/cluster), what a destination must hold
// (testenv/ledger).
package tabletsim
