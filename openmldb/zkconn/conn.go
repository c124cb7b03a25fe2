package zkconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Conn is a connection to ZooKeeper that is kept up over sessions. Its methods may be called from anywhere.
type Conn struct {
	o      Options
	ctx    context.Context // the Conn's life, ended by Close or with Run's
	cancel context.CancelFunc
	ends   sync.WaitGroup // links being closed

	mu      sync.Mutex
	done    chan struct{} // closed when Run has returned, nil before Run
	link    *link         // nil between two
	state   Session
	changed chan struct{}
}

// Session is the present session.
type Session struct {
	ID        int64         // 0: none yet
	Connected bool          // operations are answered
	Since     time.Time     // of Connected being what it is
	Timeout   time.Duration // granted
}

// Open prepares a Conn; Run connects it. Operations before that wait within their deadlines.
func Open(o Options) *Conn {
	o.fill()
	c := &Conn{o: o, changed: make(chan struct{}), state: Session{Since: time.Now()}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Run keeps the Conn connected until ctx ends or Close is called, then closes the session. An error says that nothing could be begun: no servers
// are given, or Run was called twice.
func (c *Conn) Run(ctx context.Context) error {
	c.mu.Lock()
	again := c.done != nil
	if !again {
		c.done = make(chan struct{})
	}
	c.mu.Unlock()
	if again {
		return errors.New("the ZooKeeper connection runs already")
	}
	defer close(c.done)
	defer c.cancel()
	if len(c.o.Servers) == 0 {
		return errors.New("no ZooKeeper servers are configured: set zk_cluster (data_collector.flags) or zookeeper.cluster (synctool.properties)")
	}
	stop := context.AfterFunc(ctx, c.cancel)
	defer stop()
	for round := 0; c.ctx.Err() == nil; round++ {
		began := time.Now()
		err := c.hold()
		if c.ctx.Err() != nil {
			break
		}
		c.o.Logger.Warn("a new ZooKeeper session is opened", "servers", strings.Join(c.o.Servers, ","), "because", err)
		if time.Since(began) > 2*c.o.SessionTimeout {
			round = 0
		}
		pause(c.ctx, min(10*time.Millisecond<<min(round, 7), time.Second))
	}
	c.settleEnds()
	return nil
}

// hold is one link's life.
func (c *Conn) hold() error {
	l, err := c.newLink()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.link = l
	c.mu.Unlock()
	c.refresh()
	err = l.run(c.ctx)
	c.mu.Lock()
	c.link = nil
	c.mu.Unlock()
	c.ends.Go(l.end)
	c.refresh()
	return err
}

// settleEnds waits for the links being closed. The library bounds each by 3 s; one that hangs all the same is left behind.
func (c *Conn) settleEnds() {
	done := make(chan struct{})
	go func() { // ends with the links
		c.ends.Wait()
		close(done)
	}()
	t := time.NewTimer(10 * time.Second)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		c.o.Logger.Error("the ZooKeeper client library does not end; its goroutines are left behind")
	}
}

// Close ends the session and waits for Run to return.
func (c *Conn) Close() error {
	c.cancel()
	c.mu.Lock()
	done := c.done
	c.mu.Unlock()
	if done != nil {
		<-done
	}
	return nil
}

// Session returns the present session. It may be over without anybody here knowing: see Lease.
func (c *Conn) Session() Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// SessionKey is what a second connection needs to take the present session over, nil without one. Tests end sessions with it.
func (c *Conn) SessionKey() (id int64, password []byte) {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l == nil {
		return 0, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session, l.password
}

// Changed is closed at the next change of Session.
func (c *Conn) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// refresh takes note of what the link is now and wakes who waits for a change. It is called without locks held.
func (c *Conn) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := Session{Timeout: c.o.SessionTimeout}
	if l := c.link; l != nil {
		l.mu.Lock()
		now.ID, now.Connected, now.Timeout = l.session, l.ready, l.timeout
		l.mu.Unlock()
	}
	now.Since = c.state.Since
	if now.Connected != c.state.Connected {
		now.Since = time.Now()
	}
	c.state = now
	close(c.changed)
	c.changed = make(chan struct{})
}

// ready waits for a link that answers.
func (c *Conn) ready(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, ok, changed := c.link, c.state.Connected, c.changed
		c.mu.Unlock()
		if ok && l != nil {
			return l, nil
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ErrNotConnected
		}
	}
}

// reach is the remedy where ZooKeeper can not be reached.
func (c *Conn) reach() string {
	return "is ZooKeeper up at " + strings.Join(c.o.Servers, ",") + "?"
}

// quiet passes what the library logs on as debug messages: what matters is logged here.
type quiet struct{ *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.Debug("zookeeper client", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
