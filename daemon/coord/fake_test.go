package coord

import (
	"context"
	"path"
	"strings"

	"omsync/openmldb/zkconn"
)

// fakeZK is ZooKeeper as a Store meets it, without a network: nodes with versions, and a way to lose what goes in or comes out.
type fakeZK struct {
	nodes map[string]*fakeNode
	late  [][]zkconn.Op // requests still under way on connections that broke
	// fate is asked before every multi.
	fate func() fate
	// before, when set, is called once before the next multi is looked at: what happens meanwhile.
	before func()
	// history is what was done to each node, in order.
	history map[string][]string
}

type fakeNode struct {
	value   []byte
	version int32
}

// fate is what becomes of a multi.
type fate int

const (
	arrives     fate = iota
	answerLost       // applied, no answer
	requestLost      // not applied, no answer
	comesLate        // no answer, applied some time later
)

func newFakeZK() *fakeZK {
	return &fakeZK{nodes: map[string]*fakeNode{"/": {}}, fate: func() fate { return arrives }, history: map[string][]string{}}
}

var errFakeLost = &zkconn.Error{Op: "write", Failed: -1, Err: zkconn.ErrUnanswered}

func (z *fakeZK) Get(_ context.Context, p string) ([]byte, *zkconn.Stat, error) {
	n := z.nodes[p]
	if n == nil {
		return nil, nil, zkconn.ErrNoNode
	}
	return n.value, &zkconn.Stat{Version: n.version}, nil
}

func (z *fakeZK) Children(_ context.Context, p string) ([]string, *zkconn.Stat, error) {
	if z.nodes[p] == nil {
		return nil, nil, zkconn.ErrNoNode
	}
	var out []string
	for at := range z.nodes {
		if at != "/" && path.Dir(at) == p {
			out = append(out, path.Base(at))
		}
	}
	return out, &zkconn.Stat{}, nil
}

func (z *fakeZK) Sync(context.Context, string) error { return nil }

func (z *fakeZK) MkdirAll(_ context.Context, p string) error {
	for at := p; at != "/"; at = path.Dir(at) {
		if z.nodes[at] == nil {
			z.nodes[at] = &fakeNode{}
		}
	}
	return nil
}

func (z *fakeZK) Multi(ctx context.Context, ops ...zkconn.Op) ([]zkconn.Result, error) {
	if ctx.Err() != nil {
		return nil, &zkconn.Error{Failed: -1, Err: zkconn.ErrNotConnected}
	}
	if f := z.before; f != nil {
		z.before = nil
		f()
	}
	switch z.fate() {
	case answerLost:
		_, _ = z.apply(ops)
		return nil, errFakeLost
	case requestLost:
		return nil, errFakeLost
	case comesLate:
		z.late = append(z.late, ops)
		return nil, errFakeLost
	}
	return z.apply(ops)
}

// arrive applies one late request.
func (z *fakeZK) arrive(i int) {
	ops := z.late[i]
	z.late = append(z.late[:i:i], z.late[i+1:]...)
	_, _ = z.apply(ops)
}

// apply does all operations or none, as a server does.
func (z *fakeZK) apply(ops []zkconn.Op) ([]zkconn.Result, error) {
	before := map[string]*fakeNode{}
	for p, n := range z.nodes {
		c := *n
		before[p] = &c
	}
	results := make([]zkconn.Result, len(ops))
	for i, o := range ops {
		if err := z.one(o, &results[i]); err != nil {
			z.nodes = before
			return nil, &zkconn.Error{Op: "write", Path: o.Path, Failed: i, Err: err}
		}
	}
	for _, o := range ops {
		if o.Kind != zkconn.KindCheck {
			z.history[o.Path] = append(z.history[o.Path], string(o.Value))
		}
	}
	return results, nil
}

func (z *fakeZK) one(o zkconn.Op, r *zkconn.Result) error {
	n := z.nodes[o.Path]
	if o.Kind == zkconn.KindCreate {
		switch {
		case n != nil:
			return zkconn.ErrNodeExists
		case z.nodes[path.Dir(o.Path)] == nil:
			return zkconn.ErrNoNode
		}
		z.nodes[o.Path] = &fakeNode{value: o.Value}
		r.Path = o.Path
		return nil
	}
	switch {
	case n == nil:
		return zkconn.ErrNoNode
	case o.Version >= 0 && o.Version != n.version:
		return zkconn.ErrBadVersion
	}
	switch o.Kind {
	case zkconn.KindSet:
		n.value = o.Value
		n.version++
		r.Stat = &zkconn.Stat{Version: n.version}
	case zkconn.KindDelete:
		for at := range z.nodes {
			if strings.HasPrefix(at, o.Path+"/") {
				return zkconn.ErrNotEmpty
			}
		}
		delete(z.nodes, o.Path)
	}
	return nil
}
