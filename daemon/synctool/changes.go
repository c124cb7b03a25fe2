package synctool

import (
	"sync"
	"time"
)

// changes tells watchers that something shown is not what it was.
type changes struct {
	mu   sync.Mutex
	next chan struct{}
}

func newChanges() *changes { return &changes{next: make(chan struct{})} }

func (c *changes) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.next)
	c.next = make(chan struct{})
}

// wait returns a channel that the next change closes.
func (c *changes) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// rateSpan is over how many seconds a rate is taken.
const rateSpan = 10

// rates counts rows and bytes per second over the last rateSpan seconds.
type rates struct {
	slots [rateSpan]struct {
		second      int64
		rows, bytes uint64
	}
}

// base makes seconds of a monotonic clock: a clock that is set must not bend rates.
var base = time.Now()

func second(t time.Time) int64 { return int64(t.Sub(base) / time.Second) }

func (r *rates) add(now time.Time, rows, bytes uint64) {
	sec := second(now)
	s := &r.slots[sec%rateSpan]
	if s.second != sec {
		s.second, s.rows, s.bytes = sec, 0, 0
	}
	s.rows += rows
	s.bytes += bytes
}

func (r *rates) perSecond(now time.Time) (rows, bytes float64) {
	sec := second(now)
	for _, s := range r.slots {
		if sec-s.second < rateSpan && s.second <= sec {
			rows += float64(s.rows)
			bytes += float64(s.bytes)
		}
	}
	return rows / rateSpan, bytes / rateSpan
}
