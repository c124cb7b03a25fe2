package tabletsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// registration keeps the ephemeral node of one tablet (formats.md §1.1). It uses the bare client, so that our own wrapper is not tested with itself.
type registration struct {
	conn   *zk.Conn
	path   string
	value  []byte
	again  []byte // value after a re-register
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	sockets map[net.Conn]struct{}
	cut     bool
	err     error
}

// register returns when the node is there.
func register(ctx context.Context, servers []string, timeout time.Duration, scheme, cert, path, endpoint string) (*registration, error) {
	r := &registration{path: path, value: []byte("startup_" + endpoint), again: []byte(endpoint), done: make(chan struct{}), sockets: map[net.Conn]struct{}{}}
	conn, events, err := zk.Connect(servers, timeout, zk.WithLogger(silent{}), zk.WithDialer(r.dial))
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", endpoint, err)
	}
	r.conn = conn
	if cert != "" {
		if err := conn.AddAuth(scheme, []byte(cert)); err != nil {
			conn.Close()
			return nil, fmt.Errorf("register %s: %w", endpoint, err)
		}
	}
	acl := zk.WorldACL(zk.PermAll)
	if cert != "" {
		acl = zk.AuthACL(zk.PermAll)
	}
	if err := r.create(ctx, r.value, acl); err != nil {
		conn.Close()
		return nil, fmt.Errorf("register %s: %w", endpoint, err)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	go r.run(events, acl)
	return r, nil
}

// silent drops the client's log.
type silent struct{}

func (silent) Printf(string, ...any) {}

func (r *registration) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	c, err := net.DialTimeout(network, addr, timeout)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return nil, errors.Join(ErrDown, c.Close())
	}
	r.sockets[c] = struct{}{}
	return c, nil
}

// create waits for a node of an earlier life to go.
func (r *registration) create(ctx context.Context, value []byte, acl []zk.ACL) error {
	for {
		_, err := r.conn.Create(r.path, value, zk.FlagEphemeral, acl)
		if !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
		there, stat, gone, err := r.conn.ExistsW(r.path)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if stat.EphemeralOwner == r.conn.SessionID() {
			return nil
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// run makes the node again after an expired session.
func (r *registration) run(events <-chan zk.Event, acl []zk.ACL) {
	defer close(r.done)
	for {
		select {
		case <-r.ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			if e.State == zk.StateHasSession {
				if err := r.create(r.ctx, r.again, acl); err != nil && r.ctx.Err() == nil {
					r.mu.Lock()
					r.err = err
					r.mu.Unlock()
				}
			}
		}
	}
}

// close removes the node, or with abrupt leaves it to the session timeout as a killed process does.
func (r *registration) close(abrupt bool) error {
	r.cancel()
	if abrupt {
		r.mu.Lock()
		r.cut = true
		for c := range r.sockets {
			c.Close() //nolint:errcheck // its only purpose is to break
		}
		r.mu.Unlock()
	}
	r.conn.Close()
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
