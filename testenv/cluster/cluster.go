package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"omsync/testenv/tabletsim"
)

// Options of a Cluster.
type Options struct {
	Servers []string // ZooKeeper
	Root    string   // default /openmldb
	Dir     string   // one directory per tablet is made below it
	Tablets int      // default 1
	// Hosts are the tablets' addresses; default 127.0.0.2, 127.0.0.3, …
	Hosts []string
	// UseNames gives the tablets server names tablet0, tablet1, … which ZooKeeper maps to their addresses.
	UseNames       bool
	SessionTimeout time.Duration
	AuthScheme     string
	AuthCert       string
	OldPaths       bool
	// Partition shapes the replicas, with RocksDB below them if this binary has it; their log files get LogBytes times a factor per tablet, so that boundaries differ.
	Partition tabletsim.PartitionOptions
	Logger    *slog.Logger
}

// Cluster is a set of tablets and the ZooKeeper nodes of a name server. It is safe for concurrent use.
type Cluster struct {
	opts  Options
	nodes *nodes

	mu      sync.Mutex // one change of the cluster at a time
	tablets []*seat
	tables  map[uint32]*Table
	tid     uint32
}

// seat is a tablet's place, which survives the tablet.
type seat struct {
	opts   tabletsim.TabletOptions
	tablet *tabletsim.Tablet // nil while down
}

// Start starts the tablets and writes the parent nodes.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Root == "" {
		o.Root = "/openmldb"
	}
	if o.Tablets == 0 {
		o.Tablets = max(1, len(o.Hosts))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dir == "" || len(o.Servers) == 0 {
		return nil, errors.New("start cluster: a directory and ZooKeeper servers are needed")
	}
	if o.Partition.Engine == nil {
		o.Partition.Engine = tabletsim.DefaultEngine()
	}
	n, err := openNodes(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	c := &Cluster{opts: o, nodes: n, tables: map[uint32]*Table{}, tid: 10}
	for i := range o.Tablets {
		c.tablets = append(c.tablets, &seat{opts: c.tabletOptions(i)})
		if err := c.startTablet(ctx, i); err != nil {
			return nil, errors.Join(fmt.Errorf("start cluster: %w", err), c.Close())
		}
	}
	return c, nil
}

func (c *Cluster) tabletOptions(i int) tabletsim.TabletOptions {
	o := c.opts
	host := fmt.Sprintf("127.0.0.%d", i+2)
	if i < len(o.Hosts) {
		host = o.Hosts[i]
	}
	t := tabletsim.TabletOptions{
		Host: host, Dir: filepath.Join(o.Dir, "tablet"+strconv.Itoa(i)), Servers: o.Servers, Root: o.Root, SessionTimeout: o.SessionTimeout,
		AuthScheme: o.AuthScheme, AuthCert: o.AuthCert, OldPaths: o.OldPaths, Partition: o.Partition,
	}
	if o.UseNames {
		t.Name = "tablet" + strconv.Itoa(i)
	}
	if t.Partition.LogBytes > 0 {
		t.Partition.LogBytes += t.Partition.LogBytes * int64(i) / 3
	}
	return t
}

// startTablet needs c.mu, or nobody else about.
func (c *Cluster) startTablet(ctx context.Context, i int) error {
	s := c.tablets[i]
	t, err := tabletsim.StartTablet(ctx, s.opts)
	if err != nil {
		return err
	}
	s.tablet = t
	// It comes back at the same port.
	_, port, err := net.SplitHostPort(t.Addr())
	if err != nil {
		return err
	}
	if s.opts.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	if s.opts.Name != "" {
		return c.nodes.put("map/names/"+s.opts.Name, []byte(t.Addr()))
	}
	return nil
}

// Servers are ZooKeeper's addresses.
func (c *Cluster) Servers() []string { return c.opts.Servers }

// Root is zk_root_path.
func (c *Cluster) Root() string { return c.opts.Root }

// Tablet is the i-th tablet, nil while it is down.
func (c *Cluster) Tablet(i int) *tabletsim.Tablet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tablets[i].tablet
}

// Host is the address of the i-th tablet.
func (c *Cluster) Host(i int) string { return c.tablets[i].opts.Host }

// Tablets counts the tablets, dead ones included.
func (c *Cluster) Tablets() int { return len(c.tablets) }

func (c *Cluster) endpoint(i int) string {
	s := c.tablets[i]
	if s.opts.Name != "" {
		return s.opts.Name
	}
	return net.JoinHostPort(s.opts.Host, strconv.Itoa(s.opts.Port))
}

// Kill ends the i-th tablet as SIGKILL does; tear leaves half a record at the end of its logs. ZooKeeper learns it when the session times out, and
// the tables' leaders stay with it until Failover.
func (c *Cluster) Kill(i int, tear bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tablets[i].tablet
	if t == nil {
		return nil
	}
	c.tablets[i].tablet = nil
	err := t.Kill(tear)
	for _, tb := range c.tables {
		tb.forget(i)
	}
	if err != nil {
		return fmt.Errorf("kill tablet %d: %w", i, err)
	}
	return nil
}

// Restart starts a killed tablet again at its old address: it leads what it still leads and follows the rest.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tablets[i].tablet != nil {
		return nil
	}
	if err := c.startTablet(ctx, i); err != nil {
		return fmt.Errorf("restart tablet %d: %w", i, err)
	}
	for _, t := range c.tables {
		if err := t.comeBack(i); err != nil {
			return fmt.Errorf("restart tablet %d: %w", i, err)
		}
		if err := t.publish(); err != nil {
			return fmt.Errorf("restart tablet %d: %w", i, err)
		}
	}
	return nil
}

// Failover is what the name server does when a tablet has gone: of each partition it led, the follower with the longest log leads from now on. A
// partition without one keeps its dead leader.
func (c *Cluster) Failover(i int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tables {
		if err := t.failover(i); err != nil {
			return fmt.Errorf("fail over from tablet %d: %w", i, err)
		}
		if err := t.publish(); err != nil {
			return fmt.Errorf("fail over from tablet %d: %w", i, err)
		}
	}
	return nil
}

// Close stops everything. Nodes that are not ephemeral stay.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, s := range c.tablets {
		if s.tablet != nil {
			errs = append(errs, s.tablet.Close())
			s.tablet = nil
		}
	}
	c.nodes.close()
	return errors.Join(errs...)
}
