package main

// mutants of the rules that rows depend on, in the order a row travels.
var mutants = []mutant{
	{
		name: "crc-ignored", file: "openmldb/binlog/record.go",
		old: "got != unmask(sum) {", new: "got != unmask(sum) && length < 0 {",
		pkg: "./openmldb/binlog", test: "TestChecksumIsVerified",
		because: "a record whose checksum is wrong stops the log",
	},
	{
		name: "gap-passed-over", file: "openmldb/binlog/reader.go",
		old: "case r.broken:\n", new: "case r.broken && r.passed < 0:\n",
		pkg: "./openmldb/binlog", test: "TestMissingFileIsAGap",
		because: "a missing log file is a gap, never skipped in silence",
	},
	{
		name: "range-delete-ignored", file: "openmldb/snapshot/tombstone.go",
		old: "return frags[i].seq\n", new: "return frags[i].seq & 0\n",
		pkg: "./openmldb/snapshot", test: "TestScanModel",
		because: "a range tombstone covers older entries",
	},
	{
		name: "resume-repeats-a-row", file: "openmldb/snapshot/iter.go",
		old: "Compare(user, it.after) > 0", new: "Compare(user, it.after) >= 0",
		pkg: "./openmldb/snapshot", test: "TestResume",
		because: "a scan goes on behind the committed key",
	},
	{
		name: "backlog-skipped", file: "daemon/collector/handoff/plan.go",
		old: "	default:\n		p.plan.Backlog.Add(index)\n", new: "	default:\n		_ = index\n",
		pkg: "./daemon/collector/handoff", test: "TestHistories",
		because: "E, what the log has and the snapshot lacks, is exported",
	},
	{
		name: "touches-dropped", file: "daemon/collector/handoff/plan.go",
		old: "max(touched.lastAt(ts), p.all.lastAt(ts)) < index", new: "max(touched.lastAt(ts)&0, p.all.lastAt(ts)) < index",
		pkg: "./daemon/collector/handoff", test: "TestRule",
		because: "a put that was deleted before z is not exported",
	},
	{
		name: "vanished-dropped", file: "daemon/collector/handoff/plan.go",
		old: "if index <= add(p.plan.Oldest, p.opts.Near) {", new: "if index <= add(p.plan.Oldest, p.opts.Near) && index == 0 {",
		pkg: "./daemon/collector/handoff", test: "TestRule",
		because: "a TRUNCATE before the snapshot is not undone",
	},
	{
		name: "index-0-dropped", file: "daemon/collector/logphase.go",
		old: "case !mine:", new: "case !mine && out == nil:",
		pkg: "./daemon/collector", test: "TestExactlyOnce",
		because: "an entry without a key of index 0 belongs to another partition",
	},
	{
		name: "fork-accepted", file: "daemon/collector/logreader.go",
		old: " && m.CRC == mark.GetCrc()", new: "",
		pkg: "./daemon/collector", test: "TestForkedLog",
		because: "a log that is another than the exported one is refused",
	},
	{
		name: "steps-3-4-swapped", file: "daemon/synctool/commit.go",
		old: "	if err := c.decide(hard, seg, names, to); err != nil {\n",
		new: `	if before := c.rec.get(); names.rows != "" {
		p := &coord.Pending{Stage: names.rows, Final: c.finalName(&before, before.Seq+1), Len: seg.length, Rows: seg.rows}
		if err := settle(hard, c.files, c.where, p); err != nil {
			return err
		}
	}
	if err := c.decide(hard, seg, names, to); err != nil {
`,
		pkg: "./daemon/synctool", test: "TestModelSystematic",
		because: "a segment is decided before it gets its final name",
	},
	{
		name: "epoch-check-dropped", file: "daemon/coord/store.go",
		old: "zkconn.CheckOp(s.paths.epoch(), s.version)", new: "zkconn.CheckOp(s.paths.epoch(), -1)",
		pkg: "./daemon/coord", test: "TestFencing",
		because: "a leader whose epoch is over can not decide",
	},
	{
		name: "length-not-checked", file: "daemon/synctool/stage.go",
		old: "	if info.Size != f.length {\n		if f.stage", new: "	if info.Size < 0 {\n		if f.stage",
		pkg: "./daemon/synctool", test: "TestModelRandom",
		because: "a stage file that is cut short is not committed",
	},
	{
		name: "pending-swept", file: "daemon/synctool/sweep.go",
		old: "named[p.Stage] = true", new: "_ = p.Stage",
		pkg: "./daemon/synctool", test: "TestSweep",
		because: "a stage file that a decision names is not swept",
	},
	{
		name: "pending-forgotten", file: "daemon/synctool/recovery.go",
		old: "	if st.Pending != nil {\n		err :=", new: "	if st.Pending != nil && st.Status != \"FAILED\" {\n		err :=",
		pkg: "./daemon/synctool", test: "TestRestartRecoversFailedPending",
		because: "a new leader settles every pending segment, whatever the subtask's status",
	},
	{
		name: "deletes-left-staged", file: "daemon/synctool/settle.go",
		old: "		if p.Next == nil {\n", new: "		if p.Next == nil || p.Deletes == 0 {\n",
		pkg: "./daemon/synctool", test: "TestModelSystematic",
		because: "the deletes of a decided segment get their final name as its rows do",
	},
	{
		name: "rename-overwrites", file: "daemon/dest/local.go",
		old: "b, unix.RENAME_NOREPLACE)", new: "b, 0)",
		pkg: "./daemon/dest", test: "TestRenameNeverOverwrites",
		because: "a file that is there is never replaced",
	},
}
