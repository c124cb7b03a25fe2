package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"omsync/daemon/collector/handoff"
	"omsync/daemon/coord"
	"omsync/failpoint"
	"omsync/openmldb/binlog"
	"omsync/openmldb/snapshot"
	"omsync/rpc/omsyncpb"
)

// export is what one attach does, from the committed point on: scan and plan, backlog, log (docs/design.md §5.1).
type export struct {
	s       *subtask
	a       *attach
	rows    *rows
	out     *sender
	plan    *omsyncpb.Plan
	deletes bool // those of the log phase are sent too
}

func (e *export) clock() Clock { return e.s.c.o.Clock }

// run works until ctx ends or something is in the way. It does not return without an error.
func (e *export) run(ctx context.Context) error {
	if err := e.s.condemned(); err != nil {
		return err
	}
	if err := e.s.ready(ctx); err != nil {
		return err
	}
	if err := e.reread(); err != nil {
		return err
	}
	e.a.mu.Lock()
	at := e.a.attached
	e.a.mu.Unlock()
	e.out, e.plan, e.deletes = newSender(e.s, e.a), at.GetPlan(), at.GetLogDeletes()
	point := at.GetPoint()
	if point.GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT {
		if err := e.base(ctx, at); err != nil {
			return err
		}
		point = &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_BACKLOG}
	}
	if point.GetPhase() == omsyncpb.Phase_PHASE_BACKLOG {
		e.s.enter("backlog")
		if err := e.backlog(ctx, point.GetLogIndex()); err != nil {
			return err
		}
		if e.s.a.GetMode() == handoff.ModeFull {
			return e.end(ctx)
		}
		point = &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG, LogIndex: e.plan.GetZ()}
		e.out.mark = e.plan.GetZMark()
	}
	if point.GetPhase() == omsyncpb.Phase_PHASE_DONE {
		return e.rest(ctx)
	}
	mark := at.GetMark()
	if mark.GetLogIndex() != point.GetLogIndex() && e.plan.GetZMark().GetLogIndex() == point.GetLogIndex() {
		mark = e.plan.GetZMark()
	}
	return e.log(ctx, point.GetLogIndex(), mark, at.GetPoint().GetPhase() != omsyncpb.Phase_PHASE_LOG)
}

// base exports the pinned checkpoint and settles the plan, side by side, until the synctool has published both.
func (e *export) base(ctx context.Context, at *omsyncpb.Attached) error {
	if at.GetSnapshotDone() && e.plan != nil {
		return e.publication(ctx)
	}
	p, err := e.pinned(at)
	if err != nil {
		return err
	}
	db, err := e.s.openPinned(p)
	if err != nil {
		return err
	}
	if db != nil {
		defer db.Close() // read only: nothing can be lost by it
	}
	both, bctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		if at.GetSnapshotDone() {
			return nil
		}
		return e.scan(bctx, p, db, at.GetPoint().GetKey())
	})
	both.Go(func() error {
		if e.plan != nil {
			return nil
		}
		plan, err := e.propose(bctx, p, db)
		e.plan = plan
		return err
	})
	if err := both.Wait(); err != nil {
		return err
	}
	return e.publication(ctx)
}

func (e *export) publication(ctx context.Context) error {
	e.s.enter("planning")
	defer e.s.waits("the snapshot's publication")()
	return e.a.until(ctx, func() bool { return e.a.published })
}

// pinned is the generation's pin. It is made if nothing of the generation is committed yet; else its loss ends the generation.
func (e *export) pinned(at *omsyncpb.Attached) (*pin, error) {
	p, err := e.s.loadPin()
	if err != nil || p != nil {
		return p, err
	}
	if at.GetSnapshotDone() || at.GetPlan() != nil || len(at.GetPoint().GetKey()) > 0 {
		return nil, errPinLost
	}
	e.s.enter("pinning")
	p, err = e.s.makePin(e.s.src())
	if err != nil {
		return nil, err
	}
	e.s.log.Info("partition is pinned", "snapshot", p.Snapshot, "offset", p.Offset, "files", p.Files)
	return p, nil
}

// scan sends the rows of S behind a key.
func (e *export) scan(ctx context.Context, p *pin, db *snapshot.DB, after []byte) error {
	select {
	case e.s.c.scans <- struct{}{}:
		defer func() { <-e.s.c.scans }()
	default:
		done := e.s.waits("other partitions of this host to be scanned")
		select {
		case e.s.c.scans <- struct{}{}:
			defer func() { <-e.s.c.scans }()
			done()
		case <-ctx.Done():
			done()
			return context.Cause(ctx)
		}
	}
	e.s.enter("scanning")
	e.out.reach(omsyncpb.Phase_PHASE_SNAPSHOT, after, 0)
	if db != nil {
		if err := e.scanRows(ctx, p, db, after); err != nil {
			return err
		}
	}
	if err := failpoint.Hit("collector/scan-end"); err != nil {
		return err
	}
	err := e.out.flush(ctx, func(b *omsyncpb.Batch) { b.SnapshotEnd = true })
	e.s.enter("planning")
	return err
}

func (e *export) scanRows(ctx context.Context, p *pin, db *snapshot.DB, after []byte) (err error) {
	ix, err := db.IndexOf(e.s.src().Meta, 0)
	if err != nil {
		return err
	}
	if len(after) == 0 {
		after = nil
	}
	it, err := db.Scan(snapshot.ScanOptions{Index: ix, After: after, NowMs: p.NowMs, Interrupt: func() error { return context.Cause(ctx) }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var expired uint64
	out := e.out
	for n := 0; it.Next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		out.delta.Expired += it.Expired() - expired
		expired = it.Expired()
		if !handoff.Wanted(e.s.a.GetMode(), e.s.a.GetStartTs(), it.Ts()) {
			out.delta.Filtered++
			out.reach(omsyncpb.Phase_PHASE_SNAPSHOT, it.Key(), 0)
			if n%1024 == 0 {
				if err := out.advance(ctx); err != nil {
					return err
				}
			}
			continue
		}
		where := func() string { return fmt.Sprintf("snapshot %s, key %q", p.Snapshot, shorten(it.Key())) }
		row, schema, err := e.decode(ctx, it.Value(), where)
		if err != nil {
			return err
		}
		if err := checkSize(e.s, len(row), it.PK(), "snapshot "+p.Snapshot); err != nil {
			return err
		}
		if err := out.room(ctx, len(row)); err != nil {
			return err
		}
		out.add(row, schema.ID())
		out.reach(omsyncpb.Phase_PHASE_SNAPSHOT, it.Key(), 0)
	}
	if err := it.Err(); err != nil {
		return err
	}
	out.delta.Expired += it.Expired() - expired
	return nil
}

// backlog sends the entries of E behind an index, in the order of the log.
func (e *export) backlog(ctx context.Context, after uint64) error {
	if e.plan == nil {
		return errors.New("the synctool answered a point in the backlog without the plan")
	}
	if err := e.unpin(); err != nil {
		return err
	}
	e.out.reach(omsyncpb.Phase_PHASE_BACKLOG, nil, after)
	e.out.moved = false
	e.out.mark = e.plan.GetZMark()
	var r *logReader
	defer func() {
		if r != nil {
			_ = r.close() // read only: nothing can be lost by it
		}
	}()
	for index, err := range coord.Indexes(e.plan.GetBacklog()) {
		if err != nil {
			return fmt.Errorf("read the plan: %w", err)
		}
		if index <= after {
			continue
		}
		if r == nil || index > r.last()+farAway {
			if r != nil {
				if err := r.close(); err != nil {
					return err
				}
			}
			if r, err = e.s.openLog(ctx, index-1, nil); err != nil {
				return err
			}
		}
		if err := e.backlogEntry(ctx, r, index); err != nil {
			return err
		}
		e.out.reach(omsyncpb.Phase_PHASE_BACKLOG, nil, index)
	}
	return e.out.idle(ctx)
}

// farAway is how many entries are read over before a search is cheaper.
const farAway = 4096

func (e *export) backlogEntry(ctx context.Context, r *logReader, index uint64) error {
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		x, err := r.next(ctx)
		if errors.Is(err, binlog.ErrTail) || err == nil && x.Index > index {
			return troubled(operator, codeLogTrimmed, hintReexport, "%s on %s: entry %d of the hand-off plan is not in the log any more",
				partitionName(e.s.a), e.s.a.GetTabletEndpoint(), index)
		}
		if err != nil {
			return err
		}
		r.at = x.Index
		if x.Index == index {
			return e.put(ctx, x)
		}
	}
}

// put sends the row of a put that belongs to index 0.
func (e *export) put(ctx context.Context, x *binlog.Entry) error {
	where := func() string {
		return fmt.Sprintf("log entry %d (file %d, offset %d)", x.Index, x.Pos.File, x.Pos.Offset)
	}
	row, schema, err := e.decode(ctx, x.Value, where)
	if err != nil {
		return err
	}
	ts, err := e.rows.tsOf(row, schema, x)
	if err != nil {
		return troubled(operator, codeRowCorrupt, "look at the row on the tablet, then recover", "%s, %s: %w", partitionName(e.s.a), where(), err)
	}
	if !handoff.Wanted(e.s.a.GetMode(), e.s.a.GetStartTs(), ts) {
		e.out.delta.Filtered++
		return nil
	}
	key, _ := x.Key0()
	if err := checkSize(e.s, len(row), key, where()); err != nil {
		return err
	}
	if err := e.out.room(ctx, len(row)); err != nil {
		return err
	}
	e.out.add(row, schema.ID())
	return nil
}

// unpin drops the checkpoint: it is published.
func (e *export) unpin() error {
	if err := failpoint.Hit("collector/prune"); err != nil {
		return err
	}
	return e.s.hold.dropSnapshot()
}

// end is the end of a mode-0 export.
func (e *export) end(ctx context.Context) error {
	e.out.reach(omsyncpb.Phase_PHASE_DONE, nil, e.plan.GetZ())
	e.out.mark = e.plan.GetZMark()
	if err := e.out.flush(ctx, func(b *omsyncpb.Batch) { b.End = true }); err != nil {
		return err
	}
	return e.rest(ctx)
}

// rest waits until the synctool takes the subtask away.
func (e *export) rest(ctx context.Context) error {
	e.s.enter("waiting")
	defer e.s.waits("the end to be committed")()
	<-ctx.Done()
	return context.Cause(ctx)
}

// tailPause is the pause at the end of the log: short after rows, longer the longer nothing comes.
type tailPause struct{ least, most, now time.Duration }

func (t *tailPause) reset() { t.now = 0 }

func (t *tailPause) next() time.Duration {
	t.now = min(max(2*t.now, t.least), t.most)
	return t.now
}
