package coord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"omsync/openmldb/zkconn"
)

// leaderModel is one leader with what it knows.
type leaderModel struct {
	name    string
	store   *Store
	version map[uint32]int32
	seq     map[uint32]uint64
	fenced  bool
}

// history is one run: leaders that follow each other on a ZooKeeper that loses requests and answers and delivers requests late.
type history struct {
	t       *rapid.T
	z       *fakeZK
	s       *Session
	node    string
	leaders []*leaderModel
}

const historyParts = 3

func newHistory(t *rapid.T) *history {
	h := &history{t: t, z: newFakeZK(), s: New(nil, root, Options{})}
	h.s.rest = 0
	h.node = h.s.paths.leader() + "/x-n-0000000000"
	must(t, h.z.MkdirAll(context.Background(), h.node))
	fates := rapid.SampledFrom([]fate{arrives, arrives, arrives, answerLost, requestLost, comesLate})
	h.z.fate = func() fate { return fates.Draw(t, "fate") }
	return h
}

// begin has a new leader bump the epoch, perhaps while another does the same.
func (h *history) begin(contend bool) {
	h.z.before = nil
	if contend {
		h.z.before = func() { h.begin(false) }
	}
	name := fmt.Sprint(len(h.leaders))
	st, err := h.s.beginEpoch(context.Background(), h.z, h.node, name)
	must(h.t, err)
	for _, l := range h.leaders {
		if l.store.epoch >= st.epoch || l.store.version >= st.version {
			h.t.Fatalf("epoch %d (version %d) follows %d (version %d)", st.epoch, st.version, l.store.epoch, l.store.version)
		}
		l.fenced = true
	}
	l := &leaderModel{name: name, store: st}
	h.leaders = append(h.leaders, l)
	h.load(l)
}

func (h *history) load(l *leaderModel) {
	l.version, l.seq = map[uint32]int32{}, map[uint32]uint64{}
	tasks, err := l.store.Load(context.Background())
	must(h.t, err)
	for _, task := range tasks {
		for pid, v := range task.States {
			l.version[pid], l.seq[pid] = v.Version, v.State.Seq
		}
	}
}

// changes are the next states of some subtasks as a leader knows them.
func (h *history) changes(l *leaderModel) []Change {
	var out []Change
	for pid := range uint32(rapid.IntRange(1, historyParts).Draw(h.t, "parts")) {
		out = append(out, Change{"t", pid, l.version[pid], SubtaskState{
			Status: Running, Seq: l.seq[pid] + 1, Collector: l.name, Token: rapid.StringMatching("[a-z]{8}").Draw(h.t, "token"),
		}})
	}
	return out
}

func update(ctx context.Context, s *Store, changes []Change) ([]int32, error) {
	if len(changes) > 1 {
		return s.UpdateMany(ctx, changes)
	}
	v, err := s.Update(ctx, changes[0].ID, changes[0].PID, changes[0].Version, changes[0].State)
	return []int32{v}, err
}

// decide has a leader change subtasks. mayBeStale: a decision it gave up on may come between.
func (h *history) decide(l *leaderModel, mayBeStale bool) {
	changes := h.changes(l)
	got, err := update(context.Background(), l.store, changes)
	switch {
	case err == nil && l.fenced:
		h.t.Fatalf("a former leader decides")
	case err == nil:
		for i, c := range changes {
			at := h.z.nodes[h.s.paths.state("t", c.PID)]
			var now SubtaskState
			must(h.t, json.Unmarshal(at.value, &now))
			if got[i] != c.Version+1 || at.version != got[i] || now.Seq != c.State.Seq || now.Token != c.State.Token {
				h.t.Fatalf("told done at version %d: node %+v at %d", got[i], now, at.version)
			}
			l.version[c.PID], l.seq[c.PID] = got[i], c.State.Seq
		}
	case errors.Is(err, ErrFenced):
		if !l.fenced {
			h.t.Fatalf("the leader of the last epoch is told %v", err)
		}
	case errors.Is(err, ErrStale) && mayBeStale:
		h.load(l)
	default:
		h.t.Fatalf("leader %s: %v", l.name, err)
	}
}

// giveUp has a leader leave a decision open: its request is lost, late, or applied without an answer, and it asks no more.
func (h *history) giveUp(l *leaderModel) {
	ctx, cancel := context.WithCancel(context.Background())
	fates := h.z.fate
	h.z.fate = func() fate {
		cancel()
		return rapid.SampledFrom([]fate{answerLost, requestLost, comesLate}).Draw(h.t, "fate")
	}
	_, err := update(ctx, l.store, h.changes(l))
	h.z.fate = fates
	if err == nil || errors.Is(err, ErrFenced) || errors.Is(err, ErrStale) {
		h.t.Fatalf("an open decision is told as %v", err)
	}
}

// stale has a leader decide from a version that was passed long ago.
func (h *history) stale(l *leaderModel) {
	if l.version[0] < 2 {
		return
	}
	_, err := l.store.Update(context.Background(), "t", 0, l.version[0]-2, SubtaskState{Status: Failed, Token: "stale"})
	if wanted := map[bool]error{true: ErrFenced, false: ErrStale}[l.fenced]; !errors.Is(err, wanted) {
		h.t.Fatalf("a decision from an old version is told %v, want %v", err, wanted)
	}
}

// TestNoDoubleNoGhost: a call answered "done" was applied exactly once, one refused not at all, each decision builds on the one before, no two
// leaders share an epoch, and once a leader has begun nothing of the ones before is applied.
func TestNoDoubleNoGhost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		h.begin(false)
		spec, sts := task("t", historyParts)
		must(t, h.leaders[0].store.Create(context.Background(), spec, sts))
		h.load(h.leaders[0])
		leader := func() *leaderModel { return h.leaders[rapid.IntRange(0, len(h.leaders)-1).Draw(t, "leader")] }
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {
				if n := len(h.z.late); n > 0 && rapid.Bool().Draw(t, "deliver") {
					h.z.arrive(rapid.IntRange(0, n-1).Draw(t, "which"))
				}
			},
			"begin": func(*rapid.T) {
				if len(h.leaders) < 5 {
					h.begin(rapid.Bool().Draw(t, "contend"))
				}
			},
			"update": func(*rapid.T) { h.decide(leader(), false) },
			"stale":  func(*rapid.T) { h.stale(leader()) },
			"give up, then another": func(*rapid.T) {
				l := leader()
				h.giveUp(l)
				h.decide(l, true)
				h.load(l) // and what was late may have come
			},
		})
		for len(h.z.late) > 0 {
			h.z.arrive(0)
		}
		h.verify()
	})
}

// verify looks at each node's history: it counts 1, 2, 3 …, so nothing was applied twice or on top of something else, and leaders only follow
// each other.
func (h *history) verify() {
	for pid := range uint32(historyParts) {
		at := h.s.paths.state("t", pid)
		var by []string
		for i, value := range h.z.history[at] {
			var st SubtaskState
			must(h.t, json.Unmarshal([]byte(value), &st))
			if st.Seq != uint64(i) || st.Token == "stale" {
				h.t.Fatalf("%s: step %d is %+v", at, i, st)
			}
			by = append(by, st.Collector)
		}
		if !slices.IsSorted(by) {
			h.t.Fatalf("%s: leaders %v take turns", at, by)
		}
		if v := h.z.nodes[at].version; int(v) != len(h.z.history[at])-1 {
			h.t.Fatalf("%s: version %d after %d steps", at, v, len(h.z.history[at]))
		}
	}
}

// TestCreateRemoveLossy: create and remove end definitely whatever is lost, and leave all or nothing.
func TestCreateRemoveLossy(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		h := newHistory(t)
		h.begin(false)
		store := h.leaders[0].store
		store.most = 4000
		fates := rapid.SampledFrom([]fate{arrives, arrives, answerLost, requestLost})
		h.z.fate = func() fate { return fates.Draw(t, "fate") }
		spec, sts := task("t", rapid.IntRange(0, 5).Draw(t, "partitions"))
		for p := range sts {
			sts[p] = big(rapid.SampledFrom([]int{10, 1500}).Draw(t, "size"))
		}
		must(t, store.Create(ctx, spec, sts))
		must(t, store.Create(ctx, spec, sts))
		tasks, err := store.Load(ctx)
		must(t, err)
		if len(tasks) != 1 || len(tasks[0].States) != len(sts) {
			t.Fatalf("created %+v", tasks)
		}
		must(t, store.Finish(ctx, "t", FinishedRecord{Spec: spec, States: sts, EndedMs: store.now().UnixMilli()}))
		must(t, store.Remove(ctx, "t"))
		if tasks, err = store.Load(ctx); err != nil || len(tasks) != 0 {
			t.Fatalf("removed: %+v, %v", tasks, err)
		}
		if f, err := store.Finished(ctx); err != nil || len(f) != 1 || len(f[0].States) != len(sts) {
			t.Fatalf("finished: %+v, %v", f, err)
		}
	})
}

// TestUnsettled: with a context that ends, a call whose request never gets through says neither done nor refused.
func TestUnsettled(t *testing.T) {
	t.Parallel()
	z, ctx := newFakeZK(), context.Background()
	s := New(nil, root, Options{})
	s.rest = 0
	node := s.paths.leader() + "/x-n-0000000000"
	must(t, z.MkdirAll(ctx, node))
	store, err := s.beginEpoch(ctx, z, node, "a")
	must(t, err)
	spec, sts := task("t", 1)
	must(t, store.Create(ctx, spec, sts))
	ctx, cancel := context.WithCancel(ctx)
	tries := 0
	z.fate = func() fate {
		if tries++; tries == 5 {
			cancel()
		}
		return requestLost
	}
	_, err = store.Update(ctx, "t", 0, 0, SubtaskState{})
	if err == nil || errors.Is(err, ErrFenced) || errors.Is(err, ErrStale) || !zkconn.Unknown(err) && !errors.Is(err, zkconn.ErrNotConnected) {
		t.Fatalf("error %v", err)
	}
}
