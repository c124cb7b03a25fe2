package collector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/client"
	"omsync/rpc/omsyncpb"
)

// fakeTool is a synctool that keeps what it commits in memory and holds the collector to the protocol: every breach is kept in wrong.
type fakeTool struct {
	t      testing.TB
	credit uint64
	// commit says after each batch whether to commit what is open; nil: always.
	commit func() bool
	// refuse may refuse an attach.
	refuse func(*omsyncpb.Attach) *omsyncpb.Refused

	mu      sync.Mutex
	rng     *rand.Rand
	addr    string
	server  *grpc.Server
	subs    map[uint32]*toolSub
	wrong   []string
	changed chan struct{}
	streams int
	hold    bool // commit nothing, give no credit back
	deletes bool // ask for those of the log
}

// toolSub is the durable state of one subtask, and its attachment.
type toolSub struct {
	a         *omsyncpb.Assignment
	point     *omsyncpb.Point
	plan      *omsyncpb.Plan
	mark      *omsyncpb.LogMark
	done      bool // the scan is committed to its end
	published bool
	ended     bool
	rows      [][]byte // committed, of the present generation
	scanned   int      // of these, by the scan
	deletes   []*omsyncpb.LogDelete
	renewed   int // generations begun

	link       *toolLink
	id         uint64
	seq        uint64
	open       []*omsyncpb.Batch
	under      uint64 // bytes without credit back
	largest    uint64
	batches    int
	faults     []*omsyncpb.SubtaskFault
	unattached []*omsyncpb.SubtaskFault
	beats      int
	beat       *omsyncpb.SubtaskBeat
	detach     []string
	attach     int
	pin        string
}

type toolLink struct {
	endpoint string
	out      chan *omsyncpb.SynctoolMessage
	ctx      context.Context
}

func newTool(t testing.TB, seed uint64) *fakeTool {
	f := &fakeTool{t: t, credit: 8 << 20, subs: map[uint32]*toolSub{}, rng: rand.New(rand.NewPCG(seed, 77)), changed: make(chan struct{})}
	f.start()
	t.Cleanup(f.stop)
	return f
}

// start serves at a new address; what is committed stays.
func (f *fakeTool) start() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(client.MaxMessage), grpc.MaxSendMsgSize(client.MaxMessage), grpc.WaitForHandlers(true))
	omsyncpb.RegisterIngestServer(s, toolService{f: f})
	f.mu.Lock()
	f.server, f.addr = s, l.Addr().String()
	f.mu.Unlock()
	go func() { _ = s.Serve(l) }() // ended by stop
}

// stop ends the process; streams break.
func (f *fakeTool) stop() {
	f.mu.Lock()
	s := f.server
	f.server, f.addr = nil, ""
	for _, sub := range f.subs {
		sub.link = nil
	}
	f.mu.Unlock()
	if s != nil {
		s.Stop()
	}
}

func (f *fakeTool) address() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addr
}

type toolService struct {
	omsyncpb.UnimplementedIngestServer
	f *fakeTool
}

func (s toolService) Stream(stream omsyncpb.Ingest_StreamServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	l := &toolLink{endpoint: first.GetHello().GetEndpoint(), out: make(chan *omsyncpb.SynctoolMessage, 100_000), ctx: stream.Context()}
	if l.endpoint == "" {
		s.f.breach("the first message of a stream is no hello")
	}
	var sender sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case m := <-l.out:
				if stream.Send(m) != nil {
					return
				}
			case <-stream.Context().Done():
				return
			}
		}
	})
	s.f.mu.Lock()
	s.f.streams++
	s.f.mu.Unlock()
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil
		}
		s.f.take(l, m)
	}
}

func (f *fakeTool) breach(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.breachLocked(format, args...)
}

func (f *fakeTool) breachLocked(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

func (f *fakeTool) touch() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// take handles one message.
func (f *fakeTool) take(l *toolLink, m *omsyncpb.CollectorMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.touch()
	switch b := m.GetBody().(type) {
	case *omsyncpb.CollectorMessage_Attach:
		f.attach(l, b.Attach)
	case *omsyncpb.CollectorMessage_Batch:
		if s := f.at(l, b.Batch.GetKey(), b.Batch.GetAttachId()); s != nil {
			f.batch(s, b.Batch)
		}
	case *omsyncpb.CollectorMessage_Plan:
		if s := f.at(l, b.Plan.GetKey(), b.Plan.GetAttachId()); s != nil {
			f.propose(s, b.Plan)
		}
	case *omsyncpb.CollectorMessage_Heartbeat:
		for _, beat := range b.Heartbeat.GetBeats() {
			if s := f.at(l, beat.GetKey(), beat.GetAttachId()); s != nil {
				s.beats++
				s.beat = beat
			}
		}
	case *omsyncpb.CollectorMessage_Fault:
		if s := f.subs[b.Fault.GetKey().GetPid()]; s != nil && b.Fault.GetToken() != "" {
			s.unattached = append(s.unattached, b.Fault)
			return
		}
		if s := f.at(l, b.Fault.GetKey(), b.Fault.GetAttachId()); s != nil {
			s.faults = append(s.faults, b.Fault)
			if !b.Fault.GetRetry() {
				f.refuseLocked(s, false, "failed: "+b.Fault.GetFault().GetReason())
			}
		}
	case *omsyncpb.CollectorMessage_Detach:
		if s := f.at(l, b.Detach.GetKey(), b.Detach.GetAttachId()); s != nil {
			s.detach = append(s.detach, b.Detach.GetReason())
			s.link = nil
		}
	}
}

// at is the subtask that a message is of, nil for one of an attach that is over.
func (f *fakeTool) at(l *toolLink, k *omsyncpb.SubtaskKey, id uint64) *toolSub {
	s := f.subs[k.GetPid()]
	if s == nil || s.link != l || s.id != id {
		return nil
	}
	return s
}

func (s *toolSub) send(m *omsyncpb.SynctoolMessage) {
	if s.link != nil {
		s.link.out <- m
	}
}

func (f *fakeTool) refuseLocked(s *toolSub, gone bool, why string) {
	s.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Refused{Refused: &omsyncpb.Refused{Key: s.a.GetKey(), AttachId: s.id, Gone: gone, Reason: why}}})
	s.link, s.open = nil, nil
}

func (f *fakeTool) attach(l *toolLink, q *omsyncpb.Attach) {
	refuse := func(gone bool, why string) {
		l.out <- &omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Refused{Refused: &omsyncpb.Refused{Key: q.GetKey(), AttachId: q.GetAttachId(), Gone: gone, Reason: why}}}
	}
	s := f.subs[q.GetKey().GetPid()]
	if s == nil || s.a.GetKey().GetTaskId() != q.GetKey().GetTaskId() {
		refuse(true, "there is no such subtask")
		return
	}
	if f.refuse != nil {
		if r := f.refuse(q); r != nil {
			refuse(r.GetGone(), r.GetReason())
			return
		}
	}
	if q.GetToken() != s.a.GetToken() {
		refuse(false, "another token")
		return
	}
	if q.GetAttachId() <= s.id && s.link == l {
		f.breachLocked("attach %d after %d", q.GetAttachId(), s.id)
	}
	if q.GetGeneration() != s.a.GetGeneration() {
		refuse(false, "another generation")
		return
	}
	if !s.published && (q.GetPinLost() || s.plan != nil && q.GetPin() != s.plan.GetSnapshotName()) {
		refuse(false, "a new generation is begun")
		s.link = nil
		f.renew(s)
		return
	}
	s.link, s.id, s.seq, s.open, s.under, s.pin = l, q.GetAttachId(), 0, nil, 0, q.GetPin()
	s.attach++
	plan := s.plan
	if s.point.GetPhase() == omsyncpb.Phase_PHASE_LOG && plan != nil {
		plan = proto.Clone(plan).(*omsyncpb.Plan)
		plan.Backlog, plan.ZMark = nil, nil // as the real one: nobody needs it in the log phase
	}
	s.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Attached{Attached: &omsyncpb.Attached{
		Key: q.GetKey(), AttachId: s.id, Point: s.point, Plan: plan, Mark: s.mark, Credit: f.credit, SnapshotDone: s.done, LogDeletes: f.deletes,
	}}})
	f.tell(s)
}

// renew begins a new generation; the test's assigner hands it out.
func (f *fakeTool) renew(s *toolSub) {
	s.renewed++
	a := proto.Clone(s.a).(*omsyncpb.Assignment)
	a.Generation, a.Token = f.rng.Uint64()|1, fmt.Sprintf("token-%d", f.rng.Uint64())
	*s = toolSub{a: a, point: &omsyncpb.Point{}, renewed: s.renewed, faults: s.faults, detach: s.detach}
}

func (f *fakeTool) tell(s *toolSub) {
	s.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Committed{Committed: &omsyncpb.Committed{
		Key: s.a.GetKey(), AttachId: s.id, Point: s.point, Published: s.published,
	}}})
}

// until waits for cond, which runs under the tool's lock.
func (f *fakeTool) until(what string, cond func() bool) {
	f.t.Helper()
	limit := time.After(waitFor)
	for {
		f.mu.Lock()
		ok, changed := cond(), f.changed
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit:
			f.mu.Lock()
			defer f.mu.Unlock()
			for pid, s := range f.subs {
				f.t.Logf("partition %d: point %v, done %t, published %t, open %d, attaches %d, faults %v, beat %v, detached %v", pid, s.point, s.done, s.published,
					len(s.open), s.attach, s.faults, s.beat, s.detach)
			}
			f.t.Fatalf("%s: not seen; breaches %v", what, f.wrong)
		}
	}
}

// sub reads one subtask's state.
func (f *fakeTool) sub(pid uint32) toolSub {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.subs[pid]; s != nil {
		return *s
	}
	return toolSub{}
}

// check fails the test on breaches of the protocol.
func (f *fakeTool) check() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.wrong {
		f.t.Error("breach of the protocol: " + w)
	}
}

// assign makes a subtask and returns its assignment.
func (f *fakeTool) assign(a *omsyncpb.Assignment) *omsyncpb.Assignment {
	f.mu.Lock()
	defer f.mu.Unlock()
	a.Generation, a.Token = f.rng.Uint64()|1, fmt.Sprintf("token-%d", f.rng.Uint64())
	f.subs[a.GetKey().GetPid()] = &toolSub{a: a, point: &omsyncpb.Point{}}
	return a
}

// retoken gives a subtask a new token, as every assignment does.
func (f *fakeTool) retoken(pid uint32, edit func(*omsyncpb.Assignment)) *omsyncpb.Assignment {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.subs[pid]
	a := proto.Clone(s.a).(*omsyncpb.Assignment)
	a.Token = fmt.Sprintf("token-%d", f.rng.Uint64())
	if edit != nil {
		edit(a)
	}
	s.a = a
	return a
}
