package zkconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"
)

// Node is an ephemeral node to keep.
type Node struct {
	Path  string
	Value []byte
}

// Registration keeps ephemeral nodes alive over sessions: they are made again in every new session, when somebody removes one, and when the
// server came back empty.
type Registration struct {
	// Own tells whether a node of another session is a leftover of this process or of one it replaces, and may be removed. Any other is waited
	// for. nil: one with the same value is.
	Own func(n Node, found []byte, st *Stat) bool
	// Changed is told when all nodes are there, and when that is no longer certain. It must not wait.
	Changed func(registered bool)

	c     *Conn
	wake  chan struct{}
	mu    sync.Mutex
	nodes []Node // in the order they are made
	dirty map[string]bool
}

// Register prepares a Registration; Run keeps it.
func (c *Conn) Register(nodes ...Node) *Registration {
	return &Registration{c: c, wake: make(chan struct{}, 1), nodes: nodes, dirty: map[string]bool{}}
}

// Update replaces the value of a node.
func (r *Registration) Update(path string, value []byte) {
	r.mu.Lock()
	for i := range r.nodes {
		if r.nodes[i].Path == path && !bytes.Equal(r.nodes[i].Value, value) {
			r.nodes[i].Value = value
			r.dirty[path] = true
		}
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run registers until ctx ends, then removes the nodes. It returns nil: where the removal fails, which is logged, the session's end does it.
func (r *Registration) Run(ctx context.Context) error {
	told := false
	tell := func(ok bool) {
		if ok != told && r.Changed != nil {
			r.Changed(ok)
		}
		told = ok
	}
	warned := ""
	for attempt := 0; ctx.Err() == nil; attempt++ {
		lease, err := r.c.Lease(ctx)
		var until <-chan struct{}
		if err == nil {
			until, err = r.place(ctx, lease)
		}
		if err == nil {
			warned, attempt = "", 0
			tell(true)
			if !r.rest(ctx, until, lease) {
				tell(false)
			}
			continue // mostly a value of our own was replaced; a node that is gone is made again, or the error says why not
		}
		tell(false)
		if errors.Is(err, ErrClosed) {
			return nil
		}
		if ctx.Err() == nil && err.Error() != warned {
			warned = err.Error()
			r.c.o.Logger.Warn("not registered in ZooKeeper yet", "err", err)
		}
		if until != nil {
			r.rest(ctx, until, lease)
		} else {
			pause(ctx, min(20*time.Millisecond<<min(attempt, 6), time.Second))
		}
	}
	tell(false)
	if err := r.remove(context.WithoutCancel(ctx)); err != nil {
		r.c.o.Logger.Warn("not deregistered from ZooKeeper, the nodes go with the session", "err", err)
	}
	return nil
}

// rest waits for a reason to look again; false when the session can no longer be relied on.
func (r *Registration) rest(ctx context.Context, until <-chan struct{}, lease *Lease) bool {
	select {
	case <-until:
	case <-r.wake:
	case <-lease.Lost():
	case <-ctx.Done():
	}
	return lease.Valid() && ctx.Err() == nil
}

// foreignError: the node belongs to somebody else, who is waited for.
type foreignError struct {
	path  string
	value []byte
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("%s is held by another process (%.200q): it is waited for; if that one runs, give one of the two another endpoint", e.path, e.value)
}

// place makes the nodes that are missing. until is closed when one of them changed and has to be looked at again; it is also set where the
// error is that another process holds a node.
func (r *Registration) place(ctx context.Context, lease *Lease) (until <-chan struct{}, err error) {
	r.mu.Lock()
	nodes := append([]Node(nil), r.nodes...)
	r.mu.Unlock()
	var changes []<-chan struct{}
	for _, n := range nodes {
		change, err := r.placeOne(ctx, n, lease.Session())
		if err != nil {
			return change, err
		}
		changes = append(changes, change)
	}
	return first(lease.Lost(), changes), nil
}

func (r *Registration) placeOne(ctx context.Context, n Node, session int64) (<-chan struct{}, error) {
	for {
		there, st, change, err := r.c.ExistsW(ctx, n.Path)
		if err != nil {
			return nil, err
		}
		if there && st.EphemeralOwner == session {
			return change, r.renew(ctx, n)
		}
		if there {
			value, at, err := r.c.Get(ctx, n.Path)
			if errors.Is(err, ErrNoNode) || err == nil && at.Czxid != st.Czxid {
				continue
			}
			if err != nil {
				return nil, err
			}
			own := bytes.Equal(value, n.Value)
			if r.Own != nil {
				own = r.Own(n, value, at)
			}
			if !own {
				return change, &foreignError{n.Path, value}
			}
			// A leftover: its session is dead or dying. Should its owner have made it anew this very moment, that one makes it once more.
			if err := r.c.Delete(ctx, n.Path, at.Version); err != nil && !errors.Is(err, ErrNoNode) && !errors.Is(err, ErrBadVersion) && !Unknown(err) {
				return nil, err
			}
			continue
		}
		_, err = r.c.Create(ctx, n.Path, n.Value, Ephemeral)
		switch {
		case err == nil:
			r.clean(n)
		case errors.Is(err, ErrNodeExists), Unknown(err):
		case errors.Is(err, ErrNoNode):
			if err := r.c.MkdirAll(ctx, path.Dir(n.Path)); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if s := r.c.Session(); s.ID != session || !s.Connected {
			return nil, &Error{Op: "register", Path: n.Path, Failed: -1, Err: ErrNotConnected, remedy: r.c.reach()}
		}
	}
}

// renew writes a value that was replaced since the node was made.
func (r *Registration) renew(ctx context.Context, n Node) error {
	r.mu.Lock()
	dirty := r.dirty[n.Path]
	r.mu.Unlock()
	if !dirty {
		return nil
	}
	if _, err := r.c.Set(ctx, n.Path, n.Value, -1); err != nil {
		return err
	}
	r.clean(n)
	return nil
}

func (r *Registration) clean(n Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, now := range r.nodes {
		if now.Path == n.Path && bytes.Equal(now.Value, n.Value) {
			delete(r.dirty, n.Path)
		}
	}
}

// removeTimeout keeps a server that does not answer from holding up the process's end.
const removeTimeout = 2 * time.Second

// remove takes the nodes of this session away. A connection that is cut just now has the time until removeTimeout to come back.
func (r *Registration) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	for {
		err := r.removeNow(ctx)
		if err == nil || errors.Is(err, ErrClosed) {
			return nil
		}
		pause(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return err
		}
	}
}

// removeNow goes over the nodes, last made first.
func (r *Registration) removeNow(ctx context.Context) error {
	s := r.c.Session()
	if !s.Connected {
		return &Error{Op: "deregister", Failed: -1, Err: ErrNotConnected, remedy: r.c.reach()}
	}
	r.mu.Lock()
	nodes := append([]Node(nil), r.nodes...)
	r.mu.Unlock()
	var errs []error
	for i := len(nodes) - 1; i >= 0; i-- {
		there, st, err := r.c.Exists(ctx, nodes[i].Path)
		if err == nil && there && st.EphemeralOwner == s.ID {
			err = r.c.Delete(ctx, nodes[i].Path, -1)
		}
		if err != nil && !errors.Is(err, ErrNoNode) && !errors.Is(err, ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// first is closed with the first of several channels; stop ends the wait.
func first(stop <-chan struct{}, several []<-chan struct{}) <-chan struct{} {
	if len(several) == 1 {
		return several[0]
	}
	out := make(chan struct{})
	var once sync.Once
	for _, ch := range several {
		go func() { // ends when a watch fires or the lease does, which every session's end brings
			select {
			case <-ch:
			case <-stop:
			case <-out:
			}
			once.Do(func() { close(out) })
		}()
	}
	return out
}
