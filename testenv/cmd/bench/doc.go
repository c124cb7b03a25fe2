// Command bench measures what users wait for: how fast a whole table goes from RocksDB files to the destination, and what that costs in
// processor time and memory. It makes its own tables with RocksDB (build tag rocksdb) and runs the real daemons.
//
// What does not belong here: benchmarks of single functions, which stand beside their code (go test -bench).
package main
