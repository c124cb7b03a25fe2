package memzk

import (
	"fmt"
	"path"
	"strings"
)

type node struct {
	data                        []byte
	acl                         []ace
	children                    map[string]struct{}
	created                     int32 // children ever made: the next sequence number
	czxid, mzxid, pzxid         int64
	ctime, mtime                int64 // ms since 1970
	version, cversion, aversion int32
	owner                       int64 // session of an ephemeral node, 0 otherwise
}

// tree is the nodes and the counter of changes. It knows no sessions' life and no watches: a change is told in changes.
type tree struct {
	nodes map[string]*node
	zxid  int64
	undo  []func() // of the multi under way
	made  []change // by the operation under way
	now   func() int64
}

// change is one node event, told to watchers when the operation as a whole has succeeded.
type change struct {
	event int32
	path  string
}

func newTree(now func() int64) *tree {
	return &tree{nodes: map[string]*node{"/": {acl: openACL, children: map[string]struct{}{}}}, now: now}
}

func validPath(p string, sequential bool) bool {
	if p == "/" {
		return true
	}
	if sequential {
		p += "0"
	}
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.Contains(p, "\x00")
}

func (t *tree) create(p string, data []byte, acl []ace, flags int32, session int64, who []identity) (string, Code) {
	if flags < 0 || flags > flagContainer || !validPath(p, flags&flagSequential != 0) {
		return "", BadArguments
	}
	if p == "/" {
		return "", NodeExists
	}
	dir := path.Dir(p)
	parent := t.nodes[dir]
	switch {
	case parent == nil:
		return "", NoNode
	case !allowed(parent.acl, permCreate, who):
		return "", NoAuth
	}
	acl, code := resolveACL(acl, who)
	if code != 0 {
		return "", code
	}
	if parent.owner != 0 {
		return "", NoChildrenForEphemerals
	}
	if flags&flagSequential != 0 {
		p += fmt.Sprintf("%010d", parent.created)
	}
	if t.nodes[p] != nil {
		return "", NodeExists
	}
	n := &node{data: data, acl: acl, children: map[string]struct{}{}, czxid: t.zxid, mzxid: t.zxid, pzxid: t.zxid, ctime: t.now()}
	n.mtime = n.ctime
	if flags&flagEphemeral != 0 {
		n.owner = session
	}
	name := path.Base(p)
	before := *parent
	t.nodes[p] = n
	parent.children[name] = struct{}{}
	parent.created++
	parent.cversion++
	parent.pzxid = t.zxid
	t.undo = append(t.undo, func() {
		delete(t.nodes, p)
		delete(parent.children, name)
		*parent = before
	})
	t.made = append(t.made, change{eventCreated, p}, change{eventChildren, dir})
	return p, 0
}

func (t *tree) delete(p string, version int32, who []identity) Code {
	n, parent := t.nodes[p], t.nodes[path.Dir(p)]
	switch {
	case p == "/":
		return BadArguments
	case n == nil:
		return NoNode
	case !allowed(parent.acl, permDelete, who):
		return NoAuth
	case version >= 0 && version != n.version:
		return BadVersion
	case len(n.children) > 0:
		return NotEmpty
	}
	t.remove(p)
	return 0
}

// remove takes a node away that may go.
func (t *tree) remove(p string) {
	n, dir, name := t.nodes[p], path.Dir(p), path.Base(p)
	parent := t.nodes[dir]
	before := *parent
	delete(t.nodes, p)
	delete(parent.children, name)
	parent.cversion++
	parent.pzxid = t.zxid
	t.undo = append(t.undo, func() {
		*parent = before
		parent.children[name] = struct{}{}
		t.nodes[p] = n
	})
	t.made = append(t.made, change{eventDeleted, p}, change{eventChildren, dir})
}

func (t *tree) set(p string, data []byte, version int32, who []identity) Code {
	n := t.nodes[p]
	switch {
	case n == nil:
		return NoNode
	case !allowed(n.acl, permWrite, who):
		return NoAuth
	case version >= 0 && version != n.version:
		return BadVersion
	}
	before := *n
	n.data, n.mzxid, n.mtime = data, t.zxid, t.now()
	n.version++
	t.undo = append(t.undo, func() { *n = before })
	t.made = append(t.made, change{eventChanged, p})
	return 0
}

func (t *tree) setACL(p string, acl []ace, version int32, who []identity) Code {
	n := t.nodes[p]
	switch {
	case n == nil:
		return NoNode
	case !allowed(n.acl, permAdmin, who):
		return NoAuth
	}
	acl, code := resolveACL(acl, who)
	if code != 0 {
		return code
	}
	if version >= 0 && version != n.aversion {
		return BadVersion
	}
	n.acl = acl
	n.aversion++
	return 0
}

func (t *tree) check(p string, version int32, who []identity) Code {
	n := t.nodes[p]
	switch {
	case n == nil:
		return NoNode
	case !allowed(n.acl, permRead, who):
		return NoAuth
	case version >= 0 && version != n.version:
		return BadVersion
	}
	return 0
}

// begin starts a change with a number of its own; end returns what watchers are told, or takes everything back.
func (t *tree) begin() {
	t.zxid++
	t.undo, t.made = nil, nil
}

func (t *tree) end(ok bool) []change {
	if ok {
		return t.made
	}
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
	t.zxid--
	return nil
}
