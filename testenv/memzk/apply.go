package memzk

import "path"

// apply does one request and writes the answer's body. The caller holds s.mu.
func (s *Server) apply(c *client, x *session, r *request, out *encoder) Code {
	if r.bad {
		return BadArguments
	}
	s.served[r.op]++
	switch r.op {
	case OpPing, OpClose:
		return 0
	case OpAuth:
		return c.authenticate(r.scheme, string(r.data))
	case OpSetWatches:
		return s.restore(c, r.rest)
	case OpSync:
		out.string(r.path)
		return 0
	case OpMulti:
		s.multi(c, x, r.ops, out)
		return 0
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2, OpGetACL:
		return s.read(c, r, out)
	}
	s.tree.begin()
	code := s.change(c, x, r, out)
	for _, ch := range s.tree.end(code == 0) {
		s.watches.fire(ch)
	}
	return code
}

// change does one write inside a change of the tree.
func (s *Server) change(c *client, x *session, r *request, out *encoder) (code Code) {
	t := s.tree
	switch r.op {
	case OpCreate, OpCreate2, OpCreateContainer:
		var p string
		if p, code = t.create(r.path, r.data, r.acl, r.flags, x.id, c.who); code == 0 {
			out.string(p)
			if r.op != OpCreate {
				out.stat(t.nodes[p])
			}
		}
	case OpDelete:
		code = t.delete(r.path, r.version, c.who)
	case OpSetData:
		if code = t.set(r.path, r.data, r.version, c.who); code == 0 {
			out.stat(t.nodes[r.path])
		}
	case OpSetACL:
		if code = t.setACL(r.path, r.acl, r.version, c.who); code == 0 {
			out.stat(t.nodes[r.path])
		}
	case OpCheck:
		code = t.check(r.path, r.version, c.who)
	default:
		code = Unimplemented
	}
	return code
}

// read answers a read; a watch is set only where the read succeeds, for exists also where the node is missing.
func (s *Server) read(c *client, r *request, out *encoder) Code {
	n := s.tree.nodes[r.path]
	if n == nil {
		if r.op == OpExists && r.watch {
			add(s.watches.exist, r.path, c)
		}
		return NoNode
	}
	if r.op != OpExists && !allowed(n.acl, permRead, c.who) && (r.op != OpGetACL || !allowed(n.acl, permAdmin, c.who)) {
		return NoAuth
	}
	children := r.op == OpGetChildren || r.op == OpGetChildren2
	switch {
	case r.watch && children:
		add(s.watches.child, r.path, c)
	case r.watch:
		add(s.watches.data, r.path, c)
	}
	switch {
	case r.op == OpGetData:
		out.bytes(n.data)
	case r.op == OpGetACL:
		out.acl(n.acl)
	case children:
		out.int32(int32(len(n.children)))
		for name := range n.children {
			out.string(path.Base(name))
		}
	}
	if r.op != OpGetChildren {
		out.stat(n)
	}
	return 0
}

// multi does all operations in one change or none. The answer lists a result per operation; the first that failed has its code, those behind it
// RuntimeInconsistency.
func (s *Server) multi(c *client, x *session, ops []*request, out *encoder) {
	const kindError = -1
	header := func(e *encoder, kind int32, done bool, code Code) *encoder {
		return e.int32(kind).bool(done).int32(int32(code))
	}
	ok, failed, code := &encoder{}, -1, Code(0)
	s.tree.begin()
	for i, r := range ops {
		result := &encoder{}
		if code = s.change(c, x, r, result); code != 0 {
			failed = i
			break
		}
		header(ok, int32(r.op), false, 0)
		ok.b = append(ok.b, result.b...)
	}
	for _, ch := range s.tree.end(failed < 0) {
		s.watches.fire(ch)
	}
	if failed < 0 {
		out.b = append(out.b, ok.b...)
	} else {
		for i := range ops {
			e := Code(0)
			if i == failed {
				e = code
			} else if i > failed {
				e = RuntimeInconsistency
			}
			header(out, kindError, false, e).int32(int32(e))
		}
	}
	header(out, -1, true, -1)
}

// authenticate adds an identity to a connection. As with a real server any digest is taken: what it opens, ACLs say.
func (c *client) authenticate(scheme, credential string) Code {
	if scheme != "digest" {
		return AuthFailed
	}
	c.who = append(c.who, identity{scheme, digest(credential)})
	return 0
}
