package collector

import (
	"sync"
	"time"
)

// horizon says up to which log index a partition with followers may be exported: a put is acknowledged before it is replicated, so an entry must have
// been seen for a while (docs/design.md §5.2). It keeps when which end of the log was seen.
type horizon struct {
	settle time.Duration // 0: everything may be exported

	mu   sync.Mutex
	seen []sighting // ascending in both
	old  uint64     // what had settled already
}

type sighting struct {
	at   time.Time
	last uint64
}

// see notes the end of the log.
func (h *horizon) see(now time.Time, last uint64) {
	if h.settle <= 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drain(now)
	if n := len(h.seen); last > h.old && (n == 0 || last > h.seen[n-1].last) {
		h.seen = append(h.seen, sighting{now, last})
	}
}

func (h *horizon) drain(now time.Time) {
	for len(h.seen) > 0 && now.Sub(h.seen[0].at) >= h.settle {
		h.old = h.seen[0].last
		h.seen = h.seen[1:]
	}
}

// reach tells whether index may be exported now, and how long to wait if it is only a matter of time. wait is 0 when index was not seen yet.
func (h *horizon) reach(now time.Time, index uint64) (ok bool, wait time.Duration) {
	if h.settle <= 0 {
		return true, 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drain(now)
	if index <= h.old {
		return true, 0
	}
	for _, s := range h.seen {
		if s.last >= index {
			return false, s.at.Add(h.settle).Sub(now)
		}
	}
	return false, 0
}
