package load_test

import (
	"context"
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/typepb"
	"omsync/testenv/cluster"
	"omsync/testenv/ledger"
	"omsync/testenv/load"
	"omsync/testenv/tabletsim"
)

func spec(name string, partitions, replicas int) tabletsim.Spec {
	return load.Wide("db", name, partitions, replicas)
}

func start(t *testing.T, o cluster.Options) *cluster.Cluster {
	t.Helper()
	o.Servers, o.Dir, o.SessionTimeout = []string{zooKeeper(t)}, t.TempDir(), time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := cluster.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func table(t *testing.T, c *cluster.Cluster, sp tabletsim.Spec) (*cluster.Table, *ledger.Table) {
	t.Helper()
	tb, l, err := load.Create(c, sp)
	if err != nil {
		t.Fatal(err)
	}
	return tb, l
}

func run(t *testing.T, ctx context.Context, tb *cluster.Table, o load.Options) load.Stats {
	t.Helper()
	w, err := load.New(tb, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return w.Stats()
}

// export reads the leaders' logs as a continuous export without a snapshot would: every index-0 put of z = 0 on.
func export(t *testing.T, tb *cluster.Table) iter.Seq2[ledger.Row, error] {
	t.Helper()
	return func(yield func(ledger.Row, error) bool) {
		s := tb.Schema()
		for pid := range s.Partitions {
			for r, err := range tabletsim.ReadLog(filepath.Join(tb.Leader(uint32(pid)).Dir(), "binlog"), s) {
				if err == nil && (r.Method == apipb.MethodType_kDelete || !r.Index0()) {
					continue
				}
				if !yield(ledger.Row{File: "log", Line: int(r.Index), PID: pid, Values: r.Values}, err) {
					return
				}
			}
		}
	}
}

func windows(l *ledger.Table, n int) map[uint32]ledger.Window {
	out := map[uint32]ledger.Window{}
	for pid := range n {
		out[uint32(pid)] = ledger.Window{Mode: 2, Bases: []ledger.Base{{}}}
	}
	return out
}

func verify(t *testing.T, tb *cluster.Table, l *ledger.Table) ledger.Report {
	t.Helper()
	rep, err := l.Verify(export(t, tb), windows(l, tb.Schema().Partitions))
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestLogHoldsWhatTheLedgerSays: with z = 0 an export is the log itself, so the logs of all partitions must pass.
func TestLogHoldsWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Tablets: 2, Partition: tabletsim.PartitionOptions{LogBytes: 200_000, Jitter: time.Millisecond}})
	tb, l := table(t, c, spec("t", 4, 2))
	mix := load.Usual
	mix.Deletes, mix.Keyless, mix.Big = 0.03, 0.01, 0.002
	st := run(t, t.Context(), tb, load.Options{Mix: mix, Seed: 7, Writers: 8, Calls: 4000, Keys: 50})
	if st.Rewrites < 4000*0.05*0.9 || st.Deletes == 0 || st.Identical == 0 || st.Refused+st.Unknown != 0 {
		t.Errorf("%+v", st)
	}
	rep := verify(t, tb, l)
	if err := rep.Err(); err != nil {
		t.Fatal(err)
	}
	if rep.Sum().Rows != int(st.Puts) || l.Acknowledged() != int(st.Puts) {
		t.Errorf("%d rows, %d puts, %d acknowledged", rep.Sum().Rows, st.Puts, l.Acknowledged())
	}
	// The oracle turns red when a row is missing or there twice.
	n := 0
	rep, err := l.Verify(func(yield func(ledger.Row, error) bool) {
		for r, err := range export(t, tb) {
			n++
			if n == 100 {
				continue
			}
			if !yield(r, err) || (n == 200 && !yield(r, err)) {
				return
			}
		}
	}, windows(l, 4))
	if err != nil {
		t.Fatal(err)
	}
	if s := rep.Sum(); s.Lost != 1 || s.Duplicate != 1 || s.Phantom != 0 || rep.Err() == nil {
		t.Errorf("one lost and one doubled row give %+v", s)
	}
}

// TestFailovers: leaders move, tablets die with torn logs and come back, all under load.
func TestFailovers(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Tablets: 3, Partition: tabletsim.PartitionOptions{LogBytes: 100_000}})
	tb, l := table(t, c, spec("t", 3, 2))
	ctx, stop := context.WithCancel(t.Context())
	var (
		wg sync.WaitGroup
		st load.Stats
	)
	wg.Go(func() { st = run(t, ctx, tb, load.Options{Mix: load.Usual, Writers: 4, Keys: 30, Rate: 3000}) })
	grown := func(n int) {
		t.Helper()
		for from, deadline := l.Acknowledged(), time.Now().Add(20*time.Second); l.Acknowledged() < from+n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the load stands still")
			}
		}
	}
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			stop()
			wg.Wait()
			t.Fatal(what, err)
		}
		grown(300)
	}
	grown(300)
	do("move", tb.MoveLeader(t.Context(), 0, 1))
	do("move back", tb.MoveLeader(t.Context(), 0, 0))
	do("kill in place", c.Kill(2, true))
	do("restart in place", c.Restart(t.Context(), 2))
	stop()
	wg.Wait()
	// What a dead leader had not replicated yet would be lost for good, as in OpenMLDB.
	for pid := range uint32(3) {
		if err := tb.Leader(pid).Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Kill(0, true); err != nil {
		t.Fatal(err)
	}
	if err := c.Failover(0); err != nil {
		t.Fatal(err)
	}
	if tb.LeaderSeat(0) != 1 {
		t.Errorf("partition 0 is led by %d", tb.LeaderSeat(0))
	}
	st2 := run(t, t.Context(), tb, load.Options{Mix: load.Usual, Seed: 2, Calls: 300, Keys: 30})
	if err := c.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if st.Unknown+st.Refused == 0 || st2.Unknown+st2.Refused != 0 {
		t.Errorf("%+v %+v", st, st2)
	}
	if err := verify(t, tb, l).Err(); err != nil {
		t.Fatal(err)
	}
	for pid := range uint32(3) {
		if err := tb.Leader(pid).Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
		for f, pos := range tb.Leader(pid).Followers() {
			if pos != tb.Leader(pid).Last() || f.Last() != pos {
				t.Errorf("partition %d: follower has %d of %d", pid, pos, tb.Leader(pid).Last())
			}
		}
	}
}

func TestAlterUnderLoad(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{})
	sp := spec("t", 2, 1)
	sp.Snappy = true
	sp.Indexes = []tabletsim.Index{{Name: "i0", Columns: []string{"k"}}} // key time = put time
	tb, l := table(t, c, sp)
	mix := load.Mix{Rewrites: 0.1, Identical: 0.05, Deletes: 0.05, Expired: 0.01}
	run(t, t.Context(), tb, load.Options{Mix: mix, Calls: 500, Keys: 20})
	if err := tb.AddColumn(tabletsim.Column{Name: "w", Type: typepb.DataType_kDouble}); err != nil {
		t.Fatal(err)
	}
	run(t, t.Context(), tb, load.Options{Mix: mix, Seed: 3, Calls: 500, Keys: 20})
	versions := map[uint8]int{}
	for r, err := range tabletsim.ReadLog(filepath.Join(tb.Leader(0).Dir(), "binlog"), tb.Schema()) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Method == apipb.MethodType_kPut {
			versions[r.Version]++
		}
	}
	if versions[1] == 0 || versions[2] == 0 {
		t.Errorf("versions in the log: %v", versions)
	}
	if err := verify(t, tb, l).Err(); err != nil {
		t.Fatal(err)
	}
	start, end := uint64(math.MaxUint64), uint64(0)
	if _, err := tb.DeleteTimes(t.Context(), 0, &start, &end); err != nil {
		t.Fatal(err)
	}
	if err := tb.Drop(); err != nil {
		t.Fatal(err)
	}
}

func TestRateIsKept(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{})
	tb, _ := table(t, c, spec("t", 1, 1))
	begin := time.Now()
	run(t, t.Context(), tb, load.Options{Rate: 1000, Calls: 500})
	if d := time.Since(begin); d < 450*time.Millisecond {
		t.Errorf("500 calls at 1000/s took %s", d)
	}
}

func TestNeedsALedger(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{})
	tb, err := c.CreateTable(spec("t", 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load.New(tb, load.Options{}); err == nil {
		t.Error("a load nobody can check passes")
	}
	for _, col := range []string{"k", "i8", "none"} {
		if _, err := load.Keep(tb, col); err == nil {
			t.Errorf("tags in column %s pass", col)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			c, err := cluster.Start(b.Context(), cluster.Options{Servers: []string{zooKeeper(b)}, Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			tb, _, err := load.Create(c, spec("t", 4, 1))
			if err != nil {
				b.Fatal(err)
			}
			w, err := load.New(tb, load.Options{Writers: writers, Calls: b.N})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			if err := w.Run(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
