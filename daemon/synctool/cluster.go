package synctool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"omsync/daemon/coord"
	"omsync/openmldb/catalog"
	"omsync/openmldb/pb/nspb"
	"omsync/openmldb/zkconn"
)

// ClusterOptions shape the ZooKeeper side of a synctool.
type ClusterOptions struct {
	ZooKeeper zkconn.Options
	Root      string // OpenMLDB's zk_root_path
	Advertise string // host:port of the election's node
	Logger    *slog.Logger
}

// NewCluster returns the Cluster of a process: one connection, the catalog, the list of collectors and the election on it. Nothing is dialed
// before Run.
func NewCluster(o ClusterOptions) *ZooKeeper {
	conn := zkconn.Open(o.ZooKeeper)
	session := coord.New(conn, o.Root, coord.Options{Logger: o.Logger})
	return &ZooKeeper{
		conn: conn, catalog: catalog.Watch(conn, o.Root, catalog.Options{Logger: o.Logger}), collectors: session.WatchCollectors(),
		leader: session.WatchLeader(), election: session.Election(o.Advertise), changed: make(chan struct{}),
	}
}

// ZooKeeper is the Cluster of a real process. It answers from what its watches brought.
type ZooKeeper struct {
	conn       *zkconn.Conn
	catalog    *catalog.Catalog
	collectors *coord.Collectors
	leader     *coord.Leader
	election   *coord.Election

	mu      sync.Mutex
	changed chan struct{}
}

// Run implements Cluster.
func (c *ZooKeeper) Run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{c.conn.Run, c.catalog.Run, c.collectors.Run, c.leader.Run, c.tell} {
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
		tables, collectors, session := c.catalog.Changed(), c.collectors.Changed(), c.conn.Changed()
		c.mu.Lock()
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		select {
		case <-tables:
		case <-collectors:
		case <-session:
		case <-ctx.Done():
			return nil
		}
	}
}

// Lead implements Cluster. A process that is chosen serves once it knows the cluster.
func (c *ZooKeeper) Lead(ctx context.Context, serve func(ctx context.Context, l Lead) error) error {
	return c.election.Run(ctx, func(ctx context.Context, l *coord.Lead) error {
		if err := c.known(ctx, l.Lost); err != nil {
			return fmt.Errorf("read the cluster: %w", err)
		}
		return serve(ctx, Lead{Lost: l.Lost, Begin: func(ctx context.Context) (uint64, Ledger, error) {
			store, err := l.Begin(ctx)
			if err != nil {
				return 0, nil, err
			}
			return store.Epoch(), store, nil
		}})
	})
}

// known waits until tables and collectors were read once: a leader that acts on an empty cluster would reassign everything.
func (c *ZooKeeper) known(ctx context.Context, lost <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	defer close(stop)
	go func() { // ended by stop
		select {
		case <-lost:
			cancel(coord.ErrLost)
		case <-stop:
		}
	}()
	if err := c.catalog.Ready(ctx); err != nil {
		return err
	}
	for {
		changed := c.collectors.Changed()
		if c.collectors.Known() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// LeaderAddress implements Cluster.
func (c *ZooKeeper) LeaderAddress() string { return c.leader.Snapshot() }

// World implements Cluster.
func (c *ZooKeeper) World() World { return c }

// Table implements World.
func (c *ZooKeeper) Table(db, name string) (*nspb.TableInfo, bool) {
	t, ok := c.catalog.Snapshot().Table(db, name)
	if !ok {
		return nil, false
	}
	return t.Info, true
}

// TableByID implements World. A table whose node was never readable is not known.
func (c *ZooKeeper) TableByID(tid uint32) (*nspb.TableInfo, bool) {
	t, ok := c.catalog.Snapshot().ByTID(tid)
	if !ok || t.Info == nil {
		return nil, false
	}
	return t.Info, true
}

// Leader implements World.
func (c *ZooKeeper) Leader(tid, pid uint32) (Leader, error) {
	s := c.catalog.Snapshot()
	node, err := s.Leader(tid, pid)
	if err != nil {
		return Leader{}, fmt.Errorf("%w: %w", errNoLeader, err)
	}
	t, _ := s.ByTID(tid)
	return Leader{Node: node, Address: s.Resolve(node), Host: s.Host(node), Replicas: uint32(len(t.Replicas(pid)))}, nil
}

// Replicas implements World.
func (c *ZooKeeper) Replicas(tid, pid uint32) []Replica {
	s := c.catalog.Snapshot()
	t, ok := s.ByTID(tid)
	if !ok {
		return nil
	}
	p, _ := t.Partition(pid)
	lead, err := s.Leader(tid, pid)
	var out []Replica
	for _, m := range p.GetPartitionMeta() {
		node := m.GetEndpoint()
		r := Replica{Node: node, Address: s.Resolve(node), Host: s.Host(node)}
		if err == nil && node == lead {
			out = slices.Insert(out, 0, r)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// Collector implements World.
func (c *ZooKeeper) Collector(host string) (endpoint string, ok bool) {
	list := c.collectors.Snapshot()
	i := slices.IndexFunc(list, func(one coord.Collector) bool { return one.State == coord.Active && c.host(one) == host })
	if i < 0 {
		return "", false
	}
	return list[i].Endpoint, true
}

// host of a collector, as leaders' hosts are given: a server name is resolved.
func (c *ZooKeeper) host(one coord.Collector) string {
	if strings.Contains(one.Endpoint, ":") {
		return one.Host
	}
	return c.catalog.Snapshot().Host(one.Endpoint)
}

// Alive implements World.
func (c *ZooKeeper) Alive(endpoint string) bool {
	return slices.ContainsFunc(c.collectors.Snapshot(), func(one coord.Collector) bool { return one.Endpoint == endpoint && one.State == coord.Active })
}

// Collectors implements World.
func (c *ZooKeeper) Collectors() []CollectorInfo {
	var out []CollectorInfo
	for _, one := range c.collectors.Snapshot() {
		out = append(out, CollectorInfo{
			Endpoint: one.Endpoint, Host: one.Host, Version: one.Version, DataDir: one.DataDir, State: one.State, SinceMs: one.SinceMs,
		})
	}
	return out
}

// Address is the host:port to dial for a collector: what it advertises, else its endpoint.
func (c *ZooKeeper) Address(endpoint string) string {
	for _, one := range c.collectors.Snapshot() {
		if one.Endpoint == endpoint && one.HTTP != "" {
			return one.HTTP
		}
	}
	return c.catalog.Snapshot().Resolve(endpoint)
}

// Connected implements World.
func (c *ZooKeeper) Connected() bool { return c.conn.Session().Connected }

// Refresh implements World.
func (c *ZooKeeper) Refresh(ctx context.Context) error { return c.catalog.Refresh(ctx) }

// Changed implements World.
func (c *ZooKeeper) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}
