package baidustd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/baidustd/metapb"
	"omsync/rpc/budget"
)

// serverConn is one connection of a Server: one reader, a goroutine per call, answers written in the order they are ready.
type serverConn struct {
	s      *Server
	conn   *pacedConn
	reader *reader
	budget *budget.Budget
	slots  chan struct{}
	calls  sync.WaitGroup
	write  sync.Mutex
}

func newServerConn(s *Server, c net.Conn, head []byte, b *budget.Budget) *serverConn {
	paced := &pacedConn{Conn: c}
	return &serverConn{
		s: s, conn: paced, budget: b,
		reader: newReader(paced, head, b, s.opts.MaxBody, s.opts.ConnKey, s.opts.StallTimeout),
		slots:  make(chan struct{}, s.opts.MaxCalls),
	}
}

func (c *serverConn) serve() {
	ctx, cancel := context.WithCancel(peer.NewContext(c.s.ctx, &peer.Peer{Addr: c.conn.RemoteAddr(), LocalAddr: c.conn.LocalAddr()}))
	err := c.read(ctx)
	switch {
	case errors.Is(err, io.EOF): // a half-closed peer still reads its answers
	case c.conn.stopping(): // handlers may finish
	default:
		cancel()
		if !errors.Is(err, net.ErrClosed) {
			c.s.opts.Refused(c.conn.RemoteAddr(), err)
		}
	}
	c.calls.Wait()
	cancel()
	c.conn.Close()
}

// read starts a call for each frame and returns why there are no more.
func (c *serverConn) read(ctx context.Context) error {
	trusted := c.s.opts.Auth == nil
	for {
		f, lease, err := c.reader.next()
		var refused *refusedError
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		if !trusted {
			if err := c.s.opts.Auth(string(f.meta.GetAuthenticationData()), c.conn.RemoteAddr()); err != nil {
				lease.Release()
				return fmt.Errorf("%w: %w", errAuth, err)
			}
			trusted = true
		}
		if refused != nil {
			c.s.opts.Refused(c.conn.RemoteAddr(), refused.err)
			if err := c.answer(f.meta, nil, nil, refused.err); err != nil {
				return err
			}
			if err := c.reader.pass(refused.rest); err != nil {
				return err
			}
			continue
		}
		c.slots <- struct{}{}
		c.calls.Go(func() {
			defer func() { lease.Release(); <-c.slots }()
			c.call(ctx, f, lease)
		})
	}
}

func (c *serverConn) call(ctx context.Context, f frame, lease *budget.Lease) {
	at := &call{in: f.attachment}
	ctx = budget.With(context.WithValue(ctx, callKey{}, at), lease)
	out, err := c.s.invoke(ctx, f.meta, f.message)
	if err == nil {
		err = lease.Add(frameSize(out, at.out))
	}
	var e error
	if err != nil {
		e = c.answer(f.meta, nil, nil, err)
	} else {
		e = c.answer(f.meta, out, at.out, nil)
	}
	if e != nil {
		c.conn.Close() // half an answer may be out: nothing after it could be understood
	}
}

// answer writes the response frame of a request.
func (c *serverConn) answer(request *metapb.RpcMeta, msg proto.Message, attachment []byte, failed error) error {
	meta := &metapb.RpcMeta{
		CorrelationId: request.CorrelationId,
		CompressType:  proto.Int32(0),
		Response:      &metapb.RpcResponseMeta{ErrorCode: proto.Int32(0)},
	}
	if failed != nil {
		e := FromError(failed)
		text := validText(e.Text)
		meta.Response.ErrorCode, meta.Response.ErrorText = &e.Code, &text
	}
	bufs, err := encodeFrame(meta, msg, attachment)
	if err != nil {
		if failed != nil {
			return err
		}
		return c.answer(request, nil, nil, &Error{CodeInternal, err.Error()})
	}
	c.write.Lock()
	defer c.write.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(writeTime(c.s.opts.WriteTimeout, bufs)))
	_, err = bufs.WriteTo(c.conn.Conn)
	return err
}

// writeTime is base and a second for each MiB.
func writeTime(base time.Duration, bufs net.Buffers) time.Duration {
	var n int64
	for _, b := range bufs {
		n += int64(len(b))
	}
	return base + time.Duration(n>>20)*time.Second
}

// validText makes an error text fit into a proto2 string: valid UTF-8 of bounded length.
func validText(s string) string {
	const most = 4 << 10
	if len(s) > most {
		s = s[:most]
	}
	return toValid(s)
}
