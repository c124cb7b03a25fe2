package scene

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"omsync/openmldb/zkconn"
	"omsync/testenv/cluster"
	"omsync/testenv/daemons"
)

// Options of a Scene.
type Options struct {
	Dir     string          // everything is made below it
	Bin     string          // directory of the daemons' binaries (daemons.Build)
	ZK      string          // ZooKeeper's host:port
	Cluster cluster.Options // Servers and Dir are filled in; Root defaults to /openmldb
	// Collector and Synctool are added to the daemons' conf files.
	Collector, Synctool daemons.Conf
	// Env is added to every daemon's environment.
	Env []string
}

// quick are conf keys for scenes that are watched: hand-offs that need not wait long, segments that are committed soon.
var (
	quickCollector = daemons.Conf{"handoff_settle_ms": "500", "zk_session_timeout": "1000", "replication_settle_ms": "100"}
	quickSynctool  = daemons.Conf{"segment_age": "300ms", "sync_task.check_period": "1", "zookeeper.session_timeout": "1000", "sync_task.assign_timeout": "30"}
)

// Scene is one set-up. Close it.
type Scene struct {
	Cluster *cluster.Cluster

	o     Options
	place daemons.Place
	zk    *zkconn.Conn
	stop  context.CancelFunc
	runs  errgroup.Group

	mu        sync.Mutex
	daemons   []*Daemon
	synctools []*Daemon
}

// Start starts the tablets; daemons come with StartCollector and StartSynctool.
func Start(ctx context.Context, o Options) (*Scene, error) {
	co := o.Cluster
	co.Servers, co.Dir = []string{o.ZK}, filepath.Join(o.Dir, "tablets")
	if co.SessionTimeout == 0 {
		co.SessionTimeout = time.Second
	}
	c, err := cluster.Start(ctx, co)
	if err != nil {
		return nil, err
	}
	s := &Scene{
		Cluster: c, o: o, place: daemons.Place{Bin: o.Bin, Dir: o.Dir, ZK: o.ZK, Root: c.Root()},
		zk: zkconn.Open(zkconn.Options{Servers: []string{o.ZK}, AuthScheme: co.AuthScheme, AuthCert: co.AuthCert}),
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.runs.Go(func() error { return s.zk.Run(running) })
	return s, nil
}

// Dest is a fresh destination directory's path.
func (s *Scene) Dest(name string) string { return filepath.Join(s.o.Dir, "out", name) }

// Close kills the daemons and stops the tablets.
func (s *Scene) Close() error {
	s.mu.Lock()
	list := s.daemons
	s.mu.Unlock()
	var errs []error
	for _, d := range list {
		errs = append(errs, d.Kill())
		d.hang()
	}
	s.stop()
	errs = append(errs, s.runs.Wait(), s.Cluster.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close scene: %w", err)
	}
	return nil
}
