// Package row reads the rows of OpenMLDB's tables (docs/formats.md §5): every column type, every width of string offsets, every schema version of a
// table, and the compression of snappy tables (§3.4). It also writes rows, for tests and simulations.
//
// A row is checked once, with Set.Check; what reads single columns afterwards neither checks nor allocates.
//
// What does not belong here: keys and TTLs (openmldb/snapshot), text (daemon/dest), where rows come from.
package row
