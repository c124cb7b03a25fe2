package memzk

import (
	"crypto/rand"
	"crypto/subtle"
	"sort"
	"time"
)

// session outlives its connections until it was silent for its time-out.
type session struct {
	id       int64
	password []byte
	timeout  time.Duration
	heard    time.Time
	client   *client // the connection it is on, nil between two
}

// attach gives a connection its session: a new one, or the one asked for. nil: that one has expired, or the password is wrong. The caller
// holds s.mu.
func (s *Server) attach(c *client, id int64, password []byte, timeout time.Duration) *session {
	x := s.sessions[id]
	switch {
	case id == 0:
		s.lastSession++
		x = &session{id: s.lastSession, password: make([]byte, 16)}
		_, _ = rand.Read(x.password) // never fails since Go 1.24
		s.sessions[x.id] = x
	case x == nil || subtle.ConstantTimeCompare(password, x.password) != 1:
		return nil
	}
	if x.client != nil {
		x.client.cut()
	}
	x.client, x.timeout, x.heard = c, timeout, time.Now()
	return x
}

// end closes a session: its ephemeral nodes go in one change. The caller holds s.mu.
func (s *Server) end(x *session, cut bool) {
	if s.sessions[x.id] != x {
		return
	}
	delete(s.sessions, x.id)
	var own []string
	for p, n := range s.tree.nodes {
		if n.owner == x.id {
			own = append(own, p)
		}
	}
	sort.Strings(own)
	s.tree.begin()
	for _, p := range own {
		s.tree.remove(p)
	}
	for _, ch := range s.tree.end(true) {
		s.watches.fire(ch)
	}
	if x.client != nil && cut {
		x.client.cut()
	}
}

// expire ends silent sessions until the server closes.
func (s *Server) expire() {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-s.closed:
			return
		case now := <-t.C:
			s.mu.Lock()
			for _, x := range s.sessions {
				if !s.down && now.Sub(x.heard) > x.timeout {
					s.end(x, true)
				}
			}
			s.mu.Unlock()
		}
	}
}
