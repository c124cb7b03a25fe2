package synctool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/rpc/omsyncpb"
)

// ingest is omsync.v1.Ingest.
type ingest struct {
	omsyncpb.UnimplementedIngestServer
	tool *Synctool
}

// link is one collector's stream. Messages to the collector are queued: a subtask never waits for a slow reader.
type link struct {
	term     *term
	endpoint string
	instance string

	mu    sync.Mutex
	out   []*omsyncpb.SynctoolMessage
	subs  map[*subtask]struct{}
	err   error
	wake  chan struct{}
	ended chan struct{}
}

// maxOut bounds what waits for a collector that does not read.
const maxOut = 100_000

// send queues a message; after the link's end it is dropped.
func (l *link) send(m *omsyncpb.SynctoolMessage) {
	l.mu.Lock()
	if l.err == nil {
		l.out = append(l.out, m)
	}
	over := len(l.out) > maxOut
	l.mu.Unlock()
	if over {
		l.end(fmt.Errorf("collector %s does not read its stream", l.endpoint))
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) refuse(key *omsyncpb.SubtaskKey, attach uint64, gone bool, reason string) {
	l.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Refused{Refused: &omsyncpb.Refused{Key: key, AttachId: attach, Gone: gone, Reason: reason}}})
}

// remember attaches a subtask to the link; false when the link has ended.
func (l *link) remember(s *subtask) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false
	}
	l.subs[s] = struct{}{}
	return true
}

func (l *link) forget(s *subtask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.subs, s)
}

func (l *link) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

// end ends the stream and detaches its subtasks. The first error stays.
func (l *link) end(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	subs := l.subs
	l.subs = map[*subtask]struct{}{}
	close(l.ended)
	l.mu.Unlock()
	for s := range subs {
		s.closed(l)
	}
}

// Stream serves one collector. It ends with the stream, with the term, or when the same collector opens another one.
func (g *ingest) Stream(stream omsyncpb.Ingest_StreamServer) error {
	t, err := g.tool.leading()
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello.GetEndpoint() == "" {
		return status.Error(codes.InvalidArgument, "the first message of a stream must be a hello with the collector's endpoint")
	}
	l := &link{
		term: t, endpoint: hello.GetEndpoint(), instance: hello.GetInstance(), subs: map[*subtask]struct{}{},
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if !t.join(l) {
		return g.tool.notLeading()
	}
	defer t.leave(l)
	t.log.Info("collector is connected", "collector", l.endpoint, "instance", l.instance, "version", hello.GetVersion())
	g.tool.streams.Go(func() { l.end(l.receive(stream)) })
	l.end(l.transmit(stream))
	switch {
	case errors.Is(l.err, io.EOF), stream.Context().Err() != nil:
		return nil
	case errors.Is(l.err, errTermOver):
		return g.tool.notLeading()
	}
	return status.Error(codes.Aborted, l.err.Error())
}

// join adds the link; an older one of the same collector ends.
func (t *term) join(l *link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining || !t.ready || t.ctx.Err() != nil {
		return false
	}
	for old := range t.links {
		if old.endpoint == l.endpoint {
			old.end(errors.New("the collector opened another stream"))
		}
	}
	t.links[l] = struct{}{}
	t.touch()
	return true
}

func (t *term) leave(l *link) {
	t.mu.Lock()
	delete(t.links, l)
	t.mu.Unlock()
	t.log.Info("collector is disconnected", "collector", l.endpoint, "err", l.err)
	t.touch()
}

// receive routes what the collector sends. It never waits for a subtask.
func (l *link) receive(stream omsyncpb.Ingest_StreamServer) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		l.route(m)
	}
}

func (l *link) route(m *omsyncpb.CollectorMessage) {
	var key *omsyncpb.SubtaskKey
	var attach uint64
	switch b := m.GetBody().(type) {
	case *omsyncpb.CollectorMessage_Heartbeat:
		for _, beat := range b.Heartbeat.GetBeats() {
			if s := l.term.subtask(beat.GetKey().GetTaskId(), beat.GetKey().GetPid()); s != nil {
				s.beat(l, beat)
			}
		}
		return
	case *omsyncpb.CollectorMessage_Attach:
		key, attach = b.Attach.GetKey(), b.Attach.GetAttachId()
	case *omsyncpb.CollectorMessage_Batch:
		key, attach = b.Batch.GetKey(), b.Batch.GetAttachId()
	case *omsyncpb.CollectorMessage_Plan:
		key, attach = b.Plan.GetKey(), b.Plan.GetAttachId()
	case *omsyncpb.CollectorMessage_Fault:
		key, attach = b.Fault.GetKey(), b.Fault.GetAttachId()
	case *omsyncpb.CollectorMessage_Detach:
		key, attach = b.Detach.GetKey(), b.Detach.GetAttachId()
	default:
		return // a hello again, or something newer than this synctool
	}
	s := l.term.subtask(key.GetTaskId(), key.GetPid())
	if s == nil {
		l.refuse(key, attach, true, "there is no such subtask any more")
		return
	}
	s.offer(l, m)
}

// transmit sends what is queued until the link ends.
func (l *link) transmit(stream omsyncpb.Ingest_StreamServer) error {
	for {
		l.mu.Lock()
		out := l.out
		l.out = nil
		l.mu.Unlock()
		for _, m := range out {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		select {
		case <-l.wake:
		case <-l.ended:
			return l.err
		case <-stream.Context().Done():
			return context.Cause(stream.Context())
		}
	}
}

// linkOf returns a collector's stream, nil when there is none.
func (t *term) linkOf(endpoint string) *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.links {
		if l.endpoint == endpoint {
			return l
		}
	}
	return nil
}
