package synctool

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/rpc/omsyncpb"
)

// mowner is one leader in the model: a coroutine over the real committer. It may linger after another one took over.
type mowner struct {
	id    int
	w     *mworld
	run   *mrun
	epoch uint64

	yield func(string) bool
	next  func() (string, bool)
	stop  func()
	at    string // the step it is about to take
	over  bool
	done  bool // everything is exported and settled
}

// crashed unwinds an owner that died.
type crashed struct{}

// step lets others run before what comes next is done.
func (o *mowner) step(what string) {
	if !o.yield(what) {
		panic(crashed{})
	}
}

// fault is a step that may go wrong in one of n ways; 0 is right.
func (o *mowner) fault(what string, n int) int {
	o.step(what)
	if o.run.faults == 0 {
		return 0
	}
	if c := o.run.choose(n + 1); c > 0 {
		o.run.faults--
		return c
	}
	return 0
}

// mrows is a schema whose rows are one byte.
type mrows struct{}

func (mrows) Latest() uint8                          { return 1 }
func (mrows) Split([]byte) (int, error)              { return 1, nil }
func (mrows) Encoder() (dest.Encoder, error)         { return mrows{}, nil }
func (mrows) Append(dst, row []byte) ([]byte, error) { return append(dst, row...), nil }
func (mrows) Suffix() string                         { return ".csv" }

func (o *mowner) live(yield func(string) bool) {
	o.yield = yield
	defer func() {
		o.over = true
		if r := recover(); r != nil {
			if _, ok := r.(crashed); !ok {
				panic(r)
			}
		}
	}()
	o.step("bump")
	o.w.epoch++
	o.epoch = o.w.epoch
	o.step("load")
	o.lead(context.Background())
}

// lead is a leadership from its load on: recover, then commit, publish, clear and sweep until all is exported.
func (o *mowner) lead(ctx context.Context) {
	rec := newRecord("t", 0, coord.Versioned{State: o.w.node, Version: o.w.version}, mstore{o.w, o}, fixedClock)
	rec.pause = func(context.Context, int) error { o.step("resend"); return nil }
	files := mfiles{o.w, o}
	clear := newClearer(mstore{o.w, o}, nil)
	com := &committer{
		rec: rec, files: files, names: namer{cluster: "c", task: "t", pid: 0, epoch: o.epoch, suffix: ".csv", n: new(atomic.Uint64)}, where: "/d",
		stall: func(context.Context, *trouble) error { o.step("stall"); return nil },
		clear: clear.add,
	}
	if o.lost(ctx, rec, com.recover(ctx)) {
		return
	}
	for {
		st := rec.get()
		switch o.run.whim() {
		case 1:
			prove := func(ctx context.Context) error {
				return rec.change(ctx, func(*coord.SubtaskState) error { return nil })
			}
			_, err := sweep(ctx, files, "c", "t", o.epoch, prove, func() []coord.SubtaskState { return []coord.SubtaskState{rec.get()} })
			if o.lost(ctx, rec, err) {
				return
			}
		case 2:
			if o.lost(ctx, rec, clear.flush(ctx)) {
				return
			}
			continue
		case 3:
			if !st.Published && (st.Pending == nil || rec.settled == st.Pending.Stage) && o.run.renewals > 0 {
				o.run.renewals--
				if o.lost(ctx, rec, rec.change(ctx, func(st *coord.SubtaskState) error {
					g := st.Generation
					begin(st)
					st.Generation = g + 1
					return nil
				})) {
					return
				}
				continue
			}
		}
		if st.Point.Phase == phaseLog && rowsAt(st.Point) == len(allRows) {
			if o.lost(ctx, rec, clear.flush(ctx)) {
				return
			}
			o.done = true
			return
		}
		if st.SnapshotDone && !st.PublishDone {
			if st.Plan == nil {
				if o.lost(ctx, rec, rec.change(ctx, func(st *coord.SubtaskState) error { st.Plan = &coord.PlanRef{}; return nil })) {
					return
				}
			}
			if o.lost(ctx, rec, com.publish(ctx)) {
				return
			}
			continue
		}
		seg, err := o.segment(ctx, com, &st)
		if err == nil {
			err = com.commit(ctx, ctx, seg, nil)
		}
		if o.lost(ctx, rec, err) {
			return
		}
	}
}

// segment closes the next one or two rows.
func (o *mowner) segment(ctx context.Context, com *committer, st *coord.SubtaskState) (*sealed, error) {
	from := rowsAt(st.Point)
	end := len(allRows)
	if !st.SnapshotDone {
		end = len(snapshotRows)
	}
	to := from + 1
	if to < end && o.run.choose(2) == 1 {
		to++
	}
	rows, deletes, n := logged(allRows[from:to])
	b := &omsyncpb.Batch{
		Rows: []byte(rows), RowCount: uint32(len(rows)), Deletes: deletes, DeleteCount: n,
		To: &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG, LogIndex: uint64(to)},
	}
	if !st.SnapshotDone {
		b.To = &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_SNAPSHOT, Key: []byte(allRows[:to])}
		b.SnapshotEnd = to == end
	}
	for {
		seg := newSegment(mrows{}, st.Generation)
		sh := &shelf{local: true, used: &spoolUse{}}
		if o.w.kind == hdfsLike {
			seg.to, seg.snapshotEnd = pointOf(b.To), b.SnapshotEnd
			lines, n, err := encodeDeletes(deletes)
			if err != nil {
				return nil, err
			}
			seg.content, seg.deletes = spooled(rows, uint64(len(rows))), spooled(string(lines), n)
			return &seg.sealed, nil
		}
		err := seg.add(ctx, com, sh, mrows{}, b)
		if err == nil {
			var s *sealed
			if s, err = seg.seal(); err == nil {
				return s, nil
			}
		}
		seg.drop(ctx, com)
		o.step("attach-again") // the rows are asked for again
	}
}

func spooled(text string, rows uint64) content {
	return content{rows: rows, length: int64(len(text)), crc: checksum([]byte(text)), spool: mspool{text}}
}

// lost judges an owner's error. The leader may have none but a lost lead, or rows to ask for again; what an older one sees does not matter,
// as long as it can not decide anything on it.
func (o *mowner) lost(ctx context.Context, rec *record, err error) bool {
	if err == nil {
		return false
	}
	if gone, ok := err.(*lostStage); ok {
		_ = gone
		return false // the loop asks for the rows again
	}
	if lostLead(err) {
		return true
	}
	if o.epoch == o.w.epoch {
		o.run.fail("the leader of epoch %d can not go on: %v", o.epoch, err)
		return true
	}
	if err := rec.change(ctx, func(st *coord.SubtaskState) error { st.Status = coord.Failed; return nil }); err == nil && !o.w.dropEpoch {
		o.run.fail("a leader of epoch %d marked the subtask FAILED under epoch %d", o.epoch, o.w.epoch)
	}
	return true
}

func fixedClock() time.Time { return time.UnixMilli(1_700_000_000_000) }

// mrun is one history: the world, up to three owners, and the choices that made it.
type mrun struct {
	w        *mworld
	owners   []*mowner
	choose   func(n int) int // 0 is the plain way on
	faults   int
	whims    int
	renewals int
	takes    int
	crashes  int
	err      error
	steps    int
	seen     map[uint64]struct{}
}

// whim is what the leader does beside its work: 1 sweep, 2 clear, 3 a new generation.
func (r *mrun) whim() int {
	if r.whims == 0 {
		return 0
	}
	c := r.choose(4)
	if c > 0 {
		r.whims--
	}
	return c
}

func (r *mrun) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *mrun) spawn() *mowner {
	o := &mowner{id: len(r.owners), w: r.w, run: r}
	o.next, o.stop = iter.Pull(o.live)
	r.owners = append(r.owners, o)
	o.advance()
	return o
}

// advance takes the owner's next step and stops before the one after it.
func (o *mowner) advance() {
	at, ok := o.next()
	o.at = at
	if !ok {
		o.over = true
	}
}

// play runs a history to its end, then lets a fresh leader finish without faults: there must be no dead end.
func (r *mrun) play() {
	defer func() {
		for _, o := range r.owners {
			o.stop()
		}
	}()
	cur := r.spawn()
	for r.err == nil && r.steps < 2000 {
		r.steps++
		if err := r.w.check(); err != nil {
			r.fail("after %d steps: %w", r.steps, err)
			return
		}
		r.note()
		if cur.done && len(r.w.late) == 0 {
			break
		}
		cur = r.pick(cur)
		if cur == nil {
			break
		}
		cur.advance()
	}
	r.faults, r.whims, r.takes, r.crashes = 0, 0, 0, 0
	for _, f := range r.w.late { // nothing stays under way for ever
		f()
	}
	r.w.late = nil
	last := r.spawn()
	for i := 0; r.err == nil && !last.over && i < 2000; i++ {
		last.advance()
		if err := r.w.check(); err != nil {
			r.fail("in the last recovery: %w", err)
		}
	}
	if r.err == nil && !last.done {
		r.fail("dead end: a fresh leader does not finish")
	}
	if r.err == nil && (r.w.node.Pending != nil || !r.w.node.PublishDone || r.w.committedRows() != len(allRows)) {
		r.fail("finished with the node at %+v", r.w.node)
	}
	if r.err == nil {
		r.err = r.w.complete()
	}
}

// complete: every row once, nothing else.
func (w *mworld) complete() error {
	got := map[byte]int{}
	for name, f := range w.files {
		if read(name) {
			for _, b := range f.items(name) {
				got[b]++
			}
		}
	}
	for _, b := range []byte(allRows) {
		if got[b] != 1 {
			return fmt.Errorf("at the end readers see row %c %d times", b, got[b])
		}
	}
	return nil
}

// pick chooses who runs next: the same owner (0), another one, a crash of this one, a takeover, or the arrival of a late multi.
func (r *mrun) pick(cur *mowner) *mowner {
	var others []*mowner
	for _, o := range r.owners {
		if o != cur && !o.over {
			others = append(others, o)
		}
	}
	n := 1 + len(others)
	crash, take, late := -1, -1, -1
	if r.crashes > 0 && !cur.over {
		crash = n
		n++
	}
	if r.takes > 0 {
		take = n
		n++
	}
	if len(r.w.late) > 0 {
		late = n
		n++
	}
	c := 0
	if cur.over && len(others) > 0 {
		c = 1 + r.choose(len(others))
	} else if cur.over {
		if r.takes == 0 {
			return nil
		}
		c = take
	} else {
		c = r.choose(n)
	}
	switch {
	case c == 0:
		return cur
	case c == crash:
		r.crashes--
		cur.stop()
		cur.over = true
		return r.pick(cur)
	case c == take:
		r.takes--
		return r.spawn()
	case c == late:
		f := r.w.late[0]
		r.w.late = r.w.late[1:]
		f()
		return cur
	}
	return others[c-1]
}

func (r *mrun) note() {
	if r.seen == nil {
		return
	}
	where := ""
	for _, o := range r.owners {
		if o.over {
			where += "x,"
		} else {
			where += fmt.Sprintf("%d%s,", o.epoch, o.at)
		}
	}
	r.seen[r.w.hash(where)] = struct{}{}
}

// explore plays every history in which the choices deviate from the plain way at most depth times.
func explore(kind flavour, depth, most int, setup func(*mrun), each func(*mrun) bool) (runs int) {
	var path []int // choices of the last history, and how many there were at each point
	var width []int
	for {
		i, spent := 0, 0
		r := &mrun{w: newWorld(kind)}
		r.choose = func(n int) int {
			if n <= 1 {
				return 0
			}
			if i == len(path) {
				path, width = append(path, 0), append(width, n)
			}
			if spent == depth {
				width[i] = 1
			} else {
				width[i] = n
			}
			c := path[i]
			i++
			if c > 0 {
				spent++
			}
			return c
		}
		setup(r)
		r.play()
		runs++
		if !each(r) || runs >= most {
			return runs
		}
		path, width = path[:i], width[:i]
		for len(path) > 0 {
			last := len(path) - 1
			if path[last]+1 < width[last] {
				path[last]++
				break
			}
			path, width = path[:last], width[:last]
		}
		if len(path) == 0 {
			return runs
		}
	}
}

func setupAll(r *mrun) { r.faults, r.whims, r.takes, r.crashes, r.renewals = 3, 3, 2, 2, 1 }

// TestModelSystematic plays every history with up to two deviations from the plain one: faults, crashes, takeovers, sweeps, late multis.
func TestModelSystematic(t *testing.T) {
	t.Parallel()
	for kind, name := range map[flavour]string{hdfsLike: "hdfs", localLike: "local"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			most := 60_000
			if raceEnabled || testing.Short() {
				most = 1_500
			}
			steps, seen := 0, map[uint64]struct{}{}
			runs := explore(kind, 2, most, func(r *mrun) { setupAll(r); r.seen = seen }, func(r *mrun) bool {
				steps += r.steps
				if r.err != nil {
					t.Errorf("history: %v", r.err)
				}
				return r.err == nil
			})
			t.Logf("%d histories, %d steps, %d distinct states", runs, steps, len(seen))
		})
	}
}

// TestModelRandom plays random histories with more of everything.
func TestModelRandom(t *testing.T) {
	t.Parallel()
	for kind, name := range map[flavour]string{hdfsLike: "hdfs", localLike: "local"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 40_000
			if raceEnabled || testing.Short() {
				n = 1_500
			}
			steps, seen := 0, map[uint64]struct{}{}
			for seed := range n {
				r := randomRun(kind, uint64(seed))
				r.seen = seen
				r.play()
				steps += r.steps
				if r.err != nil {
					t.Fatalf("seed %d: %v", seed, r.err)
				}
			}
			t.Logf("%d histories, %d steps, %d distinct states", n, steps, len(seen))
		})
	}
}

func randomRun(kind flavour, seed uint64) *mrun {
	rng := rand.New(rand.NewPCG(seed, 7))
	r := &mrun{w: newWorld(kind), choose: func(n int) int {
		if n <= 1 || rng.IntN(10) < 6 {
			return 0
		}
		return rng.IntN(n)
	}}
	r.faults, r.whims, r.takes, r.crashes, r.renewals = 6, 6, 3, 3, 1
	return r
}

// TestModelHasTeeth: without the epoch in the multi a leader that lingers names a file the next one has swept.
func TestModelHasTeeth(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200_000) {
		r := randomRun(hdfsLike, seed)
		r.w.dropEpoch = true
		r.play()
		if r.err != nil {
			t.Logf("seed %d: %v", seed, r.err)
			return
		}
	}
	t.Error("no history breaks when the epoch is not checked: the model sees nothing")
}
