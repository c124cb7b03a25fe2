package synctool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/failpoint"
	"omsync/openmldb/pb/datasyncpb"
	"omsync/openmldb/pb/nspb"
	"omsync/rpc/omsyncpb"
	"omsync/rpc/port"
)

// Cluster is the ZooKeeper side of the process: daemon/coord and openmldb/catalog, or a test's.
type Cluster interface {
	// Run keeps session and watches until ctx ends.
	Run(ctx context.Context) error
	World() World
	// Lead stands for election until ctx ends. Each time this process is chosen it calls serve; before returning from a lost lead, and
	// early enough that no other leader can have begun by this machine's clock, it closes lost. ctx's end is not a loss: the lead is held
	// until serve returns.
	Lead(ctx context.Context, serve func(ctx context.Context, l Lead) error) error
	// LeaderAddress is the advertised address of whoever leads, "" when nobody does.
	LeaderAddress() string
}

// Lead is one election won.
type Lead struct {
	Lost <-chan struct{}
	// Begin bumps the epoch and returns it with the ledger bound to it. From then on leaders before can not decide.
	Begin func(ctx context.Context) (epoch uint64, ledger Ledger, err error)
}

// Options shape a Synctool. Zero values mean the defaults given here.
type Options struct {
	Listen    string // host:port
	Advertise string // host:port that collectors and consoles dial; default the listener's
	Version   string
	Cluster   string // names this cluster in stage files and owner.json; required
	Logger    *slog.Logger

	ProgressPath   string        // progress mirror; "" = none
	SpoolPath      string        // required
	SpoolMax       int64         // bytes, default 20 GiB
	SegmentBytes   int64         // default 64 MiB
	SegmentAge     time.Duration // default 60 s
	CheckPeriod    time.Duration // default 10 s
	AssignTimeout  time.Duration // default 60 s
	RequestTimeout time.Duration // of a call to a collector, default 5 s
	StopGrace      time.Duration // for open segments at the end, default 30 s
	SubtaskCredit  int64         // row bytes under way per subtask, default 8 MiB
	IngestBytes    int64         // row bytes under way over all subtasks, default 512 MiB
	AllowClearAll  bool

	Format, Dialect, TimeZone string // of new tasks; default csv, upstream, the machine's zone
	Deletes                   string // of new tasks; default ignore

	Port port.Options // caps and limits; pages are filled in here

	// OpenDest opens a destination; CheckDest says why its spelling is refused, without touching it; OverlapDest tells whether one is,
	// contains or lies in the other.
	OpenDest    func(ctx context.Context, dest string) (dest.Dest, error)
	CheckDest   func(dest string) error
	OverlapDest func(a, b string) (bool, error)
	// DialCollector connects to a collector.
	DialCollector Dialer
	// Rows reads a table's schema for a task; default: OpenMLDB's row codec.
	Rows func(info *nspb.TableInfo, spec *coord.TaskSpec) (Rows, error)
	// Wall is the clock for times that are shown or kept; default time.Now. Time-outs run on the process's monotonic clock: a wall clock
	// that jumps must not reassign anything.
	Wall func() time.Time

	// for tests of this package
	firstPause, firstSweep, schemaWait time.Duration
}

func (o *Options) fill() error {
	for _, d := range []struct {
		to    *time.Duration
		value time.Duration
	}{
		{&o.SegmentAge, time.Minute}, {&o.CheckPeriod, 10 * time.Second}, {&o.AssignTimeout, time.Minute}, {&o.RequestTimeout, 5 * time.Second},
		{&o.StopGrace, 30 * time.Second}, {&o.firstPause, firstPause}, {&o.firstSweep, firstSweep}, {&o.schemaWait, schemaWait},
	} {
		if *d.to <= 0 {
			*d.to = d.value
		}
	}
	for _, d := range []struct {
		to    *int64
		value int64
	}{{&o.SpoolMax, 20 << 30}, {&o.SegmentBytes, 64 << 20}, {&o.SubtaskCredit, 8 << 20}, {&o.IngestBytes, 512 << 20}} {
		if *d.to <= 0 {
			*d.to = d.value
		}
	}
	for _, d := range []struct {
		to    *string
		value string
	}{{&o.Format, formatCSV}, {&o.Dialect, dialectUpstream}, {&o.Deletes, deletesIgnore}} {
		if *d.to == "" {
			*d.to = d.value
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Rows == nil {
		o.Rows = newRows
	}
	switch {
	case o.Cluster == "":
		return errors.New("synctool: a cluster name is required")
	case o.SpoolPath == "":
		return errors.New("synctool: a spool path is required")
	case o.OpenDest == nil || o.CheckDest == nil || o.OverlapDest == nil:
		return errors.New("synctool: no destinations are set up")
	case o.DialCollector == nil:
		return errors.New("synctool: no way to dial collectors is set up")
	}
	return nil
}

// Causes of Run's error that have an exit code of their own.
var (
	ErrTaken = errors.New("taken by another process") // 3: the port or the spool directory is in use
	ErrConf  = errors.New("conf file")                // 2: the address or the spool directory can not be used
)

// Synctool is the process: one port, one place in the election, at most one term at a time.
type Synctool struct {
	o       Options
	cluster Cluster
	port    *port.Server
	spool   spoolUse

	term    atomic.Pointer[term]
	streams sync.WaitGroup // receivers of collector streams
	addr    atomic.Pointer[string]
	up      chan struct{}
}

// New returns a Synctool that does nothing yet.
func New(o Options, c Cluster) (*Synctool, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	s := &Synctool{o: o, cluster: c, up: make(chan struct{})}
	s.spool.max = o.SpoolMax
	po := o.Port
	po.Logger, po.Clock = o.Logger, o.Wall
	po.Pages.Version = o.Version
	po.Pages.Status, po.Pages.Health, po.Pages.Metrics = s.statusPage, s.health, s.metrics
	s.port = port.New(po)
	s.port.RegisterService(&omsyncpb.SyncTool_ServiceDesc, &api{tool: s})
	s.port.RegisterService(&omsyncpb.Ingest_ServiceDesc, &ingest{tool: s})
	s.port.RegisterService(&datasyncpb.SyncTool_ServiceDesc, &helper{tool: s})
	return s, nil
}

// Addr returns the listener's address once there is one.
func (s *Synctool) Addr(ctx context.Context) (string, error) {
	select {
	case <-s.up:
		return *s.addr.Load(), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Run works until ctx ends: lock, port, then terms for as long as this process is chosen. On ctx's end open segments are committed, for at
// most StopGrace, before the lead is given up.
func (s *Synctool) Run(ctx context.Context) (err error) {
	lock, err := lockDir(s.o.SpoolPath)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("%w: %w", ErrTaken, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConf, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	l, err := net.Listen("tcp", s.o.Listen)
	if err != nil {
		cause := ErrConf
		if errors.Is(err, syscall.EADDRINUSE) {
			cause = ErrTaken
		}
		return fmt.Errorf("%w: listen on server.host and server.port: %w", cause, err)
	}
	addr := l.Addr().String()
	if s.o.Advertise == "" {
		s.o.Advertise = addr
	}
	s.addr.Store(&addr)
	close(s.up)
	return s.serve(ctx, l)
}

func (s *Synctool) serve(asked context.Context, l net.Listener) error {
	var all sync.WaitGroup
	errs := make(chan error, 2)
	// ZooKeeper is needed until the last segment is decided, so its watches end last.
	zk, stop := context.WithCancel(context.WithoutCancel(asked))
	defer stop()
	ctx, cancel := context.WithCancel(asked)
	defer cancel()
	var watches sync.WaitGroup
	watches.Go(func() {
		if err := s.cluster.Run(zk); err != nil && zk.Err() == nil {
			errs <- fmt.Errorf("zookeeper: %w", err)
			cancel()
		}
	})
	all.Go(func() {
		if err := s.port.Serve(ctx, l); err != nil {
			errs <- err
			cancel()
		}
	})
	err := s.cluster.Lead(ctx, s.lead)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = nil
	case asked.Err() != nil && err != nil: // e.g. ZooKeeper did not answer meanwhile: the next leader goes on all the same
		s.o.Logger.Warn("the end was not in order", "err", err)
		err = nil
	}
	cancel()
	all.Wait()
	s.streams.Wait()
	stop()
	watches.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// lead is one term.
func (s *Synctool) lead(ctx context.Context, l Lead) error {
	if err := failpoint.Hit("synctool/epoch"); err != nil {
		return err
	}
	epoch, ledger, err := l.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin to lead: %w", err)
	}
	t := newTerm(ctx, &s.o, epoch, ledger, s.cluster.World(), &s.spool)
	t.log.Info("this synctool leads")
	s.term.Store(t)
	defer s.term.CompareAndSwap(t, nil)
	return t.run(ctx, l.Lost)
}

func (s *Synctool) statusPage(w io.Writer) {
	if t := s.term.Load(); t != nil {
		t.statusText(w)
		return
	}
	fmt.Fprintf(w, "standing by, the leader is %q\n", s.cluster.LeaderAddress())
}

func (s *Synctool) health(context.Context) []string {
	var out []string
	if !s.cluster.World().Connected() {
		out = append(out, "ZooKeeper is not connected")
	}
	if s.cluster.LeaderAddress() == "" {
		out = append(out, "no synctool leads")
	}
	if t := s.term.Load(); t != nil {
		if err := t.mirror.err(); err != nil {
			out = append(out, "progress mirror: "+err.Error())
		}
	}
	return out
}
