package hdfsserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// caller is a SOCKS5 proxy that dials from a given address. A NameNode takes the address that a DataNode calls from for the DataNode's; on one
// machine that would be 127.0.0.1 for all of them.
type caller struct {
	from net.IP
	l    net.Listener
	wg   sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // nil once closed
}

func newCaller(from string) (*caller, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &caller{from: net.ParseIP(from), l: l, open: map[net.Conn]struct{}{}}
	c.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // closed
			}
			c.wg.Go(func() { c.serve(in) })
		}
	})
	return c, nil
}

func (c *caller) addr() string { return c.l.Addr().String() }

func (c *caller) close() error {
	err := c.l.Close()
	c.mu.Lock()
	for conn := range c.open {
		_ = conn.Close() // both ends are processes that are killed
	}
	c.open = nil
	c.mu.Unlock()
	c.wg.Wait()
	return err
}

func (c *caller) track(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		conn.Close()
		return false
	}
	c.open[conn] = struct{}{}
	return true
}

func (c *caller) drop(conn net.Conn) {
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
	conn.Close()
}

// serve forwards one connection until either side ends it.
func (c *caller) serve(in net.Conn) {
	if !c.track(in) {
		return
	}
	defer c.drop(in)
	to, err := request(in)
	if err != nil {
		return
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: c.from}}
	out, err := d.Dial("tcp", to)
	code := byte(0)
	if err != nil {
		code = 5 // refused
	}
	if _, werr := in.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil || werr != nil {
		if out != nil {
			out.Close()
		}
		return
	}
	if !c.track(out) {
		return
	}
	defer c.drop(out)
	c.wg.Go(func() {
		_, _ = io.Copy(out, in) // how it ends is the ends' affair
		out.Close()
	})
	_, _ = io.Copy(in, out)
}

// request reads the greeting and the address to connect to.
func request(conn net.Conn) (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return "", err
	}
	if _, err := io.CopyN(io.Discard, conn, int64(head[1])); err != nil { // methods
		return "", err
	}
	if _, err := conn.Write([]byte{5, 0}); err != nil { // no authentication
		return "", err
	}
	var ask [4]byte
	if _, err := io.ReadFull(conn, ask[:]); err != nil {
		return "", err
	}
	var host []byte
	switch ask[3] {
	case 1:
		host = make([]byte, 4)
	case 3:
		var n [1]byte
		if _, err := io.ReadFull(conn, n[:]); err != nil {
			return "", err
		}
		host = make([]byte, n[0])
	default:
		return "", fmt.Errorf("SOCKS address type %d", ask[3])
	}
	var port [2]byte
	_, err := io.ReadFull(conn, host)
	if _, perr := io.ReadFull(conn, port[:]); err != nil || perr != nil {
		return "", errors.Join(err, perr)
	}
	name := string(host)
	if ask[3] == 1 {
		name = net.IP(host).String()
	}
	return net.JoinHostPort(name, strconv.Itoa(int(binary.BigEndian.Uint16(port[:])))), nil
}
