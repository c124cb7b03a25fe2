package memzk

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// client is one connection. What is sent goes through a queue, so that a client that does not read never holds up the server.
type client struct {
	conn net.Conn
	gone chan struct{}
	once sync.Once
	who  []identity // authenticated
	mute bool

	mu     sync.Mutex
	queue  []packet
	ending bool // cut when the queue is empty
	wake   chan struct{}
}

// packet is a frame to send, after a delay.
type packet struct {
	frame []byte
	delay time.Duration
}

func newClient(conn net.Conn) *client {
	return &client{conn: conn, gone: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// cut closes the connection; what is still queued is lost.
func (c *client) cut() {
	c.once.Do(func() {
		close(c.gone)
		_ = c.conn.Close() // the peer sees it either way
	})
}

// send queues one packet; it and all behind it wait for delay first.
func (c *client) send(body []byte, delay time.Duration) {
	c.mu.Lock()
	c.queue = append(c.queue, packet{append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...), delay})
	c.mu.Unlock()
	c.prod()
}

// finish cuts the connection once everything queued was sent.
func (c *client) finish() {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.prod()
}

func (c *client) prod() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// notify queues a watch event.
func (c *client) notify(ch change) {
	const xid, connected = -1, 3
	if !c.mute {
		c.send(new(encoder).int32(xid).int64(-1).int32(0).int32(ch.event).int32(connected).string(ch.path).b, 0)
	}
}

// write sends what is queued until the connection is gone.
func (c *client) write() {
	for {
		select {
		case <-c.gone:
			return
		case <-c.wake:
		}
		c.mu.Lock()
		queue, ending := c.queue, c.ending
		c.queue = nil
		c.mu.Unlock()
		for _, p := range queue {
			if !c.sendNow(p) {
				c.cut()
				return
			}
		}
		if ending {
			c.cut()
			return
		}
	}
}

func (c *client) sendNow(p packet) bool {
	if p.delay > 0 {
		t := time.NewTimer(p.delay)
		defer t.Stop()
		select {
		case <-c.gone:
			return false
		case <-t.C:
		}
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return false
	}
	_, err := c.conn.Write(p.frame)
	return err == nil
}
