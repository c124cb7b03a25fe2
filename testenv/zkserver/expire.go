package zkserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// ExpireSession ends a session from outside: a second client takes it over by its id and password and closes it. That is how a session expires
// for its owner while its owner is well. The owner may take it back meanwhile; it is tried until the server knows no such session.
func (s *Server) ExpireSession(ctx context.Context, id int64, password []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		known, err := s.takeOver(ctx, id, password)
		if err == nil && !known {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("expire session %#x: %w", id, errors.Join(err, context.Cause(ctx)))
		}
	}
}

// takeOver connects to a session and closes it; known tells whether there was one.
func (s *Server) takeOver(ctx context.Context, id int64, password []byte) (known bool, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return true, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return true, err
	}
	const anyTimeout, closeSession = 10_000, -11
	hello := binary.BigEndian.AppendUint32(nil, 0)  // protocol version
	hello = binary.BigEndian.AppendUint64(hello, 0) // last change seen
	hello = binary.BigEndian.AppendUint32(hello, anyTimeout)
	hello = binary.BigEndian.AppendUint64(hello, uint64(id))
	hello = binary.BigEndian.AppendUint32(hello, uint32(len(password)))
	hello = append(append(hello, password...), 0) // not read-only
	answer, err := exchange(conn, hello)
	if err != nil {
		return true, err
	}
	if len(answer) < 16 || binary.BigEndian.Uint64(answer[8:]) != uint64(id) {
		return false, nil
	}
	minus := int32(closeSession)
	_, err = exchange(conn, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 1), uint32(minus)))
	return true, err
}

func exchange(conn net.Conn, body []byte) ([]byte, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		return nil, err
	}
	var h [4]byte
	if _, err := io.ReadFull(conn, h[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n > 1<<20 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(conn, b)
	return b, err
}
