// Package synctool is the daemon that takes table tasks, splits them into one subtask per partition, hands each to the collector on the
// partition leader's host, and writes what comes back to files, each row once (docs/design.md §5.3).
//
// Claim: for every subtask the files under final names hold exactly the rows up to the committed point, whatever crashes, pauses or loses
// its session, and a reader never sees part of a file.
//
// Terms: a segment is the rows between two commits, one file, and where the task keeps them the deletes of the log, another; both are named by
// one decision. A stage name is used once. The decision is one ZooKeeper multi that checks
// the leader's epoch and sets the subtask's node at the version the leader read. The epoch grows with every leader.
//
// Why it holds. (1) A decision names files that are closed, synced and of known length, so whoever leads later can bring each under its final
// name: a rename is idempotent and needs no memory, also between the two. (2) Two leaders can not both decide from the same version, and a
// leader of an older epoch can not decide at all; what it staged is never named, and swept. (3) The next decision of a subtask is taken only
// when the former one's renames are done, so at most one decided segment is under way. (4) The point moves in the same decision that names the
// files, so rows are asked for again exactly when their segment was not decided. Cases: a crash before the decision leaves an unnamed stage file; after it, a
// pending one, which recovery settles first, for every subtask whatever its status; a lost reply is resolved by resending the identical
// multi. TestModel explores these with the code of segment.go, stage.go, commit.go, settle.go, publish.go, recovery.go, clear.go and sweep.go
// itself.
//
// Shape: Synctool (the process) holds at most one term (a leadership); a term owns tasks, a task its subtasks; a subtask is one goroutine
// that owns its segment and asks the committer, one segment at a time, to make it count. A term that loses its lead stops all writers before
// anything else happens.
//
// What does not belong here: file systems and encoders (daemon/dest), ZooKeeper's protocol (daemon/coord), the wire (rpc), OpenMLDB's own
// formats (openmldb).
package synctool
