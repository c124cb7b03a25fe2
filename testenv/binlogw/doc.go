// Package binlogw writes binlogs as a TabletServer does (docs/formats.md §4.1, §4.2): numbered files of 4 KiB blocks, one write per physical
// record, rotation with an EOF record, and what a restart does to a torn tail. Tests and the simulated tablet use it; the product never writes
// a log. It shares no code with openmldb/binlog, so that a mistake in one shows in the other.
package binlogw
