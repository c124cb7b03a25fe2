package collector

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"omsync/daemon/coord"
	"omsync/openmldb/catalog"
	"omsync/openmldb/zkconn"
)

// ClusterOptions shape the ZooKeeper side of a collector.
type ClusterOptions struct {
	ZooKeeper zkconn.Options
	Root      string // OpenMLDB's zk_root_path
	Logger    *slog.Logger
}

// NewCluster returns the Cluster of a process: one connection, the catalog, the leader's address and the registration on it. Nothing is dialed
// before Run.
func NewCluster(o ClusterOptions) *ZooKeeper {
	conn := zkconn.Open(o.ZooKeeper)
	session := coord.New(conn, o.Root, coord.Options{Logger: o.Logger})
	return &ZooKeeper{
		conn: conn, session: session, catalog: catalog.Watch(conn, o.Root, catalog.Options{Logger: o.Logger}),
		leader: session.WatchLeader(), changed: make(chan struct{}),
	}
}

// ZooKeeper is the Cluster of a real process.
type ZooKeeper struct {
	conn    *zkconn.Conn
	session *coord.Session
	catalog *catalog.Catalog
	leader  *coord.Leader

	mu      sync.Mutex
	changed chan struct{}
	known   bool
}

// Run implements Cluster.
func (c *ZooKeeper) Run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{c.conn.Run, c.catalog.Run, c.leader.Run, c.tell, c.ready} {
		all.Go(func() error { return run(ctx) })
	}
	err := all.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// tell makes one signal of many.
func (c *ZooKeeper) tell(ctx context.Context) error {
	for {
		tables, leader, session := c.catalog.Changed(), c.leader.Changed(), c.conn.Changed()
		c.touch()
		select {
		case <-tables:
		case <-leader:
		case <-session:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *ZooKeeper) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *ZooKeeper) ready(ctx context.Context) error {
	if c.catalog.Ready(ctx) == nil {
		c.mu.Lock()
		c.known = true
		c.mu.Unlock()
		c.touch()
	}
	return nil
}

// Register implements Cluster.
func (c *ZooKeeper) Register(ctx context.Context, rec coord.CollectorRecord, changed func(coord.Standing)) error {
	return c.session.RegisterCollector(ctx, rec, changed)
}

// Leader implements Cluster.
func (c *ZooKeeper) Leader() string { return c.leader.Snapshot() }

// Tablets implements Cluster.
func (c *ZooKeeper) Tablets() ([]Tablet, bool) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	s := c.catalog.Snapshot()
	out := make([]Tablet, len(s.Tablets))
	for i, node := range s.Tablets {
		out[i] = Tablet{Node: node, Address: s.Resolve(node), Host: s.Host(node)}
	}
	return out, known
}

// Resolve implements Cluster.
func (c *ZooKeeper) Resolve(node string) string { return c.catalog.Snapshot().Resolve(node) }

// Connected implements Cluster.
func (c *ZooKeeper) Connected() bool { return c.conn.Session().Connected }

// Changed implements Cluster.
func (c *ZooKeeper) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}
