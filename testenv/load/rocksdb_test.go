//go:build rocksdb

package load_test

import (
	"context"
	"iter"
	"sync"
	"testing"
	"time"

	"omsync/testenv/cluster"
	"omsync/testenv/ledger"
	"omsync/testenv/load"
	"omsync/testenv/tabletsim"
)

// inStore gives what the leaders' stores hold, as an export at the end of the log of a snapshot made at that moment would.
func inStore(tb *cluster.Table) iter.Seq2[ledger.Row, error] {
	return func(yield func(ledger.Row, error) bool) {
		for pid := range tb.Schema().Partitions {
			for values, err := range tb.Leader(uint32(pid)).Rows() {
				if !yield(ledger.Row{File: "store", PID: pid, Values: values}, err) {
					return
				}
			}
		}
	}
}

// TestStoreHoldsWhatTheLedgerSays: after everything that can happen to a tablet the stores hold exactly the rows that the ledger calls live.
func TestStoreHoldsWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Tablets: 2, Partition: tabletsim.PartitionOptions{LogBytes: 50_000, Jitter: time.Millisecond}})
	sp := spec("t", 2, 2)
	sp.Indexes[0].AbsTTL = 60
	tb, l := table(t, c, sp)
	mix := load.Usual
	mix.Deletes, mix.Keyless, mix.Expired = 0.05, 0.02, 0.05
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { run(t, ctx, tb, load.Options{Mix: mix, Writers: 6, Keys: 40, Rate: 3000}) })
	for round, n := 0, 0; round < 8; round++ {
		for n += 300; l.Acknowledged() < n; {
			time.Sleep(2 * time.Millisecond)
		}
		seat := tb.LeaderSeat(0)
		var err error
		switch round {
		case 0, 3, 6:
			_, err = tb.Snapshot(0)
			if err == nil {
				_, err = tb.SnapshotReplica(0, 1-seat)
			}
			if err == nil {
				_, err = tb.Leader(0).TrimLogs()
			}
		case 1:
			err = tb.MoveLeader(t.Context(), 0, 1-seat)
		case 2:
			_, err = tb.Leader(1).GC()
		case 4:
			if err = c.Kill(seat, true); err == nil {
				err = c.Restart(t.Context(), seat)
			}
		case 5:
			err = tb.AddIndex(t.Context(), tabletsim.Index{Name: "late", Columns: []string{"k2", "k"}, TsColumn: "ts"})
		case 7:
			err = tb.Truncate(0)
		}
		if err != nil {
			t.Error(round, err)
			break
		}
	}
	stop()
	wg.Wait()
	wins := map[uint32]ledger.Window{}
	for pid := range uint32(2) {
		from := l.Mark()
		cp, err := tb.Snapshot(pid)
		if err != nil {
			t.Fatal(err)
		}
		w := l.Between(pid, from, l.Mark(), 0, 0).Known(tb.Leader(pid).Last(), cp.Name, time.Now().UnixMilli())
		w.Tolerance = time.Millisecond
		// What is expired is in the store all the same, GC or not: it is no part of this question.
		w.PinLo = 0
		wins[pid] = w
	}
	rep, err := l.Verify(inStore(tb), wins)
	if err != nil {
		t.Fatal(err)
	}
	if err := rep.Err(); err != nil {
		t.Fatal(err)
	}
	if s := rep.Sum(); s.Rows < 300 {
		t.Errorf("%d rows are left: too few to say anything", s.Rows)
	}
	if must := rep.Sum().Must; must < 300 {
		t.Errorf("the ledger insists on %d rows only", must)
	}
	for pid := range uint32(2) {
		if err := tb.Leader(pid).Synced(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
