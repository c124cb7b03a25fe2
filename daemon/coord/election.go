package coord

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"omsync/openmldb/zkconn"
)

// Election is one process's place among those who would lead.
type Election struct {
	s       *Session
	address string // advertised; the node's value
	mark    string // begins the names of this candidate's nodes, so that it finds one again whose creation was not answered
}

// Election stands for the lead with the address that consoles and collectors dial.
func (s *Session) Election(address string) *Election {
	return &Election{s: s, address: address, mark: nonce()}
}

// Lead is one election won.
type Lead struct {
	// Lost is closed when the lead is lost: before any other can have been elected by this machine's clock.
	Lost  <-chan struct{}
	e     *Election
	node  string
	lease *zkconn.Lease
}

// Begin bumps the epoch and returns the Store bound to it: from then on leaders before can not decide. ErrLost when the lead is lost already.
func (l *Lead) Begin(ctx context.Context) (*Store, error) {
	return l.e.s.beginEpoch(ctx, l.e.s.conn, l.node, l.e.address)
}

// nonce is 64 random bits as text.
func nonce() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}

// Pauses before standing again: after a lost lead, which is ZooKeeper's doing, and after serve failed, which is this process's.
const (
	firstStand = 100 * time.Millisecond
	lostStand  = time.Second
	lastStand  = 30 * time.Second
)

// standAgain is the pause after a round that ended in err; wait is the one planned, next the one to plan.
func standAgain(wait time.Duration, err error) (now, next time.Duration) {
	if errors.Is(err, ErrLost) || passing(err) {
		wait = min(wait, lostStand)
	}
	return wait, min(2*wait, lastStand)
}

// Run stands until ctx ends and calls serve each time this process is chosen. The end of ctx is no loss: the lead is held until serve returns. A
// serve that fails gives the lead away, and this process stands again after a while. The error is ctx's, or what serve returned after ctx had
// ended, which may be nil.
func (e *Election) Run(ctx context.Context, serve func(ctx context.Context, l *Lead) error) error {
	wait := firstStand
	for ctx.Err() == nil {
		began := time.Now()
		err := e.round(ctx, serve)
		if ctx.Err() != nil {
			return err
		}
		if time.Since(began) > lastStand {
			wait = firstStand
		}
		if err != nil {
			if errors.Is(err, zkconn.ErrClosed) {
				return err
			}
			var now time.Duration
			now, wait = standAgain(wait, err)
			e.s.log.Warn("this synctool does not lead", "err", err, "stands again in", now)
			pause(ctx, now)
		}
	}
	return ctx.Err()
}

// round is one candidacy: stand, wait, lead, leave.
func (e *Election) round(ctx context.Context, serve func(ctx context.Context, l *Lead) error) error {
	lease, err := e.s.conn.Lease(ctx)
	if err != nil {
		return err
	}
	defer e.leave(ctx, lease)
	node, err := e.stand(ctx, lease)
	if err != nil {
		return fmt.Errorf("stand for election: %w", err)
	}
	chosen, err := e.await(ctx, lease, node)
	if err != nil || !chosen {
		return err
	}
	// ctx may end while serve winds up; until it has, the lead is watched.
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	lost, done := make(chan struct{}), make(chan struct{})
	go func() { // ended by stop
		defer close(done)
		if e.holds(watch, lease, node) != nil {
			close(lost)
		}
	}()
	err = serve(ctx, &Lead{Lost: lost, e: e, node: node, lease: lease})
	stop()
	<-done
	return err
}

// stand makes this candidate's node and returns its path. Whatever else there is of it, from an answer that was lost, goes.
func (e *Election) stand(ctx context.Context, lease *zkconn.Lease) (string, error) {
	conn, dir := e.s.conn, e.s.paths.leader()
	sent := false
	for lease.Valid() {
		if err := conn.MkdirAll(ctx, dir); err != nil {
			return "", err
		}
		if err := conn.Sync(ctx, dir); err != nil {
			return "", err
		}
		node := ""
		mine, err := e.mine(ctx)
		if err != nil {
			return "", err
		}
		for _, name := range mine {
			at := path.Join(dir, name)
			there, st, err := conn.Exists(ctx, at)
			if err != nil {
				return "", err
			}
			if there && sent && node == "" && st.EphemeralOwner == lease.Session() {
				node = at
				continue
			}
			if err := conn.Delete(ctx, at, -1); err != nil && !errors.Is(err, zkconn.ErrNoNode) {
				return "", err
			}
		}
		if node != "" {
			return node, nil
		}
		sent = true
		_, err = conn.Create(ctx, path.Join(dir, e.mark+"-n-"), []byte(e.address), zkconn.EphemeralSequential)
		if err != nil && !zkconn.Unknown(err) && !errors.Is(err, zkconn.ErrNoNode) {
			return "", err
		}
		// Read back also after a plain yes: the node must belong to the session of the lease.
	}
	return "", ErrLost
}

// mine lists this candidate's nodes.
func (e *Election) mine(ctx context.Context) ([]string, error) {
	names, _, err := e.s.conn.Children(ctx, e.s.paths.leader())
	if err != nil {
		if errors.Is(err, zkconn.ErrNoNode) {
			return nil, nil
		}
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, e.mark) }), nil
}

// await waits until the node is the first. false: ctx has ended.
func (e *Election) await(ctx context.Context, lease *zkconn.Lease, node string) (bool, error) {
	for {
		names, fired, err := e.s.conn.ListW(ctx, e.s.paths.leader())
		if err != nil {
			return false, err
		}
		switch order := inOrder(names); {
		case !slices.Contains(order, path.Base(node)):
			return false, ErrLost
		case order[0] == path.Base(node):
			return lease.Valid(), nil
		}
		select {
		case <-fired:
		case <-lease.Lost():
			return false, ErrLost
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// holds returns when the lead is lost, with an error, or nil when ctx ends.
func (e *Election) holds(ctx context.Context, lease *zkconn.Lease, node string) error {
	// Asking must not keep from noticing the lease's end: the answer may be long in coming.
	ask, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ended by cancel
		select {
		case <-lease.Lost():
			cancel()
		case <-ask.Done():
		}
	}()
	for {
		there, st, fired, err := e.s.conn.ExistsW(ask, node)
		switch {
		case ctx.Err() != nil:
			return nil
		case ask.Err() != nil, err == nil && (!there || st.EphemeralOwner != lease.Session()):
			return ErrLost
		case err != nil:
			pause(ask, resendPause)
			continue
		}
		select {
		case <-fired:
		case <-ask.Done():
		}
	}
}

// leaveTimeout keeps a server that does not answer from holding up the process's end.
const leaveTimeout = 2 * time.Second

// leave removes what there is of this candidate. What fails is left to the session's end or the next stand.
func (e *Election) leave(ctx context.Context, lease *zkconn.Lease) {
	conn := e.s.conn
	if s := conn.Session(); !s.Connected || s.ID != lease.Session() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	names, err := e.mine(ctx)
	for _, name := range names {
		err = errors.Join(err, conn.Delete(ctx, path.Join(e.s.paths.leader(), name), -1))
	}
	if err != nil && !errors.Is(err, zkconn.ErrNoNode) && !errors.Is(err, zkconn.ErrClosed) {
		e.s.log.Debug("leave the election", "err", err)
	}
}

// inOrder sorts candidates as they came: by the ten digits at the end of their names. What has none is no candidate.
func inOrder(names []string) []string {
	const digits = 10
	out := slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return len(n) < digits || strings.Trim(n[len(n)-digits:], "0123456789") != ""
	})
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(a[len(a)-digits:], b[len(b)-digits:]) })
	return out
}
