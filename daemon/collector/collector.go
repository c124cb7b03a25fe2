package collector

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"omsync/daemon/coord"
	"omsync/openmldb/pb/datasyncpb"
	"omsync/openmldb/tablet"
	"omsync/rpc/omsyncpb"
	"omsync/rpc/port"
)

// Collector is the process: one port, one data directory, one registration, one stream to the leading synctool, and the subtasks.
type Collector struct {
	o        Options
	cluster  Cluster
	log      *slog.Logger
	instance string // random per process
	port     *port.Server
	tablets  *tablet.Pool
	reg      *registry
	up       *uplink
	checks   *checks
	attaches atomic.Uint64
	plans    chan struct{} // one token per plan that is computed
	scans    chan struct{} // one per scan

	addr atomic.Pointer[string]
	open chan struct{} // closed when the port is

	mu       sync.Mutex
	standing coord.Standing
	changed  chan struct{}
	sum      omsyncpb.Counters // sent by this process
	batches  uint64
	holds    holdSum
}

// New returns a Collector that does nothing yet.
func New(o Options, cluster Cluster) (*Collector, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails since Go 1.24
	c := &Collector{
		o: o, cluster: cluster, log: o.Logger, instance: hex.EncodeToString(id[:]), tablets: tablet.NewPool(o.DialTablet),
		plans: make(chan struct{}, o.Plans), scans: make(chan struct{}, o.Scans), open: make(chan struct{}), changed: make(chan struct{}),
	}
	c.reg, c.up, c.checks = newRegistry(c), newUplink(c), &checks{c: c}
	po := o.Port
	po.Logger, po.Clock = o.Logger, o.Clock.Now
	po.Pages.Version = o.Version
	po.Pages.Status, po.Pages.Health, po.Pages.Metrics = c.statusPage, c.health, c.metrics
	c.port = port.New(po)
	c.port.RegisterService(&omsyncpb.Collector_ServiceDesc, &service{c: c})
	c.port.RegisterService(&datasyncpb.DataCollector_ServiceDesc, foreign{})
	return c, nil
}

// Addr returns the listener's address once there is one.
func (c *Collector) Addr(ctx context.Context) (string, error) {
	select {
	case <-c.open:
		return *c.addr.Load(), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Run works until ctx ends: lock, port, checks, subtasks, registration. At the end every subtask is given up to the synctool, links stay. Errors wrap
// ErrTaken (exit 3) or ErrConf (exit 2) where it is that.
func (c *Collector) Run(ctx context.Context) (err error) {
	lock, err := lockDir(c.o.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	l, err := c.o.Listener(c.o.Listen)
	if err != nil {
		cause := ErrConf
		if errors.Is(err, syscall.EADDRINUSE) {
			cause = ErrTaken
		}
		return fmt.Errorf("%w: listen on endpoint: %w", cause, err)
	}
	addr := l.Addr().String()
	c.addr.Store(&addr)
	close(c.open)
	return errors.Join(c.serve(ctx, l), c.tablets.Close())
}

// serve runs the parts. Each ends before what it needs: subtasks and stream first, then the registration, the port, and ZooKeeper last.
func (c *Collector) serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	zk := c.begin(ctx, cancel, "zookeeper", func(ctx context.Context) error { return c.cluster.Run(ctx) })
	served := c.begin(ctx, cancel, "serve", func(ctx context.Context) error { return c.port.Serve(ctx, l) })
	var ends []func() error
	fail := c.checks.first(ctx)
	if fail == nil && ctx.Err() == nil {
		subtasks, stop := context.WithCancelCause(context.WithoutCancel(ctx))
		defer stop(errStopped)
		fail = c.reg.load(subtasks)
		if fail == nil {
			c.o.Ready(*c.addr.Load(), c.checks.problems())
			registered := c.begin(ctx, cancel, "register", func(ctx context.Context) error {
				return c.cluster.Register(ctx, coord.CollectorRecord{
					Endpoint: c.o.Endpoint, Host: hostOf(c.o.Endpoint), Version: c.o.Release, DataDir: c.o.DataDir,
					SinceMs: c.o.Clock.Now().UnixMilli(), Instance: c.instance, HTTP: c.o.Advertise,
				}, c.stand)
			})
			var work sync.WaitGroup
			work.Go(func() { c.up.run(ctx) })
			work.Go(func() { c.checks.run(ctx) })
			work.Go(func() { c.watchBudget(ctx) })
			<-ctx.Done()
			work.Wait()
			ends = append(ends, registered)
		}
		stop(errStopped)
		c.reg.stop()
	}
	cancel(fail)
	for _, end := range append(ends, served, zk) {
		fail = errors.Join(fail, end())
	}
	return fail
}

// begin runs one part with a context of its own, which ends when the returned function is called; that waits and returns the part's error. A part that
// fails by itself ends ctx.
func (c *Collector) begin(ctx context.Context, cancel context.CancelCauseFunc, what string, run func(context.Context) error) (end func() error) {
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { // ended by end
		err := run(own)
		if err != nil && own.Err() == nil {
			err = fmt.Errorf("%s: %w", what, err)
			cancel(err)
		} else if errors.Is(err, context.Canceled) {
			err = nil
		}
		done <- err
	}()
	return func() error {
		stop()
		return <-done
	}
}

// stand is told of the registration's changes.
func (c *Collector) stand(s coord.Standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.State == "" { // not known just now
		s.State = c.standing.State
	}
	if s != c.standing {
		c.log.Info("standing", "registered", s.Registered, "state", s.State)
	}
	c.standing = s
	close(c.changed)
	c.changed = make(chan struct{})
}

// active tells whether this collector works for its host.
func (c *Collector) active() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.standing.State == coord.Active
}

func (c *Collector) standingChanged() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// health says what is not well.
func (c *Collector) health(context.Context) []string {
	var out []string
	if !c.cluster.Connected() {
		out = append(out, "ZooKeeper is not connected")
	}
	c.mu.Lock()
	standing, holds := c.standing, c.holds
	c.mu.Unlock()
	if !standing.Registered {
		out = append(out, "not registered in ZooKeeper")
	}
	if l, _, err := c.up.state(); l == nil && standing.State == coord.Active && err != nil {
		out = append(out, "no stream to the synctool: "+err.Error())
	}
	out = append(append(out, c.checks.problems()...), c.reg.problems()...)
	if holds.warn(c.o.HoldBudget) {
		out = append(out, holds.text(c.o.HoldBudget))
	}
	return out
}
