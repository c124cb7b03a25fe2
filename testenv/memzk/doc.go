// Package memzk is a ZooKeeper server in memory, for tests and for the demo that needs no Java: the client protocol of ZooKeeper 3.5 and later
// with sessions, ephemeral and sequential nodes, watches, multi, sync, digest authentication and ACLs, standalone, nothing on disk.
//
// It can be broken on purpose: sessions are expired (ExpireSession), connections cut (Cut), the server goes down and comes back with what it had
// (Down, Up) or with nothing (Wipe), takes connections and answers nothing (Mute), and Options.Fault picks single requests to be refused, lost
// before or after they were applied, or applied long after their connection broke.
//
// What does not belong here: quorums, persistence, quotas, reconfiguration, SASL, TLS. A request for one of these is answered "unimplemented".
// Tests that pass here also run against the real server (testenv/zkserver).
package memzk
