//go:build e2e

package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"omsync/openmldb/binlog"
	"omsync/testenv/cluster"
	"omsync/testenv/daemons"
	"omsync/testenv/load"
	"omsync/testenv/scene"
	"omsync/testenv/tabletsim"
)

// TestStandbyHold: the collector on the leader's host dies, the table is written on, both replicas trim their logs beyond the committed point, and the
// other replica leads. Its host's collector has held the log all the while, over a kill -9 of its own: nothing is lost, nothing twice.
func TestStandbyHold(t *testing.T) {
	t.Parallel()
	k := newScene(t, 2, scene.Options{Cluster: cluster.Options{Partition: tabletsim.PartitionOptions{LogBytes: 40_000, Jitter: time.Millisecond}}})
	k.synctool("s")
	of := []*scene.Daemon{k.collector("c0", 0), k.collector("c1", 1)}
	o := load.Options{Mix: load.Usual, Keys: 200}
	tb := k.table(load.Wide("db", "standby", 1, 2))
	k.write(tb, 600, o)
	k.snapshots(tb)
	k.write(tb, 300, o)
	task := k.create(scene.Task{Table: tb, Mode: 2})
	k.must(task.Holds(k.ctx))

	leader := tb.LeaderSeat(0)
	next := of[1-leader]
	k.must(daemons.Until(k.ctx, "the follower's collector holds the log", 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		page, err := next.Get(ctx, "/status")
		return strings.Contains(page, "standby hold of db.standby partition 0") && !strings.Contains(page, ": 0 log files"), err
	}))
	k.must(of[leader].Kill())
	committed := k.committed(task)
	for range 3 {
		k.write(tb, 600, o)
		k.trim(tb, next.Name, 1-leader)
	}
	first := k.logOf(tb, 1-leader)[0].First
	if first <= committed+1 {
		t.Fatalf("the log of the replica begins at %d, the export stands at %d: nothing is missing", first, committed)
	}
	k.must(next.Bounce())
	k.must(next.Serves(k.ctx))
	k.must(tb.MoveLeader(k.ctx, 0, 1-leader))
	k.write(tb, 300, o)
	k.must(task.Holds(k.ctx))
	k.verify(task, 1500, 0)
}

// committed is the point in the log where partition 0 of a task stands.
func (k *kit) committed(task *scene.Task) uint64 {
	k.Helper()
	v, err := task.View(k.ctx)
	k.must(err)
	return v.GetSubtasks()[0].GetPoint().GetLogIndex()
}

// trim makes a snapshot of both replicas of partition 0, and what is older goes from their logs once a collector has linked it: a tablet's timer is not
// as fast as a test.
func (k *kit) trim(tb *cluster.Table, collector string, seat int) {
	k.Helper()
	for seat := range 2 {
		_, err := tb.SnapshotReplica(0, seat)
		k.must(err)
	}
	files := k.logOf(tb, seat)
	newest := filepath.Join(k.dir, collector, "data", "*-0", "log-*", filepath.Base(files[len(files)-1].Path))
	k.must(daemons.Until(k.ctx, newest+" is linked", 20*time.Millisecond, func(context.Context) (bool, error) {
		found, err := filepath.Glob(newest)
		return len(found) > 0, err
	}))
	for seat := range 2 {
		_, err := tb.Replica(0, seat).TrimLogs()
		k.must(err)
	}
}

// logOf lists the log files of a replica of partition 0.
func (k *kit) logOf(tb *cluster.Table, seat int) []binlog.File {
	k.Helper()
	files, err := binlog.List(binlog.OS(), tb.Replica(0, seat).BinlogDir())
	k.must(err)
	if len(files) == 0 {
		k.Fatalf("no log on tablet %d", seat)
	}
	return files
}
