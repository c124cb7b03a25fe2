// Command demo shows omsync at work on one machine, with nothing installed but Go: a ZooKeeper in memory, simulated tablets that serve data real
// tablets left and take new rows, two collectors, a synctool, a local destination. It writes to two tables throughout, kills each daemon once with
// kill -9, and takes the files against the ledger of what was acknowledged. The last line is "rows=N lost=0 duplicate=0".
package main
