package port

import (
	"net"
	"sync"
	"time"

	"omsync/rpc/baidustd"
)

// sniff waits for a connection's first four bytes and hands it to their server. Waiting for the first has no end, for the rest it has.
func (s *Server) sniff(c *conn, gl, hl *handover) {
	head := make([]byte, 4)
	for n := 0; n < len(head); {
		k, err := c.Conn.Read(head[n:])
		if k > 0 && n == 0 {
			s.doors.spoke(c)
			c.SetReadDeadline(time.Now().Add(s.opts.Caps.HeaderTimeout))
		}
		n += k
		if err != nil && n < len(head) { // a bare connect, such as brpc's health check or a port probe
			c.Close()
			return
		}
	}
	c.SetReadDeadline(time.Time{})
	switch string(head) {
	case baidustd.Magic:
		s.prpc.ServeConn(c.Conn, head, s.connBudget()) // the bare TCP connection, so that writev works
		s.doors.leave(c)
	case "PRI ": // of HTTP/2's preface
		c.head = head
		gl.give(newGuard(s, c))
	default:
		c.head = head
		hl.give(&httpConn{conn: c, budget: s.connBudget()})
	}
}

// handover is a listener whose connections were accepted elsewhere.
type handover struct {
	addr net.Addr
	next chan net.Conn
	done chan struct{}
	once sync.Once
}

func newHandover(addr net.Addr) *handover {
	return &handover{addr: addr, next: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handover) give(c net.Conn) {
	select {
	case h.next <- c:
	case <-h.done:
		c.Close()
	}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.next:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error   { h.once.Do(func() { close(h.done) }); return nil }
func (h *handover) Addr() net.Addr { return h.addr }
