// Package e2e holds the end-to-end tests: the daemons as processes, real ZooKeeper, real RocksDB checkpoints and binlogs, the ledger's word on every
// row. They carry the build tags e2e, rocksdb and zookeeper; scripts/test.sh e2e runs them.
//
// What does not belong here: what can be shown inside one package.
package e2e
