// Command bench measures what users wait for: how fast a whole table goes from RocksDB files to the destination, what that costs in
// processor time and memory, and the two steps that bound it, scan and encode. It makes its own tables with RocksDB (build tag rocksdb) and
// runs the real daemons.
//
// What does not belong here: benchmarks of single functions, which stand beside their code (go test -bench).
package main
