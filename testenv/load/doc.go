// Package load writes to simulated tables as clients do, from several goroutines, at a rate or as fast as it goes, and notes every call in the table's
// ledger: fresh rows, rewrites of one (key, ts) with another value, identical rewrites, deletes of keys, of ranges and without a key, rows that are
// expired when they come, rows of more than 1 MiB. What it writes is decided by a seed; how the writers interleave is not.
//
// What does not belong here: what must come out (testenv/ledger), tablets (testenv/tabletsim).
package load
