package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"omsync/rpc/omsyncpb"
)

// link is one stream to the leading synctool.
type link struct {
	address string
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stream  omsyncpb.Ingest_StreamClient

	sending turns

	mu       sync.Mutex
	attaches map[string]*attach // by task id and partition; the latest of each
}

func linkKey(k *omsyncpb.SubtaskKey) string { return fmt.Sprintf("%d/%s", k.GetPid(), k.GetTaskId()) }

// send writes one message. gRPC has encoded it when it returns, so the caller may use its buffers again. Batches let everything else go first.
func (l *link) send(m *omsyncpb.CollectorMessage) error {
	_, data := m.GetBody().(*omsyncpb.CollectorMessage_Batch)
	l.sending.take(!data)
	defer l.sending.pass()
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	if err := l.stream.Send(m); err != nil {
		l.cancel(errLinkDown) // why is told to the receiver
		return errLinkDown
	}
	return nil
}

// open begins an attach: one of the same subtask before it is over.
func (l *link) open(ctx context.Context, s *subtask, id uint64) *attach {
	a := &attach{id: id, s: s, link: l, changed: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.stop = context.AfterFunc(l.ctx, func() { a.cancel(errLinkDown) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attaches[linkKey(s.a.GetKey())] = a
	return a
}

// close ends an attach.
func (l *link) close(a *attach) {
	a.stop()
	a.cancel(errStopped)
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := linkKey(a.key()); l.attaches[k] == a {
		delete(l.attaches, k)
	}
}

func (l *link) all() []*attach {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*attach, 0, len(l.attaches))
	for _, a := range l.attaches {
		out = append(out, a)
	}
	return out
}

// route hands a message to its attach; what is meant for an older one is dropped.
func (l *link) route(m *omsyncpb.SynctoolMessage) {
	type addressed interface {
		GetKey() *omsyncpb.SubtaskKey
		GetAttachId() uint64
	}
	var to addressed
	switch b := m.GetBody().(type) {
	case *omsyncpb.SynctoolMessage_Attached:
		to = b.Attached
	case *omsyncpb.SynctoolMessage_Refused:
		to = b.Refused
	case *omsyncpb.SynctoolMessage_Committed:
		to = b.Committed
	case *omsyncpb.SynctoolMessage_Credit:
		to = b.Credit
	case *omsyncpb.SynctoolMessage_PlanAccepted:
		to = b.PlanAccepted
	default:
		return // something newer than this collector
	}
	l.mu.Lock()
	a := l.attaches[linkKey(to.GetKey())]
	l.mu.Unlock()
	if a != nil && a.id == to.GetAttachId() {
		a.receive(m)
	}
}

// receive routes messages until the stream ends.
func (l *link) receive() error {
	for {
		m, err := l.stream.Recv()
		if err != nil {
			return err
		}
		l.route(m)
	}
}

// beat tells of every attached subtask.
func (l *link) beat() {
	hb := &omsyncpb.Heartbeat{}
	for _, a := range l.all() {
		if a.isAttached() {
			hb.Beats = append(hb.Beats, a.s.beat(a))
		}
	}
	_ = l.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Heartbeat{Heartbeat: hb}}) // its failure ends the link
}

// detach gives every subtask up, and waits a moment for the synctool to have read it.
func (l *link) detach(clock Clock, p pace, reason string, received <-chan struct{}) {
	for _, a := range l.all() {
		if !a.isAttached() {
			continue
		}
		a.cancel(errStopped)
		_ = l.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Detach{Detach: &omsyncpb.Detach{
			Key: a.key(), AttachId: a.id, Reason: reason,
		}}}) // its failure ends the link, which says the same
	}
	l.sending.take(true)
	err := l.stream.CloseSend()
	l.sending.pass()
	if err != nil {
		return
	}
	select {
	case <-received:
	case <-clock.After(p.detachWait):
	}
}

// uplink keeps a link to the synctool that leads, while this collector is the active one of its host.
type uplink struct {
	c *Collector

	mu      sync.Mutex
	now     *link
	err     error // why there is none
	changed chan struct{}
}

func newUplink(c *Collector) *uplink { return &uplink{c: c, changed: make(chan struct{})} }

func (u *uplink) set(l *link, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.now, u.err = l, err
	close(u.changed)
	u.changed = make(chan struct{})
}

// state is the present link, what is closed at the next change, and why there is no link when it is nil.
func (u *uplink) state() (*link, <-chan struct{}, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.now, u.changed, u.err
}

// wait returns a link that is up and is not the given one.
func (u *uplink) wait(ctx context.Context, but *link) (*link, error) {
	for {
		l, changed, _ := u.state()
		if l != nil && l != but && l.ctx.Err() == nil {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// leave gives every subtask up. The link is taken away first: a subtask whose work is called off must not attach to it once more, before the
// synctool has read that it is given up.
func (u *uplink) leave(l *link, reason string, received <-chan struct{}) {
	u.set(nil, errors.New(reason))
	l.detach(u.c.o.Clock, u.c.o.pace, reason, received)
}

// run links until ctx ends.
func (u *uplink) run(ctx context.Context) {
	c := u.c
	wait := backoff{first: c.o.pace.reconnect, most: 20 * c.o.pace.reconnect}
	for ctx.Err() == nil {
		changed, standing := c.cluster.Changed(), c.standingChanged()
		address := c.cluster.Leader()
		switch {
		case !c.active():
			u.set(nil, errors.New("this collector stands by"))
		case address == "":
			u.set(nil, errors.New("no synctool leads"))
		default:
			err := u.serve(ctx, address, &wait)
			u.set(nil, err)
			if ctx.Err() == nil {
				c.log.Warn("no stream to the synctool", "address", address, "err", err)
				_ = pause(ctx, c.o.Clock, wait.next(), nil)
			}
			continue
		}
		select {
		case <-changed:
		case <-standing:
		case <-ctx.Done():
		}
	}
}

// serve is one link's life. It ends with ctx, with the stream, when another synctool leads, or when this collector stands by.
func (u *uplink) serve(ctx context.Context, address string, wait *backoff) error {
	c := u.c
	conn, err := c.o.DialSynctool(address)
	if err != nil {
		return fmt.Errorf("dial the synctool at %s: %w", address, err)
	}
	defer conn.Close()
	// The stream outlives ctx for as long as a Detach takes.
	lctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(errLinkDown)
	hard := context.AfterFunc(ctx, func() { // a synctool that does not read must not hold up the end; ended by cancel
		_ = pause(lctx, c.o.Clock, 2*c.o.pace.detachWait, nil)
		cancel(errLinkDown)
	})
	defer hard()
	stream, err := omsyncpb.NewIngestClient(conn).Stream(lctx)
	if err != nil {
		return fmt.Errorf("open the stream to the synctool at %s: %w", address, err)
	}
	l := &link{address: address, ctx: lctx, cancel: cancel, stream: stream, attaches: map[string]*attach{}}
	if err := l.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Hello{Hello: &omsyncpb.Hello{
		Endpoint: c.o.Endpoint, Instance: c.instance, Version: c.o.Version,
	}}}); err != nil {
		_, err = stream.Recv()
		return fmt.Errorf("greet the synctool at %s: %w", address, err)
	}
	received, ended := make(chan struct{}), error(nil)
	go func() { // ended by cancel
		defer close(received)
		ended = l.receive()
		cancel(errLinkDown)
	}()
	defer func() {
		cancel(errLinkDown)
		<-received
	}()
	u.set(l, nil)
	began := c.o.Clock.Now()
	beat := c.o.Clock.After(c.o.pace.beat)
	for {
		changed, standing := c.cluster.Changed(), c.standingChanged()
		switch leader := c.cluster.Leader(); {
		case !c.active():
			u.leave(l, "another collector of this host is active", received)
			return errors.New("this collector stands by")
		case leader != address && leader != "":
			return fmt.Errorf("the synctool at %s leads now", leader)
		}
		select {
		case <-ctx.Done():
			u.leave(l, "the collector stops", received)
			return context.Cause(ctx)
		case <-received:
			if c.o.Clock.Now().Sub(began) > 20*c.o.pace.reconnect {
				wait.reset()
			}
			return fmt.Errorf("the stream to the synctool at %s ended: %w", address, ended)
		case <-beat:
			l.beat()
			beat = c.o.Clock.After(c.o.pace.beat)
		case <-changed:
		case <-standing:
		}
	}
}
