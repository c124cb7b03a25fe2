package catalog

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"omsync/openmldb/zkconn"
)

// ZK is what the catalog needs of openmldb/zkconn.Conn.
type ZK interface {
	Get(ctx context.Context, path string) ([]byte, *zkconn.Stat, error)
	Exists(ctx context.Context, path string) (bool, *zkconn.Stat, error)
	ListW(ctx context.Context, path string) (names []string, changed <-chan struct{}, err error)
	ReadW(ctx context.Context, path string) (value []byte, there bool, changed <-chan struct{}, err error)
	Sync(ctx context.Context, path string) error
}

// Options of a Catalog.
type Options struct {
	Logger *slog.Logger
	// Refresh is how often the tables are looked at although nothing told of a change; default 30 s.
	Refresh time.Duration
	// Unnotified is the same while there is no table/notify; default 2 s.
	Unnotified time.Duration
}

// Catalog follows one cluster.
type Catalog struct {
	zk   ZK
	root string
	o    Options

	tables tables

	mu      sync.Mutex
	now     *Snapshot
	unread  map[string]bool // sections
	changed chan struct{}
}

// Watch returns the catalog below root, OpenMLDB's zk_root_path; Run follows it.
func Watch(zk ZK, root string, o Options) *Catalog {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Refresh <= 0 {
		o.Refresh = 30 * time.Second
	}
	if o.Unnotified <= 0 {
		o.Unnotified = 2 * time.Second
	}
	c := &Catalog{zk: zk, root: root, o: o, now: &Snapshot{}, changed: make(chan struct{}), unread: map[string]bool{}}
	c.now.index()
	c.tables.known = map[string]entry{}
	for _, name := range []string{"tables", "nodes", "names", "db", "sync_tool/collector"} {
		c.unread[name] = true
	}
	return c
}

// Snapshot is the catalog as last read: empty before Ready. Without a connection it stays what it was.
func (c *Catalog) Snapshot() *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Changed is closed at the next change. Take it before Snapshot.
func (c *Catalog) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Ready waits until everything was read once.
func (c *Catalog) Ready(ctx context.Context) error {
	for {
		c.mu.Lock()
		ok, changed := len(c.unread) == 0, c.changed
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// publish makes the next snapshot.
func (c *Catalog) publish(edit func(*Snapshot) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.now
	if !edit(&next) {
		return
	}
	next.index()
	c.now = &next
	close(c.changed)
	c.changed = make(chan struct{})
}

// section is one part of the snapshot with what tells of its changes.
type section struct {
	what string
	read func(ctx context.Context) (changes []<-chan struct{}, again time.Duration, err error)
}

func (c *Catalog) at(rel string) string { return path.Join(c.root, rel) }

// Run follows the cluster until ctx ends or the connection is closed. It returns nil: what can not be read is logged and read again.
func (c *Catalog) Run(ctx context.Context) error {
	all := errgroup.Group{}
	for _, s := range c.sections() {
		all.Go(func() error {
			c.follow(ctx, s)
			return nil
		})
	}
	return all.Wait()
}

// soon is when something is looked at again that could not be read, or not yet.
const soon = 200 * time.Millisecond

func (c *Catalog) follow(ctx context.Context, s section) {
	told := false
	for ctx.Err() == nil {
		changes, again, err := s.read(ctx)
		switch {
		case errors.Is(err, zkconn.ErrClosed) || ctx.Err() != nil:
			return
		case err != nil:
			if !told {
				c.o.Logger.Warn("can not read "+s.what+" from ZooKeeper", "err", err)
				told = true
			}
			changes, again = nil, soon
		default:
			told = false
		}
		await(ctx, changes, again)
	}
}

// await returns when ctx ends, after again (0: never), or with the first of at most two changes.
func await(ctx context.Context, changes []<-chan struct{}, again time.Duration) {
	var one, two <-chan struct{}
	var late <-chan time.Time
	if len(changes) > 0 {
		one = changes[0]
	}
	if len(changes) > 1 {
		two = changes[1]
	}
	if again > 0 {
		t := time.NewTimer(again)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-ctx.Done():
	case <-one:
	case <-two:
	case <-late:
	}
}
