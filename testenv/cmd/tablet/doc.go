// Command tablet runs simulated TabletServers as one process: they register in a ZooKeeper, hold tables, and are written to. It is for trying omsync's
// daemons against something that behaves as OpenMLDB does, without OpenMLDB. With the build tag rocksdb it writes real snapshots; without, it serves
// finished partition directories and lets their logs grow. tablet --help explains the flags.
//
// What does not belong here: everything the tablets do (testenv/tabletsim, testenv/cluster), the load (testenv/load).
package main
