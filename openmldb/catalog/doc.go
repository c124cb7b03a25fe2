// Package catalog is what OpenMLDB's name server keeps in ZooKeeper, read only (formats.md §1): databases, tables with their partitions and leaders,
// tablets, server names, and upstream's list of data collectors.
//
// A Catalog follows ZooKeeper by watches and publishes immutable Snapshots. Tables are not watched one by one: the name server bumps table/notify
// after every change of a table; then the modification numbers of all tables are asked for, and only what changed is read. A slow refresh finds
// what no watch told.
//
// A table whose node can not be read has a Problem and, if there was one, the Info last read; the rest goes on.
//
// What does not belong here: rows and schemas (openmldb/row), calls to tablets (openmldb/tablet), nodes of ours (daemon/coord). Nothing here writes.
package catalog
