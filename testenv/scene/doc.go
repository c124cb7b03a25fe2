// Package scene is a whole set-up as users have it: simulated tablets, ZooKeeper's nodes, collectors and synctools as processes of their own, tasks
// between them, and the ledger's word on the files that came out. The end-to-end tests (e2e) and the demo play on it.
//
// What does not belong here: what a test does to a scene; the tablets (testenv/cluster), the load (testenv/load), the judgement (testenv/ledger).
package scene
