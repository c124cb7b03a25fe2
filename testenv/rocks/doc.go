// Package rocks writes and reads real RocksDB databases for tests, through Debian's librocksdb (7.8.3) and its C interface. It exists only with
// build tag rocksdb; without the tag the package is empty and nothing of it links C.
//
// It covers what a test of a reader needs: any table format RocksDB can write, several column families sorted by KeyTSComparator (docs/formats.md
// §3.3), all kinds of writes, flushes, compactions and ingested files under the test's control, checkpoints, and RocksDB's own iterator as the
// judge. It knows nothing of OpenMLDB's tables and rows: testenv/tabletsim does.
package rocks
