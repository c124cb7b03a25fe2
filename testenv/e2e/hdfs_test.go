//go:build e2e && hdfs

package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"omsync/testenv/daemons"
	"omsync/testenv/hdfsserver"
	"omsync/testenv/load"
	"omsync/testenv/scene"
)

// TestHDFS: a table is exported to HDFS, to a plain path on the default file system of the Hadoop conf, while it is written, and meanwhile a DataNode
// of three is killed and not missed, another one hangs, the NameNode is restarted, and the synctool is killed: nothing FAILED, nothing lost, nothing twice.
func TestHDFS(t *testing.T) {
	c := hdfsserver.Require(t, hdfsserver.Options{DataNodes: 3, DeadAfter: 10 * time.Minute, SafeMode: 3 * time.Second})
	k := newScene(t, 1, scene.Options{Synctool: daemons.Conf{
		"hadoop.conf.dir": c.ConfDir(), "dest.default_fs": "", "dest.allowed_prefixes": "", "dest.hdfs_timeout": "2s", "segment_age": "1s",
	}})
	k.collector("c", 0)
	s := k.synctool("s")
	table := k.table(load.Wide("db", "t", 2, 1))
	usual := load.Options{Mix: load.Usual, Keys: 200}
	k.write(table, 500, usual)
	k.snapshots(table)
	task := k.create(scene.Task{Table: table, Mode: 2, Dest: "/export/t"})
	k.must(task.Holds(k.ctx))
	usual.Rate = 50
	stop := k.writing(table, usual)

	k.must(c.DataNodes[1].Kill())
	k.moves(task, "with a DataNode killed")
	k.must(c.Return(k.ctx, 1))
	k.must(c.DataNodes[2].Freeze())
	k.moves(task, "with a DataNode that hangs")
	k.must(s.Bounce())
	k.moves(task, "after the synctool was killed")
	k.must(c.DataNodes[2].Thaw())
	k.must(c.NameNodes[0].Kill())
	k.must(c.NameNodes[0].Up())
	k.moves(task, "after the NameNode's restart")
	stop()
	k.must(task.Holds(k.ctx))

	task.Files = filepath.Join(k.dir, "downloaded")
	k.must(c.Download(k.ctx, task.Dest, task.Files))
	k.verify(task, 600, 0)
}

// moves waits until both partitions have committed what was acknowledged until now.
func (k *kit) moves(t *scene.Task, when string) {
	k.Helper()
	began := time.Now()
	k.must(t.Holds(k.ctx))
	k.Logf("%s: committed after %s", when, time.Since(began))
}
