package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"omsync/testenv/cluster"
	"omsync/testenv/ledger"
	"omsync/testenv/tabletsim"
)

// Mix says what share of the calls is what, of 1; the rest are fresh rows. The zero Mix has only those.
type Mix struct {
	Rewrites  float64 // a row's key and ts again, other values
	Identical float64 // a whole row again
	Deletes   float64 // of a key, or of a range of one
	Keyless   float64 // deletes of a range of old times of all keys of a partition
	Expired   float64 // rows whose ts lies before the TTL (tables with an absolute one)
	Big       float64 // rows of 1.0 to 2.5 MiB
}

// Usual is the mix that reliability tests ask for at least.
var Usual = Mix{Rewrites: 0.06, Identical: 0.01, Deletes: 0.01, Keyless: 0.0002, Expired: 0.02}

// Options of a Writer.
type Options struct {
	Mix     Mix
	Seed    uint64
	Writers int     // default 4
	Rate    float64 // calls per second of all writers; 0 = no limit
	Calls   int     // stop after so many; 0 = until the context ends
	Keys    int     // distinct values of the key columns, default 1000
	Pad     int     // length of string columns, default 40
}

// Stats count calls by what became of them.
type Stats struct {
	Puts, Rewrites, Identical, Deletes int64 // acknowledged; Puts holds the rewrites too
	Refused, Unknown                   int64
}

// Writer writes to one table.
type Writer struct {
	t    *cluster.Table
	l    *ledger.Table
	o    Options
	left atomic.Int64

	mu     sync.Mutex
	recent []sent // ring
	at     int

	puts, rewrites, identical, deletes, refused, unknown atomic.Int64
}

// sent is a row that was put.
type sent struct {
	pid    uint32
	n      uint32
	pk     string
	ts     uint64
	time   uint64
	values []any
}

const remembered = 4096

// New makes a Writer of a table that has a ledger.
func New(t *cluster.Table, o Options) (*Writer, error) {
	if o.Writers == 0 {
		o.Writers = 4
	}
	if o.Keys == 0 {
		o.Keys = 1000
	}
	if o.Pad == 0 {
		o.Pad = 40
	}
	l := t.Ledger()
	if l == nil {
		return nil, errors.New("load: the table has no ledger")
	}
	w := &Writer{t: t, l: l, o: o}
	w.left.Store(int64(o.Calls))
	return w, nil
}

// Stats so far.
func (w *Writer) Stats() Stats {
	return Stats{w.puts.Load(), w.rewrites.Load(), w.identical.Load(), w.deletes.Load(), w.refused.Load(), w.unknown.Load()}
}

// Run writes until the calls are used up or ctx ends, which is no error. Calls under way are waited for. A tablet that is down is tried again.
func (w *Writer) Run(ctx context.Context) error {
	var g errgroup.Group
	for i := range w.o.Writers {
		g.Go(func() error { return w.write(ctx, i) })
	}
	return g.Wait()
}

// retryAfter is how long a writer leaves a table alone whose tablet is down.
const retryAfter = 20 * time.Millisecond

func (w *Writer) write(ctx context.Context, i int) error {
	g := &generator{rand: rand.New(rand.NewPCG(w.o.Seed, uint64(i)+1)), o: w.o}
	begin := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		if w.o.Calls > 0 && w.left.Add(-1) < 0 {
			return nil
		}
		if w.o.Rate > 0 {
			due := begin.Add(time.Duration(float64(n) * float64(w.o.Writers) / w.o.Rate * float64(time.Second)))
			if !pause(ctx, time.Until(due)) {
				return nil
			}
		}
		// A call that was begun is seen to its end: a cancelled one would leave a row in the store and not in the log.
		ok, err := w.call(context.WithoutCancel(ctx), g)
		if err != nil {
			return fmt.Errorf("load %s: %w", w.l.Shape().Name, err)
		}
		if !ok && !pause(ctx, retryAfter) {
			return nil
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// call makes one call; ok is false when the tablet did not take it.
func (w *Writer) call(ctx context.Context, g *generator) (ok bool, err error) {
	m, x := w.o.Mix, g.rand.Float64()
	for _, c := range []struct {
		share float64
		do    func(context.Context, *generator) (bool, error)
	}{
		{m.Rewrites, w.rewrite}, {m.Identical, w.again}, {m.Deletes, w.delete}, {m.Keyless, w.keyless}, {m.Expired, w.expired}, {m.Big, w.big},
	} {
		if x -= c.share; x < 0 {
			return c.do(ctx, g)
		}
	}
	return w.fresh(ctx, g, nil, 0)
}

func (w *Writer) remember(s sent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.recent) < remembered {
		w.recent = append(w.recent, s)
		return
	}
	w.recent[w.at] = s
	w.at = (w.at + 1) % remembered
}

func (w *Writer) pick(g *generator) (sent, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.recent) == 0 {
		return sent{}, false
	}
	return w.recent[g.rand.IntN(len(w.recent))], true
}

// fresh puts a new row; change may set values first. putMs 0 = now.
func (w *Writer) fresh(ctx context.Context, g *generator, change func(s *tabletsim.Schema, values []any), putMs uint64) (bool, error) {
	s := w.t.Schema()
	values := g.row(s)
	if change != nil {
		change(s, values)
	}
	pk := s.Key(0, values)
	r := sent{pid: tabletsim.PartitionOf(pk, s.Partitions), pk: pk, values: values, time: putMs}
	n, tag := w.l.Row(r.pid)
	r.n, values[w.l.Shape().Tag] = n, tag
	if c := s.Indexes[0].TsColumn; c != "" {
		r.ts = uint64(values[column(s, c)].(int64)) //nolint:forcetypeassert // the generator fills ts columns
	}
	return w.send(ctx, r)
}

func column(s *tabletsim.Schema, name string) int {
	for i, c := range s.AllColumns() {
		if c.Name == name {
			return i
		}
	}
	return -1
}

func (w *Writer) send(ctx context.Context, r sent) (bool, error) {
	p, err := w.l.Put(r.pid, r.n, r.pk, r.ts, r.values)
	if err != nil {
		return false, err
	}
	putMs := uint64(0)
	if w.l.Shape().Index.TsColumn == "" {
		putMs = r.time // it is the key's time
	}
	a, err := w.t.Put(ctx, putMs, r.values)
	switch {
	case errors.Is(err, cluster.ErrRefused):
		p.Refused()
		w.refused.Add(1)
		return false, nil
	case errors.Is(err, tabletsim.ErrDown), errors.Is(err, tabletsim.ErrNotLeader), errors.Is(err, tabletsim.ErrNotReady):
		p.Unknown()
		w.unknown.Add(1)
		return false, nil
	case err != nil:
		p.Unknown()
		return false, err
	}
	p.Acked(a)
	r.time = a.Time
	w.puts.Add(1)
	w.remember(r)
	return true, nil
}

func (w *Writer) rewrite(ctx context.Context, g *generator) (bool, error) {
	old, ok := w.pick(g)
	if !ok {
		return w.fresh(ctx, g, nil, 0)
	}
	ok, err := w.fresh(ctx, g, func(s *tabletsim.Schema, values []any) {
		ix := s.Indexes[0]
		for _, c := range append([]string{ix.TsColumn}, ix.Columns...) {
			if i := column(s, c); i >= 0 && i < len(old.values) {
				values[i] = old.values[i]
			}
		}
	}, old.time)
	if ok {
		w.rewrites.Add(1)
	}
	return ok, err
}

func (w *Writer) again(ctx context.Context, g *generator) (bool, error) {
	old, ok := w.pick(g)
	if !ok {
		return w.fresh(ctx, g, nil, 0)
	}
	ok, err := w.send(ctx, old)
	if ok {
		w.identical.Add(1)
	}
	return ok, err
}

func (w *Writer) big(ctx context.Context, g *generator) (bool, error) {
	return w.fresh(ctx, g, func(s *tabletsim.Schema, values []any) {
		for i, c := range s.AllColumns() {
			if _, str := values[i].(string); str && g.free(s, c.Name) && i != w.l.Shape().Tag {
				values[i] = g.text(1<<20 + g.rand.IntN(3<<19))
				return
			}
		}
	}, 0)
}

func (w *Writer) expired(ctx context.Context, g *generator) (bool, error) {
	return w.fresh(ctx, g, func(s *tabletsim.Schema, values []any) {
		ix := s.Indexes[0]
		if ix.TsColumn == "" || ix.AbsTTL == 0 {
			return
		}
		old := time.Now().UnixMilli() - int64(ix.AbsTTL)*60_000 - int64(1+g.rand.IntN(600_000))
		values[column(s, ix.TsColumn)] = max(1, old)
	}, 0)
}
