package baidustd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/rpc/baidustd/metapb"
	"omsync/rpc/budget"
)

const (
	firstStep = 64 << 10  // a frame's first buffer; what a bare length field can cost
	growth    = 4         // the next buffer is this many times as large
	piece     = 256 << 10 // bytes that must arrive within one stall timeout
)

// reader takes frames off one connection.
type reader struct {
	conn    *pacedConn
	br      *bufio.Reader
	budget  *budget.Budget // nil = unbounded
	maxBody int64          // message + attachment
	bodyKey string         // conf key behind maxBody
	stall   time.Duration  // a begun frame must go on within this
}

func newReader(c *pacedConn, head []byte, b *budget.Budget, maxBody int64, bodyKey string, stall time.Duration) *reader {
	var src io.Reader = c
	if len(head) > 0 {
		src = io.MultiReader(&once{head}, c)
	}
	return &reader{conn: c, br: bufio.NewReaderSize(src, 32<<10), budget: b, maxBody: maxBody, bodyKey: bodyKey, stall: stall}
}

// once hands out bytes that a protocol sniffer has already read.
type once struct{ b []byte }

func (o *once) Read(p []byte) (int, error) {
	if len(o.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.b)
	o.b = o.b[n:]
	return n, nil
}

// refusedError is a frame that was well formed and not taken. Its call can be answered at once; then rest bytes must be passed.
type refusedError struct {
	err  error
	rest int64
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// next waits for a frame as long as it takes, and reads it. The lease holds its bytes; the caller releases it.
//
// io.EOF: closed between two frames. *refusedError: the frame's meta is returned with it. Any other error ends the connection.
func (r *reader) next() (f frame, lease *budget.Lease, err error) {
	r.conn.expect(0)
	if _, err := r.br.Peek(1); err != nil {
		return frame{}, nil, err
	}
	var h [headerLen]byte
	r.conn.expect(r.stall)
	if err := r.full(h[:]); err != nil {
		return frame{}, nil, err
	}
	size, err := parseHeader(h[:])
	if err != nil {
		return frame{}, nil, err
	}
	head := make([]byte, size.meta)
	if err := r.full(head); err != nil {
		return frame{}, nil, err
	}
	f.meta = &metapb.RpcMeta{}
	if err := proto.Unmarshal(head, f.meta); err != nil {
		return frame{}, nil, &FrameError{"meta: " + err.Error()}
	}
	if size.rest > r.maxBody {
		over := &budget.OverError{Key: r.bodyKey, Cap: r.maxBody, Want: size.rest}
		return f, nil, &refusedError{over, size.rest}
	}
	lease = r.budget.Lease()
	rest, err := r.grow(size.rest, lease)
	if err == nil {
		err = f.split(rest)
	}
	if err != nil {
		lease.Release()
		return f, nil, err
	}
	return f, lease, nil
}

// grow reads n bytes into buffers that follow what has arrived: neither memory nor budget goes to bytes that are only announced.
func (r *reader) grow(n int64, lease *budget.Lease) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	var buf []byte
	for want := min(n, firstStep); ; want = min(n, want*growth) {
		have := int64(len(buf))
		if err := lease.Add(want - have); err != nil {
			return nil, &refusedError{err, n - have}
		}
		next := make([]byte, want)
		copy(next, buf)
		buf = next
		for part := buf[have:]; len(part) > 0; {
			k := min(len(part), piece)
			r.conn.expect(r.stall)
			if err := r.full(part[:k]); err != nil {
				return nil, err
			}
			part = part[k:]
		}
		if want == n {
			return buf, nil
		}
	}
}

// pass reads n bytes and forgets them.
func (r *reader) pass(n int64) error {
	for n > 0 {
		r.conn.expect(r.stall)
		k, err := r.br.Discard(int(min(n, piece)))
		n -= int64(k)
		if err != nil {
			return cut(err)
		}
	}
	return nil
}

func (r *reader) full(b []byte) error {
	_, err := io.ReadFull(r.br, b)
	return cut(err)
}

// cut names an end inside a frame for what it is.
func cut(err error) error {
	var ne net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &FrameError{"the connection ended inside it"}
	case errors.As(err, &ne) && ne.Timeout():
		return &FrameError{"it did not go on in time"}
	case err != nil:
		return fmt.Errorf("read frame: %w", err)
	}
	return nil
}

// pacedConn is a connection whose reads can be told to end for good while another goroutine moves their deadline.
type pacedConn struct {
	net.Conn
	mu    sync.Mutex
	ended bool
}

// expect lets reads wait for d, 0 = as long as it takes.
func (c *pacedConn) expect(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	c.Conn.SetReadDeadline(t)
}

// endReads makes the current and every later read fail.
func (c *pacedConn) endReads() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

func (c *pacedConn) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}
