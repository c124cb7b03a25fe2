package ledger

import (
	"strings"
	"testing"
	"time"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/tabletsim"
)

// TestClaim holds one history per line of the package comment's table. All rows have key k; x is the row asked about (L0-0).
func TestClaim(t *testing.T) {
	t.Parallel()
	const ts = 10
	at := cell2{"k", ts}
	for _, c := range []struct {
		name     string
		play     func(w *world) (z uint64)
		change   func(w *world, win *Window)
		min, max int
	}{
		{name: "live at z, no base", play: func(w *world) uint64 { w.put(at); return w.index }, min: 1, max: 1},
		{name: "live at z, not in the base", play: func(w *world) uint64 { w.snapshot(); w.put(at); return w.index }, min: 1, max: 1},
		{name: "in the base, deleted before z", play: func(w *world) uint64 { w.put(at); w.snapshot(); w.delete(&at.k, 99, 0); return w.index }, min: 1, max: 1},
		{name: "in the base, overwritten before z", play: func(w *world) uint64 { w.put(at); w.snapshot(); w.put(at); return w.index }, min: 1, max: 1},
		{name: "put after the base, deleted before z", play: func(w *world) uint64 {
			w.snapshot()
			w.put(at)
			w.delete(&at.k, 99, 0)
			return w.index
		}, min: 0, max: 1},
		{name: "deleted before the base", play: func(w *world) uint64 { w.put(at); w.delete(&at.k, 99, 0); w.snapshot(); return w.index }},
		{name: "delete spares other times", play: func(w *world) uint64 { w.put(at); w.delete(&at.k, 99, ts); w.snapshot(); return w.index }, min: 1, max: 1},
		{name: "overwritten before the base", play: func(w *world) uint64 { w.put(at); w.put(at); w.snapshot(); return w.index }},
		{name: "truncated before the base", play: func(w *world) uint64 { w.put(at); w.truncate(); return w.index }},
		{name: "truncated just before the base", play: func(w *world) uint64 { w.put(at); w.truncate(); return w.index }, max: 1,
			change: func(_ *world, win *Window) { win.Tolerance = 2 * time.Hour }},
		{name: "truncated after the base that lacks it", play: func(w *world) uint64 {
			w.snapshot()
			w.put(at)
			b := w.l.Step()
			w.l.Truncated(0, b)
			w.put(cell2{"z", 1})
			return w.index
		}, max: 1},
		{name: "put after z", play: func(w *world) uint64 { w.snapshot(); z := w.index; w.put(at); return z }, min: 1, max: 1},
		{name: "put after z in mode 0", play: func(w *world) uint64 { w.snapshot(); z := w.index; w.put(at); return z },
			change: func(_ *world, win *Window) { win.Mode = 0 }},
		{name: "put after z, not asked for yet", play: func(w *world) uint64 { z := w.index; w.put(cell2{"q", 1}); w.put(at); return z }, min: 1, max: 1},
		{name: "identical rewrites before and after z", play: func(w *world) uint64 {
			w.put(at)
			w.send(at, w.live[at])
			z := w.index
			w.send(at, w.live[at])
			w.send(at, w.live[at])
			return z
		}, min: 3, max: 3},
		{name: "before -ts", play: func(w *world) uint64 { w.put(at); return w.index }, change: func(_ *world, win *Window) { win.Mode, win.StartTS = 1, ts+1 }},
		{name: "at -ts", play: func(w *world) uint64 { w.put(at); return w.index }, change: func(_ *world, win *Window) { win.Mode, win.StartTS = 1, ts }, min: 1, max: 1},
		{name: "expired at the pin", play: func(w *world) uint64 { w.put(at); return w.index },
			change: func(w *world, _ *Window) { w.l.shape.Index.AbsTTL = 1 }},
		{name: "expired, but put after z", play: func(w *world) uint64 { z := w.index; w.put(at); return z },
			change: func(w *world, _ *Window) { w.l.shape.Index.AbsTTL = 1 }, min: 1, max: 1},
		{name: "perhaps expired", play: func(w *world) uint64 { w.put(at); return w.index },
			change: func(w *world, win *Window) { w.l.shape.Index.AbsTTL = 1; win.PinLo, win.PinHi = 0, 90_000 }, max: 1},
		{name: "beyond the latest", play: func(w *world) uint64 { w.put(at); w.put(cell2{"k", 11}); w.put(cell2{"k", 12}); return w.index },
			change: func(w *world, _ *Window) {
				w.l.shape.Index.LatTTL, w.l.shape.Index.TTLType = 2, typepb.TTLType_kLatestTime
			}, max: 1},
		{name: "among the latest", play: func(w *world) uint64 { w.put(at); w.put(cell2{"k", 12}); return w.index },
			change: func(w *world, _ *Window) {
				w.l.shape.Index.LatTTL, w.l.shape.Index.TTLType = 2, typepb.TTLType_kLatestTime
			}, min: 1, max: 1},
		{name: "no answer", play: func(w *world) uint64 {
			n, tag := w.l.Row(0)
			p, err := w.l.Put(0, n, at.k, at.ts, []any{at.k, int64(at.ts), float64(n), tag})
			if err != nil {
				w.t.Fatal(err)
			}
			p.Unknown()
			w.put(cell2{"z", 1})
			return w.index
		}, max: 1},
		{name: "perhaps overwritten by one without an answer", play: func(w *world) uint64 {
			w.put(at)
			n, tag := w.l.Row(0)
			p, err := w.l.Put(0, n, at.k, at.ts, []any{at.k, int64(at.ts), float64(n), tag})
			if err != nil {
				w.t.Fatal(err)
			}
			p.Unknown()
			return w.index
		}, max: 1},
		{name: "hidden by the tablet's own offset", play: func(w *world) uint64 { w.snapshot(); w.put(at); w.l.Restarted(0, "t", 100); return w.index }, max: 1},
		{name: "snapshot under way while it was put", play: func(w *world) uint64 {
			b := w.l.Step()
			w.put(at)
			w.l.Snapshot(0, "t", tabletsim.Checkpoint{Name: "s", End: time.UnixMilli(1)}, b)
			w.delete(&at.k, 99, 0)
			return w.index
		}, max: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			z := c.play(w)
			win := w.window(z, 2)
			if c.change != nil {
				c.change(w, &win)
			}
			got := resolve(w.l.part(0)).rowBounds(w.l, 0, win)
			if got != (count{c.min, c.max}) {
				t.Errorf("row is expected %v, want %d..%d", got, c.min, c.max)
			}
		})
	}
}

func TestUpTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.put(cell2{"a", 1})
	z := w.index
	w.put(cell2{"b", 1})
	w.put(cell2{"c", 1})
	win := w.window(z, 2)
	rows := w.export(z, 2)
	win.UpTo = z + 1
	if r := w.verify(rows[:2], win); r.Lost != 0 {
		t.Errorf("the entry behind UpTo is missed: %+v", r)
	}
	if r := w.verify(rows, win); r.Duplicate+r.Phantom != 0 {
		t.Errorf("the entry behind UpTo is not allowed: %+v", r)
	}
	win.UpTo = 0
	if r := w.verify(rows[:2], win); r.Lost != 1 {
		t.Errorf("the last entry is not missed: %+v", r)
	}
}

func TestStrangeRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.put(cell2{"a", 1})
	w.l.Seed(0, "s", 5, 5, 0, []any{"s", int64(5), 1.5, "old"})
	good := []Row{{PID: 0, Values: w.live[cell2{"a", 1}].values}, {PID: 0, Values: []any{"s", int64(5), 1.5, "old"}}}
	win := w.window(w.index, 2)
	if r := w.verify(good, win); r.Lost+r.Duplicate+r.Phantom != 0 {
		t.Fatalf("%+v", r)
	}
	for name, r := range map[string]Row{
		"other value":     {Values: []any{"a", int64(1), 77.0, "L0-0"}},
		"never put":       {Values: []any{"a", int64(1), 77.0, "L0-9"}},
		"unknown":         {Values: []any{"a", int64(1), 77.0, "x"}},
		"wrong partition": {PID: 3, Values: good[0].Values},
	} {
		wins := map[uint32]Window{0: win, 3: win}
		rep, err := w.l.Verify(seq(append([]Row{r}, good...)), wins)
		if err != nil {
			t.Fatal(err)
		}
		if s := rep.Sum(); s.Phantom != 1 || s.Lost+s.Duplicate != 0 || rep.Err() == nil || !strings.Contains(rep.Err().Error(), "phantom=1") {
			t.Errorf("%s: %+v", name, rep)
		}
	}
	if _, err := w.l.Verify(seq([]Row{{PID: 9, Values: []any{"x", nil, nil, "y"}}}), map[uint32]Window{0: win}); err == nil {
		t.Error("a row of a partition that was not exported passes")
	}
	if _, err := w.l.Verify(seq(nil), map[uint32]Window{0: {}}); err == nil {
		t.Error("a window without a base passes")
	}
	p, err := w.l.Put(0, 0, "a", 1, []any{"a", int64(1), 5.0, "L0-0"})
	if err == nil || p != nil {
		t.Error("a rewrite with other values passes")
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.put(cell2{"a", 1})
	w.snapshot()
	m0 := w.l.Mark()
	w.put(cell2{"b", 1})
	w.snapshot()
	m1 := w.l.Mark()
	w.snapshot()
	win := w.l.Between(0, m0, m1, 2, 0)
	if win.ZLo != 1 || win.ZHi != 2+16 || len(win.Bases) != 2 || win.Bases[0].Name != "s1" || win.Bases[1].Name != "s2" {
		t.Errorf("%+v", win)
	}
	if k := win.Known(2, "s2", 7); k.ZLo != 2 || k.ZHi != 2 || len(k.Bases) != 1 || k.PinLo != 7 {
		t.Errorf("%+v", k)
	}
	if k := win.Known(2, "", 7); len(k.Bases) != 1 || k.Bases[0] != (Base{}) {
		t.Errorf("%+v", k)
	}
	if e := w.l.Between(5, m0, m1, 2, 0); len(e.Bases) != 1 || e.Bases[0].Name != "" {
		t.Errorf("partition without snapshots: %+v", e)
	}
}
