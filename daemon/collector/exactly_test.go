package collector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"omsync/rpc/omsyncpb"
	"omsync/testenv/cluster"
	"omsync/testenv/ledger"
	"omsync/testenv/load"
	"omsync/testenv/tabletsim"
	"omsync/testenv/zkserver"
)

// history is one random play: a cluster under writing, a collector per tablet, a synctool that commits as it likes, and faults.
type history struct {
	t     *testing.T
	rng   *rand.Rand
	seed  uint64
	tool  *fakeTool
	fake  *fakeCluster
	tabs  *cluster.Cluster
	table *cluster.Table
	mode  int32

	mu       sync.Mutex // of the collectors
	procs    []*process
	dirs     []string
	assigned map[string]bool // tokens
	must     int             // rows that the ledger insists on
	told     []string
}

const settleInTests = 60 * time.Millisecond

// toleranceInTests covers the time between what a checkpoint holds and the date on it, which a busy machine stretches.
const toleranceInTests = time.Second

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 5)), assigned: map[string]bool{}, mode: int32(seed % 3)}
	zk := zkserver.ForTest(t)
	ctx, cancel := context.WithTimeout(t.Context(), waitFor)
	defer cancel()
	dir := t.TempDir()
	var err error
	h.tabs, err = cluster.Start(ctx, cluster.Options{
		Servers: []string{zk.Addr()}, Dir: dir, Tablets: 2, SessionTimeout: 5 * time.Second,
		Partition: tabletsim.PartitionOptions{LogBytes: 12_000 + h.rng.Int64N(60_000), Jitter: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.tabs.Close(); err != nil {
			t.Error(err)
		}
	})
	spec := load.Wide("db", "t", 2, 1+int(seed/3%2))
	if seed%4 == 1 {
		spec.Indexes[0].TsColumn = ""
	}
	if h.table, _, err = load.Create(h.tabs, spec); err != nil {
		t.Fatal(err)
	}
	h.tool = newTool(t, seed)
	h.tool.credit = []uint64{30_000, 200_000, 8 << 20}[h.rng.IntN(3)]
	h.tool.commit = func() bool { return h.tool.rng.IntN(4) == 0 }
	h.fake = newFakeCluster(h.tool)
	for i := range 2 {
		h.dirs = append(h.dirs, filepath.Join(dir, fmt.Sprintf("collector%d", i)))
		h.procs = append(h.procs, nil)
		h.start(i)
	}
	return h
}

// start needs h.mu, or nobody else about.
func (h *history) start(i int) {
	o := h.tool.options(h.tabs.Host(i)+":1", h.dirs[i])
	o.Settle, o.ClockTolerance, o.Replication = settleInTests, toleranceInTests, 20*time.Millisecond
	o.MaxPack = 4096 + int64(i)*60_000
	o.PlanMemory = 20_000
	h.procs[i] = run(h.t, o, h.fake)
}

func (h *history) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, fmt.Sprintf(format, args...))
}

// restart ends a collector's life, by kill or in order, and begins the next.
func (h *history) restart(i int, kill bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.procs[i]
	if kill {
		p.kill()
	} else if err := p.stop(); err != nil {
		h.t.Errorf("collector %d: %v", i, err)
	}
	h.start(i)
}

// crashSoon kills a collector at one of its next changes of the disk.
func (h *history) crashSoon(i, after int) {
	h.mu.Lock()
	p := h.procs[i]
	h.mu.Unlock()
	dead := make(chan struct{})
	p.fs.mu.Lock()
	p.fs.after, p.fs.onCrash = after, func() { close(dead) }
	p.fs.mu.Unlock()
	select {
	case <-dead:
	case <-time.After(100 * time.Millisecond):
	}
	h.restart(i, true)
}

// assign hands tokens out as the synctool does, until ctx ends.
func (h *history) assign(ctx context.Context) {
	for ctx.Err() == nil {
		h.tool.mu.Lock()
		var todo []*omsyncpb.Assignment
		for _, s := range h.tool.subs {
			if !h.assigned[s.a.GetToken()] {
				todo = append(todo, s.a)
			}
		}
		h.tool.mu.Unlock()
		for _, a := range todo {
			h.mu.Lock()
			seat := h.table.LeaderSeat(a.GetKey().GetPid())
			err := h.procs[seat].add(a)
			h.mu.Unlock()
			if err == nil {
				h.tool.mu.Lock()
				h.assigned[a.GetToken()] = true
				h.tool.mu.Unlock()
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// place writes where a partition is led into its next assignment.
func (h *history) place(pid uint32) func(*omsyncpb.Assignment) {
	seat := h.table.LeaderSeat(pid)
	addr := ""
	if tab := h.tabs.Tablet(seat); tab != nil {
		addr = tab.Addr()
	}
	return func(a *omsyncpb.Assignment) {
		a.TabletEndpoint, a.TabletAddress = addr, addr
	}
}

// fault does one thing.
func (h *history) fault() {
	i, pid := h.rng.IntN(2), uint32(h.rng.IntN(2))
	var err error
	what := ""
	switch h.rng.IntN(12) {
	case 0, 1:
		what = fmt.Sprintf("cut %d", i)
		h.mu.Lock()
		h.procs[i].cut()
		h.mu.Unlock()
	case 2, 3:
		what = fmt.Sprintf("kill %d", i)
		h.restart(i, true)
	case 4, 5:
		n := 1 + h.rng.IntN(30)
		what = fmt.Sprintf("crash %d at change %d", i, n)
		h.crashSoon(i, n)
	case 6:
		what = fmt.Sprintf("stop %d", i)
		h.restart(i, false)
	case 7:
		what = "synctool restarts"
		h.tool.stop()
		h.fake.touch()
		h.tool.start()
		h.fake.touch()
	case 8:
		what = fmt.Sprintf("new token for %d", pid)
		h.tool.retoken(pid, nil)
	case 9:
		seat := h.table.LeaderSeat(pid)
		what = fmt.Sprintf("tablet %d restarts", seat)
		if err = h.tabs.Kill(seat, h.rng.IntN(2) == 0); err == nil {
			err = h.tabs.Restart(h.t.Context(), seat)
		}
	case 10:
		err = h.table.Leader(pid).Rotate()
		what = fmt.Sprintf("rotate %d", pid)
	case 11:
		what = h.move(pid)
	}
	if tabletsim.DefaultEngine().Writes() && h.rng.IntN(2) == 0 {
		what += h.change(pid)
	}
	if err != nil {
		what += ": " + err.Error()
	}
	h.note("%s", what)
}

// change makes a snapshot, trims or truncates.
func (h *history) change(pid uint32) string {
	var err error
	what := ""
	switch h.rng.IntN(6) {
	case 0, 1, 2:
		what = ", snapshot and trim"
		if _, err = h.table.Snapshot(pid); err == nil {
			_, err = h.table.Leader(pid).TrimLogs()
		}
	case 3:
		what = ", gc"
		_, err = h.table.Leader(pid).GC()
	case 4:
		what = ", truncate"
		err = h.table.Truncate(pid)
	case 5:
		what = ", drift"
		h.table.Leader(pid).DriftOffset(uint64(h.rng.IntN(500)))
	}
	if err != nil {
		what += ": " + err.Error()
	}
	return what
}

// move moves a leader to the other tablet, as the synctool would follow it: what is not published begins anew there.
func (h *history) move(pid uint32) string {
	if h.table.Schema().Replicas < 2 {
		return "no move"
	}
	to := 1 - h.table.LeaderSeat(pid)
	if err := h.table.MoveLeader(h.t.Context(), pid, to); err != nil {
		return "no move: " + err.Error()
	}
	h.tool.mu.Lock()
	s := h.tool.subs[pid]
	if !s.published {
		h.tool.renew(s)
	}
	h.tool.mu.Unlock()
	h.tool.retoken(pid, h.place(pid))
	return fmt.Sprintf("partition %d moves to tablet %d", pid, to)
}

func (h *history) play() {
	t, l := h.t, h.table.Ledger()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w, err := load.New(h.table, load.Options{Mix: load.Usual, Seed: h.seed, Writers: 3, Rate: 2500, Keys: 60, Pad: 20})
	if err != nil {
		t.Fatal(err)
	}
	var writing, helping sync.WaitGroup
	var loadErr error
	wctx, quiet := context.WithCancel(ctx)
	writing.Go(func() { loadErr = w.Run(wctx) })
	until(t, "some rows are written", func() bool { return l.Acknowledged() > 200 })
	if tabletsim.DefaultEngine().Writes() && h.seed%2 == 0 {
		for pid := range uint32(2) {
			if _, err := h.table.Snapshot(pid); err != nil {
				t.Fatal(err)
			}
		}
	}
	from := l.Mark()
	startTS := uint64(0)
	if h.mode == 1 {
		startTS = uint64(from.Ms) - 50
	}
	for pid := range uint32(2) {
		a := &omsyncpb.Assignment{
			Key: &omsyncpb.SubtaskKey{TaskId: "task", Tid: h.table.Schema().TID, Pid: pid}, Db: "db", Table: "t", Mode: h.mode, StartTs: startTS,
			Replicas: uint32(h.table.Schema().Replicas),
		}
		h.place(pid)(a)
		h.tool.assign(a)
	}
	helping.Go(func() { h.assign(ctx) })
	helping.Go(func() {
		for ctx.Err() == nil {
			h.tool.flush()
			select {
			case <-ctx.Done():
			case <-time.After(15 * time.Millisecond):
			}
		}
	})
	for range 14 {
		h.fault()
		time.Sleep(time.Duration(h.rng.IntN(60)) * time.Millisecond) // the histories differ by when faults come
	}
	quiet()
	writing.Wait()
	if loadErr != nil {
		t.Error(loadErr)
	}
	h.finish()
	stop()
	helping.Wait()
	for _, p := range h.procs {
		if err := p.stop(); err != nil {
			t.Errorf("collector: %v", err)
		}
	}
	h.verify(from, startTS)
}

// finish waits until everything is exported.
func (h *history) finish() {
	last := []uint64{h.table.Leader(0).Last(), h.table.Leader(1).Last()}
	h.tool.until("everything is exported", func() bool {
		for pid, s := range h.tool.subs {
			if h.mode == 0 && !s.ended || h.mode != 0 && (s.point.GetPhase() != omsyncpb.Phase_PHASE_LOG || s.point.GetLogIndex() < last[pid]) {
				return false
			}
		}
		return true
	})
}

func (h *history) verify(from ledger.Mark, startTS uint64) {
	h.tool.check()
	l := h.table.Ledger()
	windows := map[uint32]ledger.Window{}
	var rows []ledger.Row
	for pid := range uint32(2) {
		s := h.tool.sub(pid)
		for _, f := range s.faults {
			if !f.GetRetry() {
				h.t.Errorf("partition %d failed: %v", pid, f)
			}
		}
		w := l.Between(pid, from, l.Mark(), int(h.mode), startTS).Known(s.plan.GetZ(), s.plan.GetSnapshotName(), s.plan.GetNowMs())
		w.Tolerance = toleranceInTests
		windows[pid] = w
		for r, err := range readBack(h.table.Schema(), pid, s.rows) {
			if err != nil {
				h.t.Fatal(err)
			}
			rows = append(rows, r)
		}
	}
	rep, err := l.Verify(func(yield func(ledger.Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}, windows)
	if err == nil {
		err = rep.Err()
	}
	if err != nil {
		h.t.Errorf("seed %d, mode %d: %v\nhistory: %q", h.seed, h.mode, err, h.told)
	}
	h.must = rep.Sum().Must
}

// TestExactlyOnce: whatever dies, breaks or moves, every row is exported once. COLLECTOR_TEST_SEEDS=n plays n histories, COLLECTOR_TEST_SEED=s one.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	first, n := uint64(0), uint64(9)
	if v, err := strconv.ParseUint(os.Getenv("COLLECTOR_TEST_SEEDS"), 10, 64); err == nil {
		n = v
	}
	if v, err := strconv.ParseUint(os.Getenv("COLLECTOR_TEST_SEED"), 10, 64); err == nil {
		first, n = v, 1
	}
	// A TRUNCATE near its end leaves a history with few rows that must be there: all together must have enough to say anything.
	var must atomic.Int64
	t.Cleanup(func() {
		if !t.Failed() && must.Load() < int64(100*n) {
			t.Errorf("the ledgers insist on %d rows only in %d histories: too few to say anything", must.Load(), n)
		}
	})
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, seed)
			h.play()
			must.Add(int64(h.must))
		})
	}
}
