package memzk

import (
	"time"
)

// serve speaks with one client until the connection is gone.
func (s *Server) serve(c *client) {
	defer func() {
		s.mu.Lock()
		delete(s.clients, c)
		s.watches.forget(c)
		s.mu.Unlock()
	}()
	s.wg.Go(c.write)
	defer c.finish()
	x := s.connect(c)
	if x == nil {
		return
	}
	defer func() {
		s.mu.Lock()
		if x.client == c {
			x.client = nil
		}
		s.mu.Unlock()
	}()
	for {
		b, err := readFrame(c.conn)
		if err != nil || !s.answer(c, x, b) {
			return
		}
	}
}

// connect does the first exchange. nil: there is no session, the connection ends.
func (s *Server) connect(c *client) *session {
	b, err := readFrame(c.conn)
	if err != nil {
		return nil
	}
	d := &decoder{b: b}
	d.int32() // protocol version
	seen, timeout, id, password := d.int64(), time.Duration(d.int32())*time.Millisecond, d.int64(), d.bytes()
	if d.bad {
		return nil
	}
	old := len(d.b) == 0 // a client before 3.4 sends no read-only flag and gets none
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute {
		c.mute = true
		return &session{id: -1}
	}
	// A real server refuses, without a word, a client that has seen a later state than its own.
	if s.down || seen > s.tree.zxid {
		return nil
	}
	timeout = min(max(timeout, s.o.MinTimeout), s.o.MaxTimeout)
	x := s.attach(c, id, password, timeout)
	out := new(encoder).int32(0)
	if x == nil {
		out.int32(0).int64(0).bytes(make([]byte, 16))
	} else {
		out.int32(int32(timeout / time.Millisecond)).int64(x.id).bytes(x.password)
	}
	if !old {
		out.bool(false)
	}
	c.send(out.b, 0)
	return x
}

// answer handles one request; false ends the connection.
func (s *Server) answer(c *client, x *session, b []byte) bool {
	d := &decoder{b: b}
	xid, op := d.int32(), Op(d.int32())
	if d.bad {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.mute || s.mute {
		c.mute = true
		return true
	}
	if s.sessions[x.id] != x || x.client != c {
		return false
	}
	x.heard = time.Now()
	r := parse(op, d)
	f := s.faultFor(x, r)
	switch {
	case f.Drop:
		return false
	case f.Late > 0:
		s.wg.Go(func() { s.late(c, x, r, f.Late) })
		return false
	case f.Mute:
		return true
	}
	code, body := f.Code, &encoder{}
	if code == 0 {
		code = s.apply(c, x, r, body)
	}
	if f.Lose {
		return false
	}
	zxid := s.tree.zxid
	if op == OpAuth {
		zxid = 0 // as a real server answers: a client that has to set watches again after it must not count as having seen all
	}
	out := new(encoder).int32(xid).int64(zxid).int32(int32(code))
	if code == 0 {
		out.b = append(out.b, body.b...)
	}
	c.send(out.b, f.Delay)
	if op == OpClose {
		s.end(x, false)
		return false
	}
	return code != AuthFailed
}

func (s *Server) faultFor(x *session, r *request) Fault {
	if s.fault == nil || r.op == OpPing {
		return Fault{}
	}
	path := r.path
	if r.op == OpMulti && len(r.ops) > 0 {
		path = r.ops[0].path
	}
	return s.fault(Request{Session: x.id, Op: r.op, Path: path})
}

// late applies a request whose connection broke long ago.
func (s *Server) late(c *client, x *session, r *request, after time.Duration) {
	t := time.NewTimer(after)
	defer t.Stop()
	select {
	case <-s.closed:
		return
	case <-t.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[x.id] == x && r.writes() {
		s.apply(c, x, r, &encoder{})
	}
}
