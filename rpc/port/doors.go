package port

import (
	"container/list"
	"net"
	"sync"
)

// doors counts connections. Idle ones are welcome: brpc-java opens eight for each client and uses one (formats.md §2.3). Only when the
// house is full, the one that has been silent longest since it came makes room.
type doors struct {
	mu     sync.Mutex
	max    int
	open   map[*conn]struct{}
	silent *list.List // of *conn, oldest first: no byte has come from them
	closed bool
}

func newDoors(max int) *doors {
	return &doors{max: max, open: map[*conn]struct{}{}, silent: list.New()}
}

func (d *doors) enter(c *conn) bool {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return false
	}
	var out *conn
	if len(d.open) >= d.max {
		oldest := d.silent.Front()
		if oldest == nil {
			d.mu.Unlock()
			return false
		}
		out = d.silent.Remove(oldest).(*conn)
		out.waiting = nil
		delete(d.open, out)
	}
	d.open[c] = struct{}{}
	c.waiting = d.silent.PushBack(c)
	d.mu.Unlock()
	if out != nil {
		out.Conn.Close()
	}
	return true
}

// spoke is told of a connection's first byte.
func (d *doors) spoke(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.waiting != nil {
		d.silent.Remove(c.waiting)
		c.waiting = nil
	}
}

func (d *doors) leave(c *conn) {
	d.spoke(c)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, c)
}

func (d *doors) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

func (d *doors) closeAll() {
	d.mu.Lock()
	d.closed = true
	var all []*conn
	for c := range d.open {
		all = append(all, c)
	}
	d.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}

// conn is an accepted connection. Bytes that were read to find its protocol are read again.
type conn struct {
	net.Conn
	doors   *doors
	waiting *list.Element // place among the silent ones, guarded by doors.mu
	head    []byte
}

func (c *conn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *conn) Close() error {
	c.doors.leave(c)
	return c.Conn.Close()
}
