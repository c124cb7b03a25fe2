// Package cluster runs simulated tablets (testenv/tabletsim) as one OpenMLDB cluster in one process: each tablet listens on an address of its own
// (127.0.0.2, 127.0.0.3, …), as different hosts do, and the name server's share of ZooKeeper is written here: databases, TableInfo, notify, names
// (docs/formats.md §1). Leaders move as the name server moves them, the dead one keeping its is_leader flag.
//
// What a table goes through besides puts and deletes (snapshots, truncation, restarts) is told to its ledger, if it has one.
//
// What does not belong here: what tablets do on disk (testenv/tabletsim), traffic (testenv/load).
package cluster
