package memzk

// watches holds who waits for which event at which path, once each.
type watches struct {
	data, exist, child map[string]map[*client]struct{}
}

func newWatches() *watches {
	return &watches{data: map[string]map[*client]struct{}{}, exist: map[string]map[*client]struct{}{}, child: map[string]map[*client]struct{}{}}
}

func add(m map[string]map[*client]struct{}, p string, c *client) {
	if m[p] == nil {
		m[p] = map[*client]struct{}{}
	}
	m[p][c] = struct{}{}
}

// fire tells a change to those who wait for it and forgets them.
func (w *watches) fire(ch change) {
	var from []map[string]map[*client]struct{}
	switch ch.event {
	case eventCreated:
		from = append(from, w.exist)
	case eventDeleted:
		from = append(from, w.data, w.exist, w.child)
	case eventChanged:
		from = append(from, w.data, w.exist)
	case eventChildren:
		from = append(from, w.child)
	}
	told := map[*client]struct{}{}
	for _, m := range from {
		for c := range m[ch.path] {
			told[c] = struct{}{}
		}
		delete(m, ch.path)
	}
	for c := range told {
		c.notify(ch)
	}
}

// forget drops the watches of a connection that is gone.
func (w *watches) forget(c *client) {
	for _, m := range []map[string]map[*client]struct{}{w.data, w.exist, w.child} {
		for p, cs := range m {
			delete(cs, c)
			if len(cs) == 0 {
				delete(m, p)
			}
		}
	}
}

// restore sets watches anew after a reconnect; what changed since zxid is told at once.
func (s *Server) restore(c *client, d *decoder) Code {
	since := d.int64()
	data, exist, child := d.strings(), d.strings(), d.strings()
	if d.bad {
		return BadArguments
	}
	for _, p := range data {
		switch n := s.tree.nodes[p]; {
		case n == nil:
			c.notify(change{eventDeleted, p})
		case n.mzxid > since:
			c.notify(change{eventChanged, p})
		default:
			add(s.watches.data, p, c)
		}
	}
	for _, p := range exist {
		if s.tree.nodes[p] != nil {
			c.notify(change{eventCreated, p})
		} else {
			add(s.watches.exist, p, c)
		}
	}
	for _, p := range child {
		switch n := s.tree.nodes[p]; {
		case n == nil:
			c.notify(change{eventDeleted, p})
		case n.pzxid > since:
			c.notify(change{eventChildren, p})
		default:
			add(s.watches.child, p, c)
		}
	}
	return 0
}
