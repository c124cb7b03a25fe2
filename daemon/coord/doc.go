// Package coord is our subtree of ZooKeeper, <root>/sync_tool/omsync (docs/design.md §4.3), and upstream's collector list beside it: who leads,
// in which epoch, what each task and subtask has decided, which collectors there are.
//
// Decisions. All that a leader decides goes through Store, which is bound to the epoch the leader began. Every write is one multi that checks
// the epoch node's version and sets nodes at the versions the leader read: a leader of an older epoch is answered ErrFenced, and of two writes
// from one version one wins. A lost reply leaves a multi open: the identical multi is resent until it is answered OK or "bad version"; only
// then sync and a read tell whether ours was the one applied. A copy that arrives late finds another version and changes nothing.
//
// Leadership is a courtesy, fencing is what counts: Election gives the lead up when the session was not confirmed for 2/3 of its time-out by
// this machine's clock, or when its node is gone; whoever follows bumps the epoch in one multi with a check of its own election node.
//
// Values are JSON with a schema number. A value of a schema that is not known here is refused (SchemaError), never guessed at.
//
// What does not belong here: files and rows (daemon/synctool, daemon/dest), tables and tablets (openmldb/catalog), ZooKeeper's protocol
// (openmldb/zkconn).
package coord
