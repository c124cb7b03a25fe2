package collector

import (
	"context"
	"errors"
	"time"

	"omsync/openmldb/binlog"
	"omsync/rpc/omsyncpb"
)

// log sends every index-0 put, and the deletes where they are asked for, behind an index, for ever (docs/design.md §5.2). begin: the point is not in the log phase yet, tell so at once.
func (e *export) log(ctx context.Context, after uint64, mark *omsyncpb.LogMark, begin bool) error {
	if err := e.unpin(); err != nil {
		return err
	}
	r, err := e.attachLog(ctx, after, mark)
	if err != nil {
		return err
	}
	defer func() { _ = r.close() }() // read only: nothing can be lost by it
	e.s.enter("log")
	e.out.reach(omsyncpb.Phase_PHASE_LOG, nil, after)
	e.out.moved = false
	e.out.mark = mark
	if begin { // from here on the plan's file is not needed to go on, and links can be pruned
		if err := e.out.flush(ctx, nil); err != nil {
			return err
		}
	}
	t := &tail{e: e, r: r, pause: tailPause{least: e.s.c.o.pace.tail, most: e.s.c.o.pace.tailMost}}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := t.step(ctx); err != nil {
			return err
		}
	}
}

// attachLog opens the log behind the committed point. A log that is shorter is waited for: a follower catches up, and a leader that has just been
// chosen may, too.
func (e *export) attachLog(ctx context.Context, after uint64, mark *omsyncpb.LogMark) (*logReader, error) {
	var since time.Time
	for {
		if _, err := e.s.hold.sync(); err != nil {
			return nil, err
		}
		r, err := e.s.openLog(ctx, after, mark)
		if !errors.Is(err, errShort) {
			return r, err
		}
		if since, err = e.short(ctx, since, after); err != nil {
			return nil, err
		}
	}
}

// short waits while the log does not reach entry need. A leader's log has leaderLag to do so.
func (e *export) short(ctx context.Context, since time.Time, need uint64) (time.Time, error) {
	now, last := e.clock().Now(), e.s.physicalEnd(ctx)
	leads := e.s.leads()
	if since.IsZero() || !leads {
		since = now
	}
	if lag := now.Sub(since); lag >= e.s.c.o.pace.leaderLag {
		return since, troubled(operator, codeLogForked, hintReexport,
			"%s: the log of the leader %s ends at entry %d for %s, but entries up to %d are exported: they are not in this log", partitionName(e.s.a),
			e.s.a.GetTabletEndpoint(), last, lag.Round(time.Second), need)
	}
	defer e.s.waits("the log to reach the last exported entry")()
	return since, pause(ctx, e.clock(), max(e.s.c.o.pace.tail, e.s.c.o.pace.tailMost/2), nil)
}

// tail is the loop of the log phase.
type tail struct {
	e     *export
	r     *logReader
	pause tailPause
	told  passed    // of the reader's counts, what is in batches already
	short time.Time // since when the log is shorter than what was read
	gone  time.Time // since when the tablet says that it has no such partition
}

// step consumes one entry, or waits for one.
func (t *tail) step(ctx context.Context) error {
	e := t.e
	x, err := t.r.next(ctx)
	switch {
	case err == nil:
		t.pause.reset()
		t.short, t.gone = time.Time{}, time.Time{}
		return t.consume(ctx, x)
	case errors.Is(err, binlog.ErrTail):
		e.s.sawTail(t.r.last())
		if err := e.out.idle(ctx); err != nil {
			return err
		}
		if err := t.checkGone(); err != nil {
			return err
		}
		return pause(ctx, e.clock(), t.pause.next(), nil)
	case errors.Is(err, errShort):
		if err := e.out.idle(ctx); err != nil {
			return err
		}
		t.short, err = e.short(ctx, t.short, t.r.at)
		return err
	}
	return err
}

// consume takes an entry over into the batch.
func (t *tail) consume(ctx context.Context, x *binlog.Entry) error {
	e := t.e
	if err := t.settled(ctx, x.Index); err != nil {
		return err
	}
	out := e.out
	switch _, mine := x.Key0(); {
	case x.Method == binlog.Delete:
		if err := e.deletion(ctx, x); err != nil {
			return err
		}
		out.delta.Deletes++
	case !mine:
		out.delta.Foreign++
	default:
		if err := e.put(ctx, x); err != nil {
			return err
		}
	}
	t.count()
	t.r.consumed(x)
	out.mark = markTo(t.r.mark)
	out.reach(omsyncpb.Phase_PHASE_LOG, nil, x.Index)
	if x.Index%1024 == 0 {
		return out.advance(ctx)
	}
	return nil
}

// count adds what the reader passed over since the last entry.
func (t *tail) count() {
	d, now := &t.e.out.delta, t.r.read
	d.Holes += now.holes - t.told.holes
	d.Repeated += now.repeated - t.told.repeated
	d.SkippedBlocks += now.skipped - t.told.skipped
	t.told = now
}

// settled waits until an entry is old enough to be exported, where the partition has followers. What is held goes out meanwhile.
func (t *tail) settled(ctx context.Context, index uint64) error {
	e := t.e
	if ok, _ := e.s.horizon.reach(e.clock().Now(), index); ok {
		return nil
	}
	if err := e.out.idle(ctx); err != nil {
		return err
	}
	// The end as it is now: all that is read meanwhile settles with this entry.
	e.s.horizon.see(e.clock().Now(), max(index, e.s.physicalEnd(ctx)))
	return e.replicated(ctx, index)
}

// checkGone ends a subtask whose partition is gone, once everything that was linked is read.
func (t *tail) checkGone() error {
	e := t.e
	err := e.s.missing()
	if err == nil {
		t.gone = time.Time{}
		return nil
	}
	now := e.clock().Now()
	if t.gone.IsZero() {
		t.gone = now
	}
	if now.Sub(t.gone) < e.s.c.o.pace.gone {
		return nil
	}
	return classify(partitionName(e.s.a)+" on "+e.s.a.GetTabletEndpoint(), err)
}
