//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/cluster"
	"omsync/testenv/daemons"
	"omsync/testenv/ledger"
	"omsync/testenv/load"
	"omsync/testenv/scene"
	"omsync/testenv/tabletsim"
)

// tolerance of the clocks in these scenes: how long before a snapshot a TRUNCATE must lie to be recognised.
const tolerance = time.Second

// shape is one table and what happens to it.
type shape struct {
	name    string
	mode    int
	spec    func(*tabletsim.Spec)
	load    load.Options
	dialect ledger.Dialect
	prepare func(k *kit, t *cluster.Table) // after the first rows, before the task; default: a snapshot, then more rows
	during  func(k *kit, t *cluster.Table) // while the task runs and rows are written
	least   int
}

func shapes() []shape {
	usual := load.Options{Mix: load.Usual, Keys: 200}
	heavy := usual
	heavy.Mix.Deletes, heavy.Mix.Keyless, heavy.Keys = 0.05, 0.01, 60
	big := load.Options{Mix: load.Mix{Big: 0.02, Rewrites: 0.06}, Keys: 50}
	short := usual
	short.Mix.Expired = 0.1
	var out []shape
	for mode := range 3 {
		out = append(out, shape{name: fmt.Sprintf("mode%d", mode), mode: mode, load: usual, least: 300}) // mode 1 has what came after its beginning
	}
	return append(out,
		shape{name: "standard", mode: 2, load: usual, dialect: ledger.Standard, least: 500},
		shape{name: "snappy", mode: 2, load: usual, spec: func(s *tabletsim.Spec) { s.Snappy = true }, least: 500},
		shape{name: "nosnapshot", mode: 2, load: usual, prepare: func(k *kit, t *cluster.Table) {}, least: 500},
		shape{name: "nosnapshot0", mode: 0, load: usual, prepare: func(k *kit, t *cluster.Table) {}, least: 500},
		shape{name: "deletes", mode: 0, load: heavy, during: func(k *kit, t *cluster.Table) { k.snapshots(t) }, least: 100},
		shape{name: "deletes2", mode: 2, load: heavy, during: func(k *kit, t *cluster.Table) { k.snapshots(t) }, least: 100},
		shape{name: "ttl", mode: 0, load: short, spec: func(s *tabletsim.Spec) { s.Indexes[0].AbsTTL = 60 }, prepare: func(k *kit, t *cluster.Table) {
			k.snapshots(t)
			_, err := t.Leader(0).GC()
			k.must(err)
		}, least: 300},
		shape{name: "puttime", mode: 1, load: usual, spec: func(s *tabletsim.Spec) { s.Indexes = s.Indexes[1:] }, least: 300},
		shape{name: "drift", mode: 2, load: usual, prepare: func(k *kit, t *cluster.Table) {
			t.Leader(0).DriftOffset(700)
			k.snapshots(t)
			k.write(t, 300, usual)
		}, least: 500},
		shape{name: "truncate", mode: 2, load: usual, prepare: func(k *kit, t *cluster.Table) {
			last := time.Now()
			k.must(daemons.Until(k.ctx, "the tolerance has passed", 20*time.Millisecond, untilAfter(last.Add(2*tolerance))))
			k.must(t.Truncate(0))
			k.write(t, 300, usual)
		}, least: 200},
		shape{name: "version2", mode: 2, load: usual, prepare: func(k *kit, t *cluster.Table) {
			k.snapshots(t)
			k.must(t.AddColumn(tabletsim.Column{Name: "added", Type: typepb.DataType_kString}))
			k.write(t, 300, usual)
		}, least: 500},
		shape{name: "alter", mode: 2, load: usual, during: func(k *kit, t *cluster.Table) {
			k.must(t.AddColumn(tabletsim.Column{Name: "late", Type: typepb.DataType_kBigInt}))
			k.must(t.AddIndex(k.ctx, tabletsim.Index{Name: "late", Columns: []string{"k2", "k"}, TsColumn: "ts"}))
		}, least: 500},
		shape{name: "big", mode: 2, load: big, least: 300},
		shape{name: "empty", mode: 2, load: load.Options{Mix: load.Usual, Keys: 1}, spec: func(s *tabletsim.Spec) { s.Partitions = 5 }, least: 200},
		shape{name: "trim", mode: 2, load: usual, during: func(k *kit, t *cluster.Table) {
			for range 3 {
				k.write(t, 400, usual)
				k.snapshots(t)
				for pid := range uint32(t.Schema().Partitions) {
					_, err := t.Leader(pid).TrimLogs()
					k.must(err)
				}
			}
		}, least: 500},
		shape{name: "followers", mode: 2, load: usual, spec: func(s *tabletsim.Spec) { s.Replicas = 2 }, during: func(k *kit, t *cluster.Table) {
			k.must(t.MoveLeader(k.ctx, 0, 1-t.LeaderSeat(0)))
		}, least: 500},
	)
}

func untilAfter(at time.Time) func(contextT) (bool, error) {
	return func(contextT) (bool, error) { return time.Now().After(at), nil }
}

// TestShapes: every shape of table, in one cluster, exported while it is written: nothing lost, nothing twice.
func TestShapes(t *testing.T) {
	t.Parallel()
	k := newScene(t, 2, scene.Options{Collector: daemons.Conf{"handoff_clock_tolerance_ms": fmt.Sprint(tolerance.Milliseconds())}})
	k.collector("c0", 0)
	k.collector("c1", 1)
	k.synctool("s")
	t.Run("all", func(t *testing.T) {
		for _, s := range shapes() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience) // its turn comes when others are done
				defer cancel()
				s.play(&kit{TB: t, Scene: k.Scene, ctx: ctx, dir: k.dir})
			})
		}
	})
}

func (s shape) play(k *kit) {
	k.Helper()
	spec := load.Wide("db", s.name, 2, 1)
	if s.spec != nil {
		s.spec(&spec)
	}
	t := k.table(spec)
	k.write(t, 600, s.load)
	if s.prepare != nil {
		s.prepare(k, t)
	} else {
		k.snapshots(t)
		k.write(t, 300, s.load)
	}
	task := scene.Task{Table: t, Mode: s.mode, Dialect: s.dialect}
	if s.mode == 1 {
		task.StartTS = uint64(time.Now().UnixMilli())
	}
	o := s.load
	o.Rate = 300
	stop := k.writing(t, o)
	made := k.create(task)
	if s.during != nil {
		s.during(k, t)
	} else {
		k.write(t, 300, s.load)
	}
	if s.mode == 0 {
		k.must(made.Ended(k.ctx))
		stop()
	} else {
		k.must(made.Holds(k.ctx)) // it runs at all, while rows come
		stop()
		k.must(made.Holds(k.ctx)) // and has the last one
	}
	k.verify(made, s.least, tolerance)
}
