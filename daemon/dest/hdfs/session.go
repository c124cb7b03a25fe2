package hdfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	native "github.com/colinmarc/hdfs/v2"
	krb "github.com/jcmturner/gokrb5/v8/client"
)

const (
	maxIdle  = 4                // sessions kept; each renews its lease every second
	maxUnuse = time.Minute      // an idle session ends after
	maxAge   = 20 * time.Minute // encryption keys live for hours; the client would keep one for ever
	dialTime = 5 * time.Second
)

// session is a native client with its lines, lent to one caller at a time: what fails on a line is then known to be the caller's.
type session struct {
	service *service
	client  *native.Client
	krb     *krb.Client
	born    time.Time
	reused  bool
	life    context.Context
	end     context.CancelCauseFunc
	idle    *time.Timer

	mu     sync.Mutex
	lines  map[*line]struct{}
	broken error // of a NameNode's line, or of the caller's end; the session is not used again
	block  error // of a DataNode's line
}

// newSession connects to a NameNode that answers.
func (s *service) newSession(ctx context.Context) (*session, error) {
	x := &session{service: s, born: time.Now(), lines: map[*line]struct{}{}}
	x.life, x.end = context.WithCancelCause(context.Background())
	stop := context.AfterFunc(ctx, func() { x.abort(context.Cause(ctx)) })
	defer stop()
	o := s.options
	o.Addresses, o.NamenodeDialFunc, o.DatanodeDialFunc = s.health.order(s.rpc), x.dialNameNode, x.dialDataNode
	if s.login != nil {
		var err error
		if x.krb, err = s.login.client(); err != nil {
			return nil, err
		}
		o.KerberosClient = x.krb
	}
	c, err := native.NewClient(o)
	if err != nil {
		if b := x.fault(); b != nil {
			err = b // the native client has only its text
		}
		if s.login != nil {
			s.login.again(x.krb)
		}
		x.abort(err)
		return nil, err
	}
	x.client = c
	return x, nil
}

func (x *session) dialNameNode(_ context.Context, network, address string) (net.Conn, error) {
	conn, err := x.dial(network, address)
	if err != nil {
		err = fmt.Errorf("NameNode %s: %w", address, err)
		x.service.health.failed(address)
		return nil, err
	}
	return x.track(&line{Conn: conn, peer: "NameNode " + address, silence: x.service.timeout, failed: func(err error) {
		if x.life.Err() == nil { // else it is ended by us
			x.service.health.failed(address)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.broken == nil {
			x.broken = err
		}
	}}), nil
}

func (x *session) dialDataNode(_ context.Context, network, address string) (net.Conn, error) {
	conn, err := x.dial(network, address)
	if err != nil {
		err = fmt.Errorf("DataNode %s: %w", address, err)
		x.fellShort(err)
		return nil, err
	}
	return x.track(&line{Conn: conn, peer: "DataNode " + address, silence: x.service.timeout, mute: true, failed: x.fellShort}), nil
}

func (x *session) dial(network, address string) (net.Conn, error) {
	if x.life.Err() != nil {
		return nil, context.Cause(x.life)
	}
	d := net.Dialer{Timeout: min(dialTime, x.service.timeout)}
	return d.DialContext(x.life, network, address)
}

func (x *session) track(l *line) *line {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lines[l] = struct{}{}
	return l
}

func (x *session) fellShort(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.block == nil {
		x.block = err
	}
}

// fault is why the session can not be used any more.
func (x *session) fault() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.broken
}

// blockFault is what a DataNode's line failed of.
func (x *session) blockFault() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.block
}

// abort breaks the lines: whoever waits on one gets the error.
func (x *session) abort(err error) {
	x.mu.Lock()
	if x.broken == nil {
		x.broken = err
	}
	lines := make([]*line, 0, len(x.lines))
	for l := range x.lines {
		lines = append(lines, l)
	}
	x.mu.Unlock()
	x.end(err)
	for _, l := range lines {
		l.fail(err)
	}
}

var errEnded = errors.New("the connection was closed")

// close ends the session. The lines go first: the client's Close waits for a lease renewal that is under way.
func (x *session) close() {
	x.abort(errEnded)
	if x.client != nil {
		_ = x.client.Close() // its connection is gone already
	}
}

// guard runs f, broken off when ctx ends.
func (x *session) guard(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { x.abort(context.Cause(ctx)) })
	defer stop()
	return f()
}

// tidy lets go of DataNode lines that are done with.
func (x *session) tidy() {
	x.mu.Lock()
	var done []*line
	for l := range x.lines {
		if l.mute {
			done = append(done, l)
			delete(x.lines, l)
		}
	}
	x.block = nil
	x.mu.Unlock()
	for _, l := range done {
		_ = l.Close() // the client closes those that served well; this is for the others
	}
}

// borrow lends an idle session, or a new one.
func (s *service) borrow(ctx context.Context) (*session, error) {
	for {
		x := s.take()
		if x == nil {
			return s.newSession(ctx)
		}
		if x.fault() == nil && time.Since(x.born) < maxAge {
			x.reused = true
			return x, nil
		}
		x.close()
	}
}

func (s *service) take() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return nil
	}
	x := s.idle[n-1]
	s.idle = s.idle[:n-1]
	x.idle.Stop()
	return x
}

// give takes a session back. One that is not well is closed.
func (s *service) give(x *session, well bool) {
	x.tidy()
	if well && x.fault() == nil && s.keep(x) {
		return
	}
	x.close()
}

func (s *service) keep(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= maxIdle {
		return false
	}
	s.idle = append(s.idle, x)
	x.idle = time.AfterFunc(maxUnuse, func() {
		if s.remove(x) {
			x.close()
		}
	})
	return true
}

func (s *service) remove(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.idle {
		if other == x {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			return true
		}
	}
	return false
}
