package port

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"omsync/rpc/budget"
)

// guard watches a gRPC connection's HTTP/2 frames go by and reserves the bytes of messages as they come in, until the call that they
// belong to claims them. gRPC itself counts nothing before a message is whole, so that a hundred calls that each announce a large message
// could fill the memory.
//
// While the caps are reached it stops reading, which holds the peer back; see gate for those that wait for each other.
type guard struct {
	*conn
	s       *Server
	life    context.Context // ends at Close
	end     context.CancelFunc
	inbound *budget.Budget // messages that come in
	calls   *budget.Budget // everything else: small requests, answers

	mu       sync.Mutex
	in, out  scanner
	open     map[uint32]*inbound
	lastID   uint32
	partial  int64 // bytes of incomplete messages
	complete int64 // bytes of complete messages that no call has claimed yet
	taken    int64 // bytes reserved for both
	armed    bool  // a read deadline is set
	closed   bool
}

// allowance is what a connection may bring without a reservation: small calls come in however full the house is.
const allowance = 64 << 10

// inbound is the gRPC message that is coming in on one stream: 5 bytes of prefix, then as many as that says.
type inbound struct {
	prefix [prefixLen]byte
	have   int    // bytes of prefix
	left   uint32 // bytes of message to come
	held   int64  // bytes that have come
}

const prefixLen = 5

func newGuard(s *Server, c *conn) *guard {
	most := s.opts.Caps.ConnBytes + overhead
	g := &guard{conn: c, s: s, open: map[uint32]*inbound{},
		inbound: s.inbound.Child(most, s.opts.Caps.ConnKey), calls: s.process.Child(most, s.opts.Caps.ConnKey)}
	g.life, g.end = context.WithCancel(context.Background())
	g.in.skip = len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	return g
}

func (g *guard) RemoteAddr() net.Addr { return guardAddr{g.conn.RemoteAddr(), g} }

// Read reads on when there is room for what the last Read brought.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.conn.Read(p)
	if n == 0 {
		return n, err
	}
	g.mu.Lock()
	g.in.feed(p[:n], g.fromPeer)
	g.settle()
	want := g.partial + g.complete - allowance - g.taken
	partial := g.partial > 0
	g.mu.Unlock()
	if want > 0 {
		if e := g.take(want); e != nil {
			g.s.noise.refused("grpc", g.conn.RemoteAddr(), e)
			g.conn.Conn.Close()
			return 0, e
		}
	}
	g.pace(partial)
	return n, err
}

// take reserves n bytes, waiting no longer than the stall time.
func (g *guard) take(n int64) error {
	err := g.inbound.Reserve(n)
	if err != nil {
		g.mu.Lock()
		held := g.taken
		g.mu.Unlock()
		ctx, cancel := context.WithTimeout(g.life, g.s.opts.Caps.StallTimeout)
		err = g.s.gate.wait(ctx, g.inbound, held, n)
		cancel()
	}
	if err != nil {
		return fmt.Errorf("messages that come in on one connection: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken += n
	g.settle()
	if g.closed {
		return net.ErrClosed
	}
	return nil
}

// claim hands a complete message of n bytes over to the call that has read it: the lease holds what was reserved for it, which is less
// than n when it came under the allowance. Messages that are never read (of calls that ended first) stay counted until no call is open.
func (g *guard) claim(n int64) *budget.Lease {
	if g == nil {
		return nil
	}
	l := g.inbound.Lease()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.complete -= min(g.complete, n+prefixLen)
	free := min(n, g.taken-max(0, g.partial+g.complete-allowance))
	if free > 0 {
		g.taken -= free
		l.Adopt(free)
	}
	g.settle()
	return l
}

// settle gives back what is reserved beyond what is needed.
func (g *guard) settle() {
	if over := g.taken - max(0, g.partial+g.complete-allowance); over > 0 {
		g.inbound.Release(over)
		g.taken -= over
	}
}

// pace lets the peer fall silent only between messages.
func (g *guard) pace(partial bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case partial:
		g.conn.SetReadDeadline(time.Now().Add(2 * g.s.opts.Caps.StallTimeout))
		g.armed = true
	case g.armed:
		g.conn.SetReadDeadline(time.Time{})
		g.armed = false
	}
}

func (g *guard) Write(p []byte) (int, error) {
	n, err := g.conn.Write(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out.feed(p[:n], g.fromUs)
	g.settle()
	return n, err
}

func (g *guard) Close() error {
	g.end()
	g.mu.Lock()
	g.closed = true
	g.open = map[uint32]*inbound{}
	g.partial, g.complete = 0, 0
	g.settle()
	g.mu.Unlock()
	return g.conn.Close()
}

const (
	frameData    = 0
	frameHeaders = 1
	frameReset   = 3

	flagEndStream = 1
	flagPadded    = 8
)

// fromPeer follows the peer's frames: a stream opens with its first HEADERS and is over when the peer resets it.
func (g *guard) fromPeer(f *frame, data []byte, last bool) {
	switch f.kind {
	case frameHeaders:
		if f.stream > g.lastID && !g.closed {
			g.lastID = f.stream
			g.open[f.stream] = &inbound{}
		}
	case frameData:
		if m := g.open[f.stream]; m != nil {
			g.complete += m.feed(data, &g.partial)
		}
	case frameReset:
		if last {
			g.drop(f.stream)
		}
	}
}

// fromUs follows our own frames: after an answer's end, what still comes in on the stream is thrown away unread.
func (g *guard) fromUs(f *frame, _ []byte, last bool) {
	if last && (f.kind == frameReset || f.kind == frameHeaders && f.flags&flagEndStream != 0) {
		g.drop(f.stream)
	}
}

func (g *guard) drop(stream uint32) {
	if m := g.open[stream]; m != nil {
		g.partial -= m.held
		delete(g.open, stream)
	}
	if len(g.open) == 0 {
		g.complete = 0
	}
}

// feed takes the next bytes of the stream. It keeps partial, the bytes of incomplete messages, and returns the bytes of those that became
// complete.
func (m *inbound) feed(b []byte, partial *int64) (complete int64) {
	for len(b) > 0 {
		n := len(b)
		if m.have < prefixLen {
			n = copy(m.prefix[m.have:], b)
			m.have += n
			if m.have == prefixLen {
				m.left = binary.BigEndian.Uint32(m.prefix[1:])
			}
		} else {
			n = int(min(uint32(n), m.left))
			m.left -= uint32(n)
		}
		m.held += int64(n)
		*partial += int64(n)
		b = b[n:]
		if m.have == prefixLen && m.left == 0 {
			complete += m.held
			*partial -= m.held
			m.have, m.held = 0, 0
		}
	}
	return complete
}

// frame is the head of an HTTP/2 frame.
type frame struct {
	length uint32
	kind   byte
	flags  byte
	stream uint32
}

// scanner cuts a byte stream into HTTP/2 frames, however it comes in pieces. It keeps nothing but the frame's head.
type scanner struct {
	skip  int // bytes before the first frame
	head  [9]byte
	have  int
	frame frame
	done  uint32 // bytes of the payload that have passed
	pad   int    // padding at the end of a DATA frame; -1 = its length byte is to come
}

// feed calls each for every piece of a payload, without the padding of DATA frames; last marks a frame's end. Empty payloads get one call.
func (s *scanner) feed(b []byte, each func(f *frame, data []byte, last bool)) {
	if n := min(s.skip, len(b)); n > 0 {
		s.skip -= n
		b = b[n:]
	}
	for len(b) > 0 {
		if s.have < len(s.head) {
			n := copy(s.head[s.have:], b)
			s.have += n
			b = b[n:]
			if s.have < len(s.head) {
				return
			}
			s.begin()
			if s.frame.length == 0 {
				each(&s.frame, nil, true)
				s.have = 0
			}
			continue
		}
		n := min(int(s.frame.length-s.done), len(b))
		piece := b[:n]
		b = b[n:]
		from := int(s.done)
		s.done += uint32(n)
		last := s.done == s.frame.length
		each(&s.frame, s.unpadded(piece, from), last)
		if last {
			s.have = 0
		}
	}
}

func (s *scanner) begin() {
	h := s.head
	s.frame = frame{
		length: uint32(h[0])<<16 | uint32(h[1])<<8 | uint32(h[2]),
		kind:   h[3], flags: h[4],
		stream: binary.BigEndian.Uint32(h[5:]) & (1<<31 - 1),
	}
	s.done, s.pad = 0, 0
	if s.frame.kind == frameData && s.frame.flags&flagPadded != 0 {
		s.pad = -1
	}
}

// unpadded returns the part of piece, which begins at offset from of the payload, that is data.
func (s *scanner) unpadded(piece []byte, from int) []byte {
	if s.frame.kind != frameData || s.frame.flags&flagPadded == 0 {
		return piece
	}
	if s.pad < 0 && len(piece) > 0 {
		s.pad = int(piece[0])
		piece, from = piece[1:], from+1
	}
	end := int(s.frame.length) - s.pad
	return piece[:max(0, min(len(piece), end-from))]
}
