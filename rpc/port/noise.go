package port

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"omsync/rpc/budget"
)

// noise logs what peers do wrong: each kind once in ten seconds, with the number left out, so that a hostile peer can not fill the disk.
type noise struct {
	log   *slog.Logger
	clock func() time.Time
	calls *callStats

	mu    sync.Mutex
	kinds map[string]*quiet
}

type quiet struct {
	until time.Time
	left  int
}

const quietFor = 10 * time.Second

func newNoise(log *slog.Logger, clock func() time.Time, calls *callStats) *noise {
	return &noise{log: log, clock: clock, calls: calls, kinds: map[string]*quiet{}}
}

// refused counts and logs something turned away; kind is one of a handful of words.
func (n *noise) refused(kind string, peer net.Addr, err error) {
	var over *budget.OverError
	if errors.As(err, &over) {
		kind += " over " + over.Key
	}
	n.calls.refuse(kind)
	n.mu.Lock()
	q := n.kinds[kind]
	if q == nil {
		q = &quiet{}
		n.kinds[kind] = q
	}
	now := n.clock()
	if now.Before(q.until) {
		q.left++
		n.mu.Unlock()
		return
	}
	left := q.left
	q.until, q.left = now.Add(quietFor), 0
	n.mu.Unlock()
	from := "-"
	if peer != nil {
		from = peer.String()
	}
	n.log.Warn("refused", "kind", kind, "peer", from, "reason", err.Error(), "not_logged", left)
}
