package hdfs

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	native "github.com/colinmarc/hdfs/v2"

	"omsync/daemon/dest/hadoop"
)

// service is one HDFS: a nameservice or a single NameNode.
type service struct {
	name      string
	rpc, http []string
	user      string
	options   native.ClientOptions
	client    hadoop.Client
	transport Transport
	timeout   time.Duration
	login     *login
	health    health
	route     route
	web       *web
	calls     chan struct{} // NameNode calls at a time; writers are bounded by who opens them
	log       *slog.Logger

	mu     sync.Mutex
	idle   []*session
	closed bool
}

// call runs f on a native session. Errors are in plain words.
func (s *service) call(ctx context.Context, op, path string, f func(*native.Client) error) error {
	select {
	case s.calls <- struct{}{}:
		defer func() { <-s.calls }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		x, err := s.borrow(ctx)
		if err != nil {
			return s.explain(op, path, err)
		}
		err = x.guard(ctx, func() error { return f(x.client) })
		fault := x.fault()
		s.give(x, err == nil || plain(err))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// A NameNode that was restarted leaves sessions behind that nobody knows to be dead. A question can be asked again; an order may have
		// been carried out.
		if x.reused && (unsent(err) || fault != nil && isQuestion(op)) {
			continue
		}
		return s.explain(op, path, cmp.Or(fault, err))
	}
}

// unsent tells whether a call never reached a NameNode. After an error, that of a lease renewal too, the native client skips a NameNode for 5 s and
// then has none left; a new session asks all of them again.
func unsent(err error) bool { return strings.Contains(err.Error(), "no available namenodes") }

// isQuestion tells whether an operation changes nothing.
func isQuestion(op string) bool { return op == "stat" || op == "list" }

// plain tells whether an error is an answer of the NameNode, after which the session is as good as before.
func plain(err error) bool {
	var remote native.Error
	if errors.As(err, &remote) {
		return true
	}
	for _, e := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid, syscall.ENOTEMPTY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *service) close() {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, x := range idle {
		x.idle.Stop()
		x.close()
	}
	s.web.close()
}

// health remembers which NameNodes failed last: the native client always asks the first one first, also when it is the one that hangs.
type health struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (h *health) failed(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at == nil {
		h.at = map[string]time.Time{}
	}
	h.at[address] = time.Now()
}

// order sorts addresses: those that failed longest ago, or never, come first.
func (h *health) order(addresses []string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := slices.Clone(addresses)
	slices.SortStableFunc(out, func(a, b string) int { return h.at[a].Compare(h.at[b]) })
	return out
}

// route chooses between native writing and WebHDFS (Auto).
type route struct {
	mu      sync.Mutex
	fails   int       // straight tries that failed, one after the other
	until   time.Time // files go through WebHDFS
	probing bool      // a file tries the straight way again
}

const (
	firstDetour = 30 * time.Second
	mostDetour  = 10 * time.Minute
)

// detour tells whether the next file goes through WebHDFS. When a detour is over, one file tries the straight way and the others wait for what
// comes of it.
func (r *route) detour() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails == 0 {
		return false
	}
	if time.Now().Before(r.until) {
		return true
	}
	r.until, r.probing = time.Now().Add(r.length()), true
	return false
}

func (r *route) length() time.Duration { return min(firstDetour<<min(r.fails-1, 10), mostDetour) }

// blocked notes that DataNodes failed a native file; it returns how long files go through WebHDFS. Of files that were under way at the same time
// the first counts.
func (r *route) blocked() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails == 0 || r.probing {
		r.fails++
	}
	r.probing = false
	r.until = time.Now().Add(r.length())
	return r.length()
}

// clear ends the detour: a native file went well, or WebHDFS is no way at all.
func (r *route) clear() (was bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was = r.fails > 0
	r.fails, r.until, r.probing = 0, time.Time{}, false
	return was
}
