package load

import (
	"context"
	"errors"
	"math"

	"omsync/testenv/cluster"
	"omsync/testenv/ledger"
	"omsync/testenv/tabletsim"
)

// delete removes a key, or a range of its times around a row that was put.
func (w *Writer) delete(ctx context.Context, g *generator) (bool, error) {
	old, ok := w.pick(g)
	if !ok {
		return w.fresh(ctx, g, nil, 0)
	}
	ts := old.ts
	if w.t.Schema().Indexes[0].TsColumn == "" {
		ts = old.time
	}
	start, end := uint64(math.MaxUint64), uint64(0)
	var startP, endP *uint64
	switch g.rand.IntN(3) {
	case 0: // from this row on down
		start = ts
		startP = &start
	case 1: // this row alone
		start, end = ts, ts-min(ts, 1)
		startP, endP = &start, &end
	}
	return w.deleted(w.l.Delete(old.pid, &old.pk, start, end), func() (tabletsim.Ack, error) { return w.t.DeleteKey(ctx, old.pk, startP, endP) })
}

// keyless removes a short range of times of every key of a partition.
func (w *Writer) keyless(ctx context.Context, g *generator) (bool, error) {
	old, ok := w.pick(g)
	// Without a ts column a delete by time needs a key.
	if !ok || w.t.Schema().Indexes[0].TsColumn == "" {
		return w.fresh(ctx, g, nil, 0)
	}
	start, end := old.ts, old.ts-min(old.ts, 5)
	return w.deleted(w.l.Delete(old.pid, nil, start, end), func() (tabletsim.Ack, error) { return w.t.DeleteTimes(ctx, old.pid, &start, &end) })
}

func (w *Writer) deleted(d *ledger.Delete, call func() (tabletsim.Ack, error)) (bool, error) {
	a, err := call()
	switch {
	case errors.Is(err, cluster.ErrRefused):
		d.Refused()
		w.refused.Add(1)
		return false, nil
	case errors.Is(err, tabletsim.ErrDown), errors.Is(err, tabletsim.ErrNotLeader):
		d.Unknown()
		w.unknown.Add(1)
		return false, nil
	case err != nil:
		d.Unknown()
		return false, err
	}
	d.Acked(a)
	w.deletes.Add(1)
	return true, nil
}
