package memzk

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Options of a Server.
type Options struct {
	Addr string // default 127.0.0.1:0, a free port
	// Bounds of the session time-out; defaults 100 ms and 1 min. (A real server: 2 and 20 ticks of usually 2 s.)
	MinTimeout, MaxTimeout time.Duration
	// Fault is asked for every request but pings, under the server's lock: it must not call the server.
	Fault func(Request) Fault
}

// Server is one ZooKeeper server. Its methods may be called from anywhere but Options.Fault.
type Server struct {
	o      Options
	closed chan struct{}
	wg     sync.WaitGroup
	addr   string

	mu          sync.Mutex
	listener    net.Listener
	clients     map[*client]struct{}
	sessions    map[int64]*session
	lastSession int64
	tree        *tree
	watches     *watches
	down        bool // sessions do not age while the server is down
	mute        bool
	fault       func(Request) Fault
	served      map[Op]int
}

// Start listens and serves until Close.
func Start(o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.MinTimeout <= 0 {
		o.MinTimeout = 100 * time.Millisecond
	}
	if o.MaxTimeout <= 0 {
		o.MaxTimeout = time.Minute
	}
	s := &Server{o: o, closed: make(chan struct{}), clients: map[*client]struct{}{}, fault: o.Fault, served: map[Op]int{}}
	s.empty()
	if err := s.listen(o.Addr); err != nil {
		return nil, err
	}
	s.addr = s.listener.Addr().String()
	s.wg.Go(s.expire)
	return s, nil
}

// empty is the state of a server with a new data directory. Session ids start from the clock, as a real server's do: an old id is not met again.
func (s *Server) empty() {
	s.tree, s.watches, s.sessions = newTree(func() int64 { return time.Now().UnixMilli() }), newWatches(), map[int64]*session{}
	s.lastSession = time.Now().UnixMilli() << 16
}

func (s *Server) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("memzk: listen: %w", err)
	}
	s.listener = l
	s.wg.Go(func() { s.accept(l) })
	return nil
}

func (s *Server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed by Down or Close
		}
		c := newClient(conn)
		s.mu.Lock()
		if s.down || s.listener != l {
			s.mu.Unlock()
			c.cut()
			continue
		}
		s.clients[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(c) })
	}
}

// Addr is host:port.
func (s *Server) Addr() string { return s.addr }

// Close ends the server and waits for everything it started.
func (s *Server) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	s.stop()
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// stop closes listener and connections. The caller holds s.mu.
func (s *Server) stop() {
	s.down = true
	if s.listener != nil {
		_ = s.listener.Close() // ends accept; there is nothing to lose
		s.listener = nil
	}
	for c := range s.clients {
		c.cut()
	}
}

// Down is a stopped server: nobody listens. Nodes and sessions stay as they are.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

// Up listens again at the same address. Every session gets its whole time-out anew, as after a restart.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.down {
		return nil
	}
	if err := s.listen(s.addr); err != nil {
		return err
	}
	s.down = false
	for _, x := range s.sessions {
		x.heard = time.Now()
	}
	return nil
}

// Wipe is a restart with an empty data directory: no nodes, no sessions, and connections are cut.
func (s *Server) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty()
	for c := range s.clients {
		c.cut()
	}
}

// Mute makes the server read and never answer, not even a connect; sessions age. Off again, connections that were muted stay silent.
func (s *Server) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = on
}

// Cut breaks all connections; sessions live on.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.cut()
	}
}

// SetFault replaces Options.Fault; nil: no faults.
func (s *Server) SetFault(f func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// ExpireSession ends a session as if it had been silent too long. An unknown one is no error.
func (s *Server) ExpireSession(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.sessions[id]; x != nil {
		s.end(x, true)
	}
}

// Sessions lists the living sessions' ids.
func (s *Server) Sessions() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []int64
	for id := range s.sessions {
		out = append(out, id)
	}
	return out
}

// Served counts the requests of a kind that were applied.
func (s *Server) Served(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served[op]
}
