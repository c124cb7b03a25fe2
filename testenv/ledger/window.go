package ledger

import (
	"math"
	"slices"
	"time"
)

// Window is what the product chose for one partition, as far as it is known.
type Window struct {
	Mode    int    // 0, 1 or 2
	StartTS uint64 // mode 1
	// ZLo <= z <= ZHi.
	ZLo, ZHi uint64
	// Bases are the snapshots the pin may be of; the zero Base is "no snapshot".
	Bases []Base
	// PinLo..PinHi, ms: now_c lies here.
	PinLo, PinHi int64
	// UpTo: log entries behind this index need not be there yet; 0 = all must.
	UpTo uint64
	// Tolerance is handoff.clock_tolerance; 0 = 5 min.
	Tolerance time.Duration
}

// Mark is a moment of a table.
type Mark struct {
	Step uint64
	Ms   int64
	last map[uint32]uint64
}

// Mark takes the moment.
func (t *Table) Mark() Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := Mark{Step: t.step.Add(1), Ms: time.Now().UnixMilli(), last: map[uint32]uint64{}}
	for pid, h := range t.parts {
		m.last[pid] = h.last
	}
	return m
}

// Last is the largest log index of a partition that was acknowledged at that moment.
func (m Mark) Last(pid uint32) uint64 { return m.last[pid] }

// Between bounds what an export that was created after one moment can have chosen, when its base was pinned and z was read before the other.
func (t *Table) Between(pid uint32, from, to Mark, mode int, startTS uint64) Window {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := Window{Mode: mode, StartTS: startTS, ZLo: from.last[pid], ZHi: to.last[pid], PinLo: from.Ms, PinHi: to.Ms}
	h := t.part(pid)
	// In flight at the end: up to 16 entries may be logged and not yet acknowledged.
	w.ZHi += 16
	first := uint64(math.MaxUint64)
	for _, b := range h.bases {
		first = min(first, b.End)
		if b.Begin <= to.Step && (b.Gone == 0 || b.Gone >= from.Step) {
			w.Bases = append(w.Bases, b)
		}
	}
	if len(w.Bases) == 0 || first > from.Step {
		w.Bases = append(w.Bases, Base{})
	}
	return w
}

// Known narrows a Window by the plan of the subtask's state: z, and the snapshot's directory name ("" = there was none, "?" = not known).
func (w Window) Known(z uint64, snapshot string, nowMs int64) Window {
	w.ZLo, w.ZHi = z, z
	if nowMs > 0 {
		w.PinLo, w.PinHi = nowMs, nowMs
	}
	switch snapshot {
	case "?":
	case "":
		w.Bases = []Base{{}}
	default:
		w.Bases = slices.DeleteFunc(slices.Clone(w.Bases), func(b Base) bool { return b.Name != snapshot })
	}
	return w
}
