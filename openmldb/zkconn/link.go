package zkconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// Why a link ends.
var (
	errExpired = errors.New("the session has expired")
	errStuck   = errors.New("no session comes about")
)

// link is one connection of the library, good for one session.
type link struct {
	c       *Conn
	zk      *zk.Conn
	ctx     context.Context
	cancel  context.CancelFunc
	gone    chan struct{} // closed at the link's end: nothing more is answered
	expired chan struct{}
	once    sync.Once
	calls   sync.WaitGroup // library calls and watches under way
	started time.Time
	up      chan struct{} // closed when zk is set

	mu        sync.Mutex
	taps      map[*tap]struct{}
	session   int64
	password  []byte
	timeout   time.Duration // granted
	confirmed time.Time     // sending time of the newest answered request
	attached  bool          // the library says it has the session
	known     bool          // the credential was accepted
	keeper    bool          // the library holds a watch that never fires, see keep
	ready     bool          // attached and known
	lease     *Lease
	armed     map[watchKey]chan struct{}
	trust     chan struct{} // closed when watches set before may have missed something
	dials     int           // since the last session
	dialed    time.Time     // end of the last attempt
	reached   bool          // how it ended
	over      bool          // end was called
}

func (c *Conn) newLink() (*link, error) {
	l := &link{
		c: c, gone: make(chan struct{}), expired: make(chan struct{}), started: time.Now(), timeout: c.o.SessionTimeout,
		taps: map[*tap]struct{}{}, armed: map[watchKey]chan struct{}{}, trust: make(chan struct{}), up: make(chan struct{}),
	}
	// Not below c.ctx: when that ends the session is still to be closed in good order.
	l.ctx, l.cancel = context.WithCancel(context.Background())
	conn, events, err := zk.Connect(c.o.Servers, c.o.SessionTimeout, zk.WithDialer(l.dial), zk.WithEventCallback(l.event),
		zk.WithHostProvider(&servers{closing: l.ctx.Done()}), zk.WithLogger(quiet{c.o.Logger}), zk.WithLogInfo(false), zk.WithMaxBufferSize(maxAnswer))
	if err != nil {
		l.cancel()
		return nil, fmt.Errorf("connect to ZooKeeper: %w", err)
	}
	l.zk = conn
	close(l.up)
	// Session events come by the callback; the channel's end is the library's.
	l.calls.Go(func() {
		for range events {
		}
	})
	return l, nil
}

// run watches over the link until it is of no more use.
func (l *link) run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.expired:
			return errExpired
		case <-t.C:
			next, err := l.check(time.Now())
			if err != nil {
				return err
			}
			t.Reset(next)
		}
	}
}

// check ends a lease that is over, cuts a connection that is silent, and tells when to look again.
func (l *link) check(now time.Time) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := leaseTime(l.timeout)
	for t := range l.taps {
		if w := t.waiting(); !w.IsZero() && now.Sub(w) >= limit {
			_ = t.cut() // the library connects to the next server
			delete(l.taps, t)
			l.c.o.Logger.Warn("ZooKeeper does not answer, the connection is cut", "server", t.RemoteAddr(), "after", now.Sub(w).Round(time.Millisecond))
		}
	}
	if l.lease != nil {
		left := l.confirmed.Add(limit).Sub(now)
		if left > 0 {
			return left, nil
		}
		l.lease.end()
		l.lease = nil
	}
	since := l.started
	if l.confirmed.After(since) {
		since = l.confirmed
	}
	// Servers that are down are no reason to give a session up: it lives on when they come back. But when they take the connect and give no
	// session, or the library does not even try, only a new start helps.
	hung := max(2*l.c.o.SessionTimeout, 5*time.Second)
	if now.Sub(since) > l.c.o.SessionTimeout && (l.reached && !l.dialed.Before(since) || now.Sub(l.dialed) > hung && now.Sub(since) > hung) {
		return 0, errStuck
	}
	return max(limit/8, 5*time.Millisecond), nil
}

// dial connects the library to a server, at a pace: the library itself tries again without a pause.
func (l *link) dial(network, address string, _ time.Duration) (net.Conn, error) {
	l.mu.Lock()
	round := l.dials / len(l.c.o.Servers)
	l.dials++
	l.mu.Unlock()
	if round > 0 {
		t := time.NewTimer(min(25*time.Millisecond<<min(round, 6), time.Second))
		defer t.Stop()
		select {
		case <-l.ctx.Done():
			return nil, context.Cause(l.ctx)
		case <-t.C:
		}
	}
	ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
	defer cancel()
	conn, err := l.c.o.Dialer(ctx, network, address)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialed, l.reached = time.Now(), err == nil
	if err != nil {
		return nil, err
	}
	if l.ctx.Err() != nil {
		_ = conn.Close() // nobody will use it
		return nil, context.Cause(l.ctx)
	}
	t := &tap{Conn: conn, heard: l.heard, hello: l.hello, broken: make(chan struct{})}
	if l.keeper {
		t.hold = make(chan struct{})
		if l.c.o.AuthCert != "" {
			t.free = 1
		}
	}
	t.closed = func() {
		l.mu.Lock()
		delete(l.taps, t)
		l.mu.Unlock()
	}
	l.taps[t] = struct{}{}
	return t, nil
}

// hello is the answer to a connect.
func (l *link) hello(session int64, timeout time.Duration, password []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if session != 0 {
		l.session, l.timeout, l.password = session, timeout, password
	}
}

// heard is an answer to a request sent at that time.
func (l *link) heard(sent time.Time) {
	l.mu.Lock()
	if sent.After(l.confirmed) {
		l.confirmed = sent
	}
	renewed := l.renew()
	l.mu.Unlock()
	if renewed {
		l.c.refresh()
	}
}

// renew starts a lease where none is and one can be. The caller holds l.mu.
func (l *link) renew() bool {
	if !l.ready || l.lease != nil || time.Since(l.confirmed) >= leaseTime(l.timeout) {
		return false
	}
	l.lease = newLease(l.session)
	return true
}

// event is called by the library and must not wait.
func (l *link) event(e zk.Event) {
	if e.Type != zk.EventSession {
		return
	}
	switch e.State {
	case zk.StateHasSession:
		l.mu.Lock()
		l.attached, l.dials = true, 0
		prepared := l.known && l.keeper
		l.mu.Unlock()
		if !prepared {
			l.calls.Go(l.prepare)
			return
		}
		l.settle()
	case zk.StateDisconnected:
		l.mu.Lock()
		l.attached, l.ready = false, false
		l.mu.Unlock()
		l.c.refresh()
	case zk.StateExpired:
		l.once.Do(func() { close(l.expired) })
	}
}

// prepare does what a session needs before its first operation. Where it fails the next connection tries again.
func (l *link) prepare() {
	<-l.up
	if l.authenticate() && l.keep() {
		l.settle()
	}
}

// authenticate adds the credential; the library adds it again itself after each reconnect, before anything else is sent.
func (l *link) authenticate() bool {
	l.mu.Lock()
	known := l.known || l.c.o.AuthCert == ""
	l.known = known
	l.mu.Unlock()
	if known {
		return true
	}
	if err := l.zk.AddAuth(l.c.o.AuthScheme, []byte(l.c.o.AuthCert)); err != nil {
		if errors.Is(err, zk.ErrAuthFailed) {
			l.c.o.Logger.Error("ZooKeeper refuses the credential: check scheme and user:password of zk_cert", "scheme", l.c.o.AuthScheme)
		}
		l.cut() // without it nothing may be created
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = true
	return true
}

// keepPath is a node that nobody makes, in the tree that belongs to ZooKeeper itself.
const keepPath = "/zookeeper/omsync"

// keep sets a watch that never fires, so that the library sets watches again after every reconnect: see tap.hold. A server that refuses it is used
// without.
func (l *link) keep() bool {
	_, _, fired, err := l.zk.ExistsW(keepPath)
	if err != nil {
		if !answered(err) {
			l.cut()
		}
		return answered(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.keeper = true
	l.calls.Go(func() {
		select {
		case <-fired: // somebody made the node after all
			l.mu.Lock()
			l.keeper = false
			l.mu.Unlock()
		case <-l.gone:
		}
	})
	return true
}

// settle makes operations go through. Watches set before the break are not trusted: the library sets them again, but drops failures to do so.
func (l *link) settle() {
	l.mu.Lock()
	if !l.attached || !l.known || l.over {
		l.mu.Unlock()
		return
	}
	l.ready = true
	l.renew()
	close(l.trust)
	l.trust, l.armed = make(chan struct{}), map[watchKey]chan struct{}{}
	l.mu.Unlock()
	l.c.refresh()
}

// enter counts a call of the library in, unless the link is over. The caller calls l.calls.Done.
func (l *link) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.calls.Add(1)
	return true
}

// cut breaks the connections to servers.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t := range l.taps {
		_ = t.cut()
		delete(l.taps, t)
	}
}

// end closes the link: its session in good order when there is one, and everything that waits on it.
func (l *link) end() {
	l.mu.Lock()
	if l.lease != nil {
		l.lease.end()
		l.lease = nil
	}
	polite := l.ready
	l.ready, l.over = false, true
	close(l.gone)
	close(l.trust)
	l.mu.Unlock()
	if !polite {
		l.cancel()
		l.cut()
	}
	l.zk.Close() // bounded by its own time-outs
	l.cancel()
	l.cut()
	l.calls.Wait()
}

// servers gives the library its servers round and round; the pace is dial's.
type servers struct {
	closing <-chan struct{}
	list    []string
	at      int
}

func (s *servers) Init(list []string) error {
	if len(list) == 0 {
		return errors.New("no ZooKeeper servers are configured")
	}
	s.list = list
	return nil
}

func (s *servers) Len() int { return len(s.list) }

// Next says "all were tried" only at the end: it is where the library looks whether it was closed.
func (s *servers) Next() (server string, retryStart bool) {
	s.at = (s.at + 1) % len(s.list)
	select {
	case <-s.closing:
		return s.list[s.at], true
	default:
		return s.list[s.at], false
	}
}

func (s *servers) Connected() {}
