package collector

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"

	"omsync/daemon/coord"
	"omsync/openmldb/binlog"
	"omsync/openmldb/snapshot"
	"omsync/openmldb/tablet"
	"omsync/rpc/port"
)

// Options shape a Collector. What is said to have a default may be left zero; the rest is taken as it is, 0 included.
type Options struct {
	Endpoint  string // name in ZooKeeper, exactly the --endpoint flag
	Listen    string // host:port; default Endpoint
	Advertise string // host:port that the synctool dials; default Endpoint
	DataDir   string // work directory on the file system of the tablets' data
	Version   string // for people
	Release   string // in ZooKeeper; default Version
	Logger    *slog.Logger

	MaxPack        int64         // row bytes in one batch; default 1 MiB
	RequestTimeout time.Duration // of a call to a tablet; default 20 s
	Settle         time.Duration // handoff_settle_ms; 0 = z is read at once
	ClockTolerance time.Duration // handoff_clock_tolerance_ms; 0 = clients' clocks are exact
	Replication    time.Duration // replication_settle_ms; 0 = entries are sent as they are read
	HoldBudget     int64         // bytes; 0 = no bound
	PlanMemory     int64         // bytes for sorting one partition's log; default 64 MiB
	Plans, Scans   int           // at a time over all subtasks; default 2 and 16

	Port port.Options // caps and limits; pages are filled in here

	// DialTablet connects to a tablet without blocking, e.g. baidustd.NewClient.
	DialTablet func(addr string) tablet.Conn
	// DialSynctool connects to a synctool, e.g. rpc/client.Dial.
	DialSynctool func(addr string) (SynctoolConn, error)

	// Ready is called once: the port is served and the first start-up checks are over, with what they found that does not keep the collector from working.
	Ready func(address string, problems []string)

	// What tests break. Default: the host's.
	Files     FS
	Logs      binlog.FS
	Snapshots snapshot.FS
	Clock     Clock
	Listener  func(addr string) (net.Listener, error)

	pace pace
}

// SynctoolConn is a connection to a synctool.
type SynctoolConn interface {
	grpc.ClientConnInterface
	io.Closer
}

// Cluster is the ZooKeeper side of the process: NewCluster, or a test's. It answers from what its watches brought.
type Cluster interface {
	// Run keeps session and watches until ctx ends.
	Run(ctx context.Context) error
	// Register keeps the collector registered until ctx ends; changed is told of each change of its standing.
	Register(ctx context.Context, rec coord.CollectorRecord, changed func(coord.Standing)) error
	// Leader is the address of the leading synctool, "" when none leads.
	Leader() string
	// Tablets lists the living tablets; known is false before they were first read.
	Tablets() (list []Tablet, known bool)
	// Resolve is the ip:port of a node.
	Resolve(node string) string
	Connected() bool
	// Changed is closed at the next change of any of it.
	Changed() <-chan struct{}
}

// Tablet is a registered TabletServer.
type Tablet struct {
	Node    string // as ZooKeeper names it
	Address string // ip:port
	Host    string // compared with the endpoint's
}

// pace holds the durations that tests of this package shorten.
type pace struct {
	beat       time.Duration // heartbeats
	tail       time.Duration // first pause at the end of the log
	tailMost   time.Duration // longest
	keep       time.Duration // between two looks for new log files while nothing reads them
	ask        time.Duration // between two questions to the tablet
	refused    time.Duration // first pause after a refusal
	trouble    time.Duration // first pause after an error
	empty      time.Duration // between two moves of the point without rows
	leaderLag  time.Duration // how long a leader's log may be shorter than the committed point
	gone       time.Duration // how long a tablet must say that it has no such partition before that is believed: moves and restarts look like it
	budget     time.Duration // between two sums of the holds
	checks     time.Duration // start-up checks: how long to wait, and between two tries of what could not be checked
	reconnect  time.Duration // first pause before dialing the synctool again
	detachWait time.Duration // for the synctool to take a Detach at the end
}

var normalPace = pace{
	beat: time.Second, tail: 50 * time.Millisecond, tailMost: time.Second, keep: time.Second, ask: 15 * time.Second, refused: 200 * time.Millisecond,
	trouble: time.Second, empty: 5 * time.Second, leaderLag: 30 * time.Second, gone: 30 * time.Second, budget: 10 * time.Second, checks: 10 * time.Second,
	reconnect: 100 * time.Millisecond, detachWait: 2 * time.Second,
}

// maxRow is the largest row that travels.
const maxRow = 64 << 20

func (o *Options) fill() error {
	for _, d := range []struct{ to, value *string }{{&o.Listen, &o.Endpoint}, {&o.Advertise, &o.Endpoint}, {&o.Release, &o.Version}} {
		if *d.to == "" {
			*d.to = *d.value
		}
	}
	if o.MaxPack <= 0 {
		o.MaxPack = 1 << 20
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 20 * time.Second
	}
	if o.PlanMemory <= 0 {
		o.PlanMemory = 64 << 20
	}
	if o.Plans <= 0 {
		o.Plans = 2
	}
	if o.Scans <= 0 {
		o.Scans = 16
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Files == nil {
		o.Files = OS()
	}
	if o.Logs == nil {
		o.Logs = binlog.OS()
	}
	if o.Snapshots == nil {
		o.Snapshots = snapshot.OS()
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Ready == nil {
		o.Ready = func(string, []string) {}
	}
	if o.Listener == nil {
		o.Listener = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	if o.pace == (pace{}) {
		o.pace = normalPace
	}
	switch {
	case o.Endpoint == "":
		return errors.New("collector: an endpoint is required")
	case o.DataDir == "":
		return errors.New("collector: a data directory is required")
	case o.DialTablet == nil || o.DialSynctool == nil:
		return errors.New("collector: no way to dial tablets and the synctool is set up")
	}
	return nil
}
