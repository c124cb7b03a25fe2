package port

import (
	"context"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// callStats counts calls per method since the Server was made.
type callStats struct {
	since     time.Time
	panics    atomic.Uint64
	abandoned atomic.Uint64 // calls answered for while their handler slept through the deadline
	unknown   atomic.Uint64 // HTTP requests for something that is not there

	mu      sync.RWMutex
	methods map[string]*methodStats
	refused map[string]uint64 // frames, messages and connections turned away, by kind
}

func newCallStats(clock func() time.Time) *callStats {
	return &callStats{since: clock(), methods: map[string]*methodStats{}, refused: map[string]uint64{}}
}

// slots of the latency histogram: slot i counts calls shorter than 2^i × 250 µs, the last one all others.
const (
	slots     = 20
	firstSlot = 250 * time.Microsecond
)

type methodStats struct {
	name    string
	running atomic.Int64
	calls   [protocols]atomic.Uint64
	errors  [protocols]atomic.Uint64
	nanos   atomic.Int64 // of all finished calls
	slowest atomic.Int64
	latency [slots]atomic.Uint64
	last    atomic.Pointer[string] // last error's text
}

// begin counts a call as running. Only registered methods get here, so the map stays small.
func (c *callStats) begin(name string, via protocol) *methodStats {
	c.mu.RLock()
	m := c.methods[name]
	c.mu.RUnlock()
	if m == nil {
		c.mu.Lock()
		if m = c.methods[name]; m == nil {
			m = &methodStats{name: name}
			c.methods[name] = m
		}
		c.mu.Unlock()
	}
	m.running.Add(1)
	m.calls[via].Add(1)
	return m
}

// end counts a call as finished. A peer that went away is no error of the method's.
func (m *methodStats) end(via protocol, err error, took time.Duration) {
	m.running.Add(-1)
	m.nanos.Add(int64(took))
	for {
		old := m.slowest.Load()
		if int64(took) <= old || m.slowest.CompareAndSwap(old, int64(took)) {
			break
		}
	}
	m.latency[slotOf(took)].Add(1)
	if err != nil && status.Code(err) != codes.Canceled && err != context.Canceled {
		m.errors[via].Add(1)
		text := clip(err.Error())
		m.last.Store(&text)
	}
}

func slotOf(d time.Duration) int {
	return min(slots-1, bits.Len64(uint64(max(0, d)/firstSlot)))
}

// bound is the upper end of a latency slot.
func bound(slot int) time.Duration { return firstSlot << slot }

// quantile is the upper end of the slot that holds the q-th part of all calls.
func (m *methodStats) quantile(q float64) time.Duration {
	var all uint64
	for i := range m.latency {
		all += m.latency[i].Load()
	}
	var seen uint64
	for i := range m.latency {
		if seen += m.latency[i].Load(); all > 0 && float64(seen) >= q*float64(all) {
			return min(bound(i), time.Duration(m.slowest.Load()))
		}
	}
	return 0
}

func (m *methodStats) sum(of *[protocols]atomic.Uint64) (n uint64) {
	for i := range of {
		n += of[i].Load()
	}
	return n
}

func (c *callStats) sorted() []*methodStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var all []*methodStats
	for _, m := range c.methods {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *methodStats) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

// table writes the part of /status about calls.
func (c *callStats) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "METHOD\tCALLS\tERRORS\tRUNNING\tMEAN\tP50\tP99\tMAX\tLAST ERROR")
	for _, m := range c.sorted() {
		calls := m.sum(&m.calls)
		var mean time.Duration
		if done := int64(calls) - m.running.Load(); done > 0 {
			mean = time.Duration(m.nanos.Load() / done)
		}
		last := "-"
		if p := m.last.Load(); p != nil {
			last = *p
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%q\n", m.name, calls, m.sum(&m.errors), m.running.Load(),
			short(mean), short(m.quantile(0.5)), short(m.quantile(0.99)), short(time.Duration(m.slowest.Load())), last)
	}
	t.Flush()
	for _, r := range c.refusals() {
		fmt.Fprintf(w, "refused (%s): %d\n", r.kind, r.n)
	}
}

type refusal struct {
	kind string
	n    uint64
}

func (c *callStats) refusals() []refusal {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var all []refusal
	for kind, n := range c.refused {
		all = append(all, refusal{kind, n})
	}
	slices.SortFunc(all, func(a, b refusal) int {
		if a.kind < b.kind {
			return -1
		}
		return 1
	})
	return all
}

func (c *callStats) refuse(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[kind]++
}

// short rounds a duration to three digits or so.
func short(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}
