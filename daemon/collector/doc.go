// Package collector is the data collector daemon: it keeps partitions' files alive by hard links, reads the pinned checkpoint and the log behind
// it, and streams rows to the synctool that leads (docs/design.md §3, §4, §5.1, §5.2).
//
// The nouns: Collector (the process) · subtask (one partition: an actor with a keeper of its links) · hold (the links) · pin (the checkpoint a
// generation is exported from) · standbyHold (the links of a log whose subtask another collector serves) · uplink and link (the stream to the
// synctool) · attach (one subtask on one link) · export (what an attach does: scan and plan, backlog, log) · sender (batches and credit) · logReader
// (the log through the links).
//
// # Why nothing is lost or doubled here
//
//  1. An export always begins at the point that the synctool committed and answers an Attach with; what was sent and not committed is thrown away
//     there. So this process may die, hang or reconnect anywhere.
//  2. An unpublished generation goes on with its own pin or not at all: the pin's record is written when all links stand, and an Attached that is
//     further than a pin can have brought it is answered by "pin lost".
//  3. Links are made in the order log, checkpoint, log, so the log reaches back to the checkpoint. Links are matched by inode; they go only below the
//     committed point. A directory of log files that was made anew is another incarnation with links of its own, read after the former one.
//  4. Every log entry is consumed in order; what is missing is the source's own hole or a fault (openmldb/binlog). The last committed entry is
//     compared with the log at every attach.
//
// TestExactlyOnce plays random histories of kills, cuts, checkpoints, trims and restarts against these four.
//
// # What does not belong here
//
// The decision which entries make up E (handoff), files at the destination and durable state of tasks (daemon/synctool), formats (openmldb).
package collector
