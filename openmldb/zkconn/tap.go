package zkconn

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"
)

// maxAnswer bounds one answer; the library would allocate whatever length it reads.
const maxAnswer = 64 << 20

// tap is a connection to a server that keeps book of requests and answers. A server answers the requests of one session in order; the library
// writes each packet in one Write.
type tap struct {
	net.Conn
	heard func(sent time.Time)                                        // an answer to a request sent then
	hello func(session int64, timeout time.Duration, password []byte) // the answer to the connect; session 0: expired

	closed func() // by the library

	// After a reconnect the library reads the number of its newest answer to set its watches again, and does not guard it against the answers that
	// come in. So none is let through before the request that sets watches went out.
	hold     chan struct{} // closed by that request; nil: nothing is held back
	release  sync.Once
	free     int           // answers let through all the same: those to credentials, which the library waits for
	broken   chan struct{} // closed with the connection
	breaking sync.Once

	mu         sync.Mutex
	unanswered []time.Time // sending times of the requests without an answer, oldest first

	// Of the stream read so far; only Read touches them.
	greeted bool
	head    []byte // length and the first bytes of the packet under way
	want    int    // how long head gets; 0 while the length is not known
	rest    int    // bytes of the packet behind head
}

// Write sends one packet.
func (t *tap) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.unanswered = append(t.unanswered, time.Now())
	t.mu.Unlock()
	const setWatches = 101 // the operation, behind length and xid
	if t.hold != nil && len(b) >= 12 && binary.BigEndian.Uint32(b[8:]) == setWatches {
		t.release.Do(func() { close(t.hold) })
	}
	return t.Conn.Write(b)
}

// waiting is the sending time of the oldest request without an answer, zero when there is none.
func (t *tap) waiting() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.unanswered) == 0 {
		return time.Time{}
	}
	return t.unanswered[0]
}

func (t *tap) Close() error {
	t.closed()
	return t.cut()
}

// cut breaks the connection; the library notices.
func (t *tap) cut() error {
	t.breaking.Do(func() { close(t.broken) })
	return t.Conn.Close()
}

func (t *tap) Read(b []byte) (int, error) {
	if t.hold != nil && t.greeted && len(t.head) == 0 { // between two packets
		if t.free--; t.free < 0 {
			select {
			case <-t.hold:
			case <-t.broken:
				return 0, net.ErrClosed
			}
		}
	}
	n, err := t.Conn.Read(b)
	if e := t.look(b[:n]); e != nil {
		return 0, e
	}
	return n, err
}

// look follows the packets in what was read. Of each the length and xid are kept; of the first one version, time-out, session and
// password.
func (t *tap) look(b []byte) error {
	for len(b) > 0 {
		if t.want > 0 && len(t.head) == t.want {
			skip := min(t.rest, len(b))
			t.rest, b = t.rest-skip, b[skip:]
		} else {
			t.head, b = append(t.head, b[0]), b[1:]
			if len(t.head) == 4 {
				n := int(binary.BigEndian.Uint32(t.head))
				if n > maxAnswer || n < 4 {
					return fmt.Errorf("ZooKeeper answers with a packet of %d bytes: is another service at %s?", n, t.RemoteAddr())
				}
				kept := 4
				if !t.greeted {
					kept = 36
				}
				kept = min(kept, n)
				t.want, t.rest = 4+kept, n-kept
			}
			if len(t.head) == t.want {
				t.packet()
			}
		}
		if t.want > 0 && len(t.head) == t.want && t.rest == 0 {
			t.head, t.want = t.head[:0], 0
		}
	}
	return nil
}

// packet takes note of a packet whose head is complete.
func (t *tap) packet() {
	const event = -1 // xid of a watch event, which answers nothing
	if t.greeted && int32(binary.BigEndian.Uint32(t.head[4:])) == event {
		return
	}
	t.mu.Lock()
	var sent time.Time
	if len(t.unanswered) > 0 {
		sent = t.unanswered[0]
		t.unanswered = t.unanswered[1:]
	}
	t.mu.Unlock()
	if !t.greeted {
		t.greeted = true
		var session int64
		var timeout time.Duration
		var password []byte
		if len(t.head) >= 24 {
			timeout = time.Duration(binary.BigEndian.Uint32(t.head[8:])) * time.Millisecond
			session = int64(binary.BigEndian.Uint64(t.head[12:]))
			password = append(password, t.head[24:]...)
		}
		t.hello(session, timeout, password)
		if session == 0 {
			return
		}
	}
	if !sent.IsZero() {
		t.heard(sent)
	}
}
