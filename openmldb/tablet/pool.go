package tablet

import (
	"errors"
	"sync"

	"google.golang.org/grpc"
)

// Conn is a connection that Pool can close.
type Conn interface {
	grpc.ClientConnInterface
	Close() error
}

// Pool keeps one Client per address. The zero value is not usable.
type Pool struct {
	dial func(addr string) Conn

	mu     sync.Mutex
	conns  map[string]Conn
	closed bool
}

// ErrClosed is what calls on a closed Pool fail with.
var ErrClosed = errors.New("the tablet connections are closed")

// NewPool returns a Pool that connects with dial, e.g. baidustd.NewClient; dial must not block.
func NewPool(dial func(addr string) Conn) *Pool {
	return &Pool{dial: dial, conns: map[string]Conn{}}
}

// At returns the Client of addr, ip:port.
func (p *Pool) At(addr string) (*Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	c := p.conns[addr]
	if c == nil {
		c = p.dial(addr)
		p.conns[addr] = c
	}
	return New(c), nil
}

// Keep closes the connections whose address keep refuses: tablets that left the cluster.
func (p *Pool) Keep(keep func(addr string) bool) error {
	p.mu.Lock()
	var gone []Conn
	for addr, c := range p.conns {
		if !keep(addr) {
			gone = append(gone, c)
			delete(p.conns, addr)
		}
	}
	p.mu.Unlock()
	return closeAll(gone)
}

// Close closes every connection.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	var all []Conn
	for addr, c := range p.conns {
		all = append(all, c)
		delete(p.conns, addr)
	}
	p.mu.Unlock()
	return closeAll(all)
}

func closeAll(conns []Conn) error {
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
