package coord

import (
	"context"
	"path"
	"testing"

	"omsync/openmldb/zkconn"
)

// behindZK is ZooKeeper seen through a server that lags: writes go to the leader, reads answer from what was known at the last sync.
type behindZK struct {
	*fakeZK
	seen map[string]fakeNode
}

func behind(z *fakeZK) *behindZK {
	b := &behindZK{fakeZK: z}
	b.catchUp()
	return b
}

func (z *behindZK) catchUp() {
	z.seen = map[string]fakeNode{}
	for p, n := range z.nodes {
		z.seen[p] = *n
	}
}

func (z *behindZK) Sync(context.Context, string) error {
	z.catchUp()
	return nil
}

func (z *behindZK) Get(_ context.Context, p string) ([]byte, *zkconn.Stat, error) {
	n, ok := z.seen[p]
	if !ok {
		return nil, nil, zkconn.ErrNoNode
	}
	return n.value, &zkconn.Stat{Version: n.version}, nil
}

func (z *behindZK) Children(_ context.Context, p string) ([]string, *zkconn.Stat, error) {
	if _, ok := z.seen[p]; !ok {
		return nil, nil, zkconn.ErrNoNode
	}
	var out []string
	for at := range z.seen {
		if at != "/" && path.Dir(at) == p {
			out = append(out, path.Base(at))
		}
	}
	return out, &zkconn.Stat{}, nil
}

// TestReadsThatDecideSync: a new leader on a server that lags still reads what the former one decided last, tells its own lost decision from a
// stranger's, and removes a task whole.
func TestReadsThatDecideSync(t *testing.T) {
	t.Parallel()
	ctx, z := t.Context(), newFakeZK()
	s := New(nil, root, Options{})
	s.rest = 0
	node := s.paths.leader() + "/x-n-0000000000"
	must(t, z.MkdirAll(ctx, node))
	first, err := s.beginEpoch(ctx, z, node, "first")
	must(t, err)
	spec, sts := task("t", 2)
	must(t, first.Create(ctx, spec, sts))
	late := behind(z) // knows the task as it was created, and the first epoch
	version, err := first.Update(ctx, "t", 0, 0, SubtaskState{Status: Running, Seq: 1})
	must(t, err)

	next, err := s.beginEpoch(ctx, late, node, "next")
	must(t, err)
	if next.Epoch() != first.Epoch()+1 {
		t.Errorf("epoch %d after %d", next.Epoch(), first.Epoch())
	}
	version, err = next.Update(ctx, "t", 0, version, SubtaskState{Status: Running, Seq: 2})
	must(t, err)
	tasks, err := next.Load(ctx)
	must(t, err)
	if len(tasks) != 1 || states(&tasks[0]) != "0:RUNNING/2@2 1:INIT/0@0" {
		t.Errorf("loaded %+v", tasks)
	}

	z.fate = func() fate { // the answer is lost, the resend comes to late
		z.fate = func() fate { return arrives }
		return answerLost
	}
	if version, err = next.Update(ctx, "t", 0, version, SubtaskState{Status: Running, Seq: 3}); err != nil || version != 3 {
		t.Errorf("its own decision is told as version %d, %v", version, err)
	}
	third, _ := task("u", 1)
	must(t, next.Create(ctx, third, map[uint32]SubtaskState{0: {Status: Init}}))
	must(t, next.Remove(ctx, "u"))
	if z.nodes[s.paths.task("u")] != nil {
		t.Error("a task it has just made is not seen to be removed")
	}

	// The former leader, on a server that has not heard of the new epoch: fenced, not stale.
	old := behind(z)
	first.zk = old
	if _, err := s.beginEpoch(ctx, z, node, "last"); err != nil {
		t.Fatal(err)
	}
	_, err = first.Update(ctx, "t", 0, 3, SubtaskState{Status: Failed})
	want(t, err, ErrFenced)
}
