// Package handoff plans how the export of one partition passes from a pinned checkpoint to the log without losing or doubling a row
// (docs/design.md §5.1).
//
// # Terms
//
//	S   rows of base index 0 in the pinned checkpoint, expired ones included
//	z   last log index in the files when the plan is made
//	E   log indexes of the puts ≤ z that are exported besides S: Plan.Backlog
//	M   manifest.offset of the checkpoint: a counter that may run ahead of the log for good
//	p   lowest, over the rows of S, of the row's last retained put ≤ z; 0 as soon as one row of S is not in the retained log; no bound if S is
//	    empty
//
// # Claim
//
// S, then E, then every index-0 put after z, holds each row that was visible in S or is live at z exactly once, and each index-0 put after z
// exactly once. A checkpoint is fuzzy and M bounds nothing, so what S holds is decided by looking into it.
//
// # Rule
//
// A retained index-0 put e ≤ z is in E iff
//
//  1. S has no equal value at e's (key, ts);
//  2. no later entry ≤ z touches e: no put with dimension 0 and the same (key, ts), and no delete of index 0, with its key or without any, with
//     end < ts ≤ start, so that ts 0 is never covered;
//  3. e is unexpired at the pin by the absolute part of the TTL;
//  4. e has not vanished. A TRUNCATE is not logged; e is explained by one only if all three hold: index ≤ p + near · index ≤ M + near ·
//     put time < the checkpoint's mtime − clock tolerance.
//
// # Where it is proved
//
// TestHistories plays the histories of the design's model against Compute itself. TestRule names each clause; TestBatchesMatchReference compares
// the external sort with a plain reading of the rule.
//
// # What does not belong here
//
// Pinning, streaming and storing plans (daemon/collector, daemon/coord). Compute reads from interfaces; log.go is the only file that knows log
// files, and daemon/collector/base.go reads checkpoints and rows for it.
package handoff
