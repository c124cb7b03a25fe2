package collector

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"omsync/daemon/collector/handoff"
	"omsync/daemon/coord"
	"omsync/failpoint"
	"omsync/openmldb/binlog"
	"omsync/openmldb/snapshot"
	"omsync/rpc/omsyncpb"
)

// maxBacklog bounds E as it is sent, in bytes of delta varints; one byte per entry where the entries stand close together.
const maxBacklog = 60 << 20

// propose computes the hand-off plan of a pin, sends it and returns it when it is accepted (docs/design.md §5.1 steps 1 and 3). It runs beside the scan.
func (e *export) propose(ctx context.Context, p *pin, db *snapshot.DB) (*omsyncpb.Plan, error) {
	if err := e.settle(ctx, p); err != nil {
		return nil, err
	}
	inc, z, err := e.readZ(ctx, p)
	if err != nil {
		return nil, err
	}
	plan, err := e.compute(ctx, p, db, inc, z)
	if err != nil {
		return nil, err
	}
	if err := failpoint.Hit("collector/plan"); err != nil {
		return nil, err
	}
	e.s.log.Info("hand-off is planned", "snapshot", p.Snapshot, "z", plan.GetZ(), "backlog", plan.GetBacklogRows(), "vanished", plan.GetVanished())
	if err := e.a.link.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Plan{Plan: &omsyncpb.PlanProposal{
		Key: e.a.key(), AttachId: e.a.id, Plan: plan,
	}}}); err != nil {
		return nil, err
	}
	if err := failpoint.Hit("collector/plan-sent"); err != nil {
		return nil, err
	}
	return plan, e.a.until(ctx, func() bool { return e.a.accepted })
}

// settle waits until the checkpoint is old enough: a put reaches it before the log.
func (e *export) settle(ctx context.Context, p *pin) error {
	for {
		ok, left := handoff.Settled(p.checkpoint(), e.clock().Now(), e.s.c.o.Settle)
		if ok {
			return nil
		}
		done := e.s.waits(fmt.Sprintf("snapshot %s to settle, %s left", p.Snapshot, left.Round(time.Second)))
		err := pause(ctx, e.clock(), min(left, 5*time.Second), nil)
		done()
		if err != nil {
			return err
		}
	}
}

// readZ reads the physical end of the log, and waits until it is replicated as entries of the log phase are.
func (e *export) readZ(ctx context.Context, p *pin) (inc incarnation, z binlog.Mark, err error) {
	if err := failpoint.Hit("collector/z"); err != nil {
		return inc, z, err
	}
	if _, err := e.s.hold.sync(); err != nil {
		return inc, z, err
	}
	incs, err := e.s.hold.incarnations()
	if err != nil {
		return inc, z, err
	}
	for _, one := range incs {
		if one.num == p.Log {
			inc = one
		}
	}
	if inc.num == 0 {
		return inc, z, errPinLost
	}
	if z, err = binlog.Last(ctx, e.s.c.o.Logs, inc.dir); err != nil {
		return inc, z, err
	}
	e.s.sawTail(z.Index)
	return inc, z, e.replicated(ctx, z.Index)
}

// replicated waits until an entry may be exported (docs/design.md §5.2).
func (e *export) replicated(ctx context.Context, index uint64) error {
	for {
		now := e.clock().Now()
		e.s.horizon.see(now, index)
		ok, wait := e.s.horizon.reach(now, index)
		if ok {
			return nil
		}
		done := e.s.waits("fresh entries to reach the followers")
		err := pause(ctx, e.clock(), max(wait, time.Millisecond), nil)
		done()
		if err != nil {
			return err
		}
	}
}

func (e *export) compute(ctx context.Context, p *pin, db *snapshot.DB, inc incarnation, z binlog.Mark) (*omsyncpb.Plan, error) {
	defer e.s.waits("the hand-off to be planned")()
	select {
	case e.s.c.plans <- struct{}{}:
		defer func() { <-e.s.c.plans }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := checkReach(e.s.c.o.Logs, p, inc.dir); err != nil {
		return nil, err
	}
	out := &omsyncpb.Plan{Generation: p.Generation, SnapshotName: p.Snapshot, SnapshotOffset: p.Offset, Z: z.Index, NowMs: p.NowMs}
	r := e.s.reader(inc)
	defer r.Close() // read only: nothing can be lost by it
	if err := r.SeekStart(); err != nil {
		return nil, err
	}
	base, err := openBase(e.s.src().Meta, db)
	if err != nil {
		return nil, err
	}
	log := handoff.NewLog(r, z.Index, base.index)
	in := handoff.Input{Log: log, NowMs: p.NowMs, TTLMs: base.ttlMs, ManifestOffset: p.Offset, CheckpointMs: p.CheckpointMs}
	if db != nil {
		rows, closeRows, err := base.rows(ctx, db)
		if err != nil {
			return nil, err
		}
		defer closeRows() // read only: nothing can be lost by it
		in.Rows = rows
	}
	// Half for sorting, half for merging: handoff counts its batch only.
	plan, err := handoff.Compute(ctx, in, handoff.Options{
		TempDir: e.s.dir, Batch: int(min(e.s.c.o.PlanMemory/2, 1<<30)), ClockTolerance: max(e.s.c.o.ClockTolerance, 1),
	})
	if err != nil {
		return nil, err
	}
	if out.Backlog, err = coord.EncodeIndexes(plan.Backlog.Slice()); err != nil {
		return nil, err
	}
	if len(out.Backlog) > maxBacklog {
		return nil, troubled(operator, codeInternal, "make a snapshot of the partition (MakeSnapshot), then "+hintReexport,
			"%s: %d log entries are to be exported besides the snapshot, more than one message can name", partitionName(e.s.a), plan.Backlog.Len())
	}
	out.BacklogRows, out.Vanished, out.BacklogExpired = plan.Backlog.Len(), plan.Vanished, plan.Expired
	out.ZMark = markTo(log.Mark())
	return out, nil
}

// checkReach checks that the retained log goes back to where the checkpoint ends.
func checkReach(fsys binlog.FS, p *pin, dir string) error {
	files, err := binlog.List(fsys, dir)
	if err != nil {
		return err
	}
	first := uint64(0)
	for _, f := range files {
		if f.First != 0 {
			first = f.First
			break
		}
	}
	if p.Snapshot == "" {
		return handoff.NoSnapshot(first)
	}
	return handoff.Reaches(first, p.Offset)
}

// openPinned opens the pinned checkpoint; nil where the pin has none. A file that is missing is a lost pin.
func (s *subtask) openPinned(p *pin) (*snapshot.DB, error) {
	if p.Snapshot == "" {
		return nil, nil
	}
	db, err := snapshot.Open(s.c.o.Snapshots, filepath.Join(s.dir, snapshotLinks), snapshot.Options{})
	var corrupt *snapshot.CorruptError
	if notExist(err) && !errors.As(err, &corrupt) {
		s.log.Error("the pin is lost", "err", err)
		return nil, errPinLost
	}
	return db, err
}
