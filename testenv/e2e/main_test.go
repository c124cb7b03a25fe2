//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"omsync/testenv/cluster"
	"omsync/testenv/daemons"
	"omsync/testenv/ledger"
	"omsync/testenv/load"
	"omsync/testenv/scene"
	"omsync/testenv/tabletsim"
	"omsync/testenv/zkserver"
)

// shared by all tests: one ZooKeeper with a root per scene, and the binaries, with failpoints.
var (
	zk    *zkserver.Server
	bin   string
	roots atomic.Int32
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "omsync-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	bin = filepath.Join(dir, "bin")
	err = daemons.Build(ctx, bin, daemons.BuildOptions{Tags: []string{"failpoints"}}, "cmd/data_collector", "cmd/synctool", "cmd/omsync-tui")
	if err == nil {
		zk, err = zkserver.Start(ctx, zkserver.Options{Dir: filepath.Join(dir, "zk")})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := zk.Kill(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	return m.Run()
}

// kit is a scene with what tests say often.
type kit struct {
	testing.TB
	*scene.Scene
	ctx context.Context
	dir string
}

// patience is how long anything may take on a machine that does much else.
const patience = 3 * time.Minute

// newScene starts tablets on n hosts with small log files.
func newScene(t testing.TB, n int, o scene.Options) *kit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	o.Dir, o.Bin, o.ZK = t.TempDir(), bin, zk.Addr()
	o.Cluster.Root = fmt.Sprintf("/e2e%d", roots.Add(1))
	o.Cluster.Tablets = n
	if o.Cluster.Partition.LogBytes == 0 {
		o.Cluster.Partition = tabletsim.PartitionOptions{LogBytes: 200_000, Jitter: time.Millisecond}
	}
	s, err := scene.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{TB: t, Scene: s, ctx: ctx, dir: o.Dir}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) collector(name string, tablet int, env ...string) *scene.Daemon {
	k.Helper()
	d, err := k.StartCollector(k.ctx, name, tablet, nil, env...)
	k.must(err)
	k.onFailure(d)
	return d
}

func (k *kit) synctool(name string, env ...string) *scene.Daemon {
	k.Helper()
	d, err := k.StartSynctool(k.ctx, name, nil, env...)
	k.must(err)
	k.onFailure(d)
	return d
}

// onFailure shows the end of a daemon's log where its test failed.
func (k *kit) onFailure(d *scene.Daemon) {
	k.Cleanup(func() {
		if k.Failed() {
			k.Logf("%s:\n%s", d.Name, d.Process().Tail(40))
		}
	})
}

// table makes a table with a ledger.
func (k *kit) table(s tabletsim.Spec) *cluster.Table {
	k.Helper()
	t, _, err := load.Create(k.Cluster, s)
	k.must(err)
	return t
}

// write puts n calls into a table and returns when they are answered.
func (k *kit) write(t *cluster.Table, n int, o load.Options) {
	k.Helper()
	o.Calls = n
	w, err := load.New(t, o)
	k.must(err)
	k.must(w.Run(k.ctx))
}

// writing keeps writing at a rate until the returned function is called.
func (k *kit) writing(t *cluster.Table, o load.Options) (stop func()) {
	k.Helper()
	w, err := load.New(t, o)
	k.must(err)
	ctx, cancel := context.WithCancel(k.ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once atomic.Bool
	stop = func() {
		cancel()
		if once.CompareAndSwap(false, true) {
			if err := <-done; err != nil {
				k.Error(err)
			}
		}
	}
	k.Cleanup(stop)
	return stop
}

// snapshots makes one of every partition.
func (k *kit) snapshots(t *cluster.Table) {
	k.Helper()
	for pid := range uint32(t.Schema().Partitions) {
		_, err := t.Snapshot(pid)
		k.must(err)
	}
}

func (k *kit) create(t scene.Task) *scene.Task {
	k.Helper()
	task, err := k.Create(k.ctx, t)
	k.must(err)
	return task
}

// verify asks the ledger and insists on at least so many rows, so that an empty destination proves nothing.
func (k *kit) verify(t *scene.Task, least int, tolerance time.Duration) ledger.Result {
	k.Helper()
	rep, err := t.Verify(k.ctx, tolerance)
	k.must(err)
	if err := rep.Err(); err != nil {
		k.Fatal(err)
	}
	sum := rep.Sum()
	if sum.Rows < least {
		k.Fatalf("%s: %d rows in the files, want at least %d", t.Name(), sum.Rows, least)
	}
	k.Logf("%s: rows=%d must=%d lost=%d duplicate=%d", t.Name(), sum.Rows, sum.Must, sum.Lost, sum.Duplicate)
	return sum
}
