package zkserver

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Proxy forwards connections to a server and breaks them on demand.
type Proxy struct {
	to string
	l  net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	refuse bool
	hole   chan struct{} // closed while bytes pass; made anew by Mute
}

// NewProxy forwards from a free port to an address.
func NewProxy(to string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{to: to, l: l, open: map[net.Conn]struct{}{}, hole: make(chan struct{})}
	close(p.hole)
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is host:port to dial instead of the server's.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	err := p.l.Close()
	p.Mute(false)
	p.Refuse(true)
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.forward(in) })
	}
}

func (p *Proxy) forward(in net.Conn) {
	defer in.Close()
	if !p.track(in) {
		return
	}
	defer p.drop(in)
	out, err := net.Dial("tcp", p.to)
	if err != nil || !p.track(out) {
		if out != nil {
			out.Close()
		}
		return
	}
	defer p.drop(out)
	p.wg.Go(func() {
		p.copy(out, in)
		out.Close()
	})
	p.copy(in, out)
}

// copy passes bytes on while the proxy is not mute; it ends with either connection.
func (p *Proxy) copy(to io.Writer, from io.Reader) {
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			p.mu.Lock()
			hole := p.hole
			p.mu.Unlock()
			<-hole
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse {
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return // it is gone either way
	}
}

// Cut breaks the connections there are; new ones pass.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close() // it is gone either way
	}
}

// Refuse breaks all connections and drops new ones at once, until Refuse(false).
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	p.refuse = on
	p.mu.Unlock()
	if on {
		p.Cut()
	}
}

// Mute holds all bytes back in both directions, on old and new connections, until Mute(false): a network that swallows packets.
func (p *Proxy) Mute(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.hole:
		if on {
			p.hole = make(chan struct{})
		}
	default:
		if !on {
			close(p.hole)
		}
	}
}
