package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/binlog"
	"omsync/rpc/omsyncpb"
)

// subtask is one assignment of one partition: an actor that attaches and exports, and a keeper of its links (keeper.go). A new token is a new
// subtask on the same directory.
type subtask struct {
	c       *Collector
	a       *omsyncpb.Assignment // never changed
	dir     string
	log     *slog.Logger
	hold    *hold
	horizon *horizon
	prune   chan struct{} // 1: the committed point has moved

	cancel context.CancelCauseFunc
	ended  chan struct{}

	mu        sync.Mutex
	source    *source
	state     string // pinning, planning, scanning, backlog, log, waiting, failed, detached
	waiting   []*string
	fault     *omsyncpb.Fault
	doom      *trouble // what ended this assignment for good: its holds are dropped
	present   *attach
	sent      *omsyncpb.Point
	committal *omsyncpb.Point
	published bool
	counters  omsyncpb.Counters // sent since this process began
	tail      uint64
	recordCnt uint64
	leader    bool
	asked     error   // of the last question to the tablet
	attention backoff // nextAttention
}

func newSubtask(c *Collector, dir string, st stored) *subtask {
	a := st.Assignment
	s := &subtask{
		c: c, a: a, dir: dir, source: st.Source, state: "waiting", prune: make(chan struct{}, 1), ended: make(chan struct{}),
		log:       c.log.With("table", tableName(a), "partition", a.GetKey().GetPid(), "tablet", a.GetTabletEndpoint()),
		hold:      newHold(&c.o, dir),
		horizon:   &horizon{},
		attention: backoff{first: c.o.pace.trouble, most: 300 * c.o.pace.trouble},
	}
	if a.GetReplicas() > 1 {
		s.horizon.settle = c.o.Replication
	}
	if st.Source != nil {
		s.hold.follow(st.Source.Logs)
	}
	return s
}

// start begins the subtask's two goroutines; stop ends them.
func (s *subtask) start(ctx context.Context) {
	ctx, s.cancel = context.WithCancelCause(ctx)
	var both sync.WaitGroup
	both.Go(func() { s.keep(ctx) })
	both.Go(func() { s.run(ctx) })
	go func() { // ended by stop
		both.Wait()
		close(s.ended)
	}()
}

func (s *subtask) stop() {
	s.cancel(errStopped)
	<-s.ended
}

// run attaches, exports, and does so again after whatever was in the way.
func (s *subtask) run(ctx context.Context) {
	refused := backoff{first: s.c.o.pace.refused, most: 10 * s.c.o.pace.refused} // asks more often than the synctool gives up
	var (
		but  *link // the link on which this subtask has nothing more to do
		lost bool  // the pin is
	)
	for {
		l, err := s.c.up.wait(ctx, but)
		if err != nil {
			return
		}
		but = nil
		err = s.serve(ctx, l, lost)
		var no *refusal
		switch {
		case ctx.Err() != nil:
			return
		case errors.As(err, &no) && no.gone:
			s.log.Info("subtask is given up", "reason", no.reason)
			s.enter("detached")
			s.c.reg.gone(s)
			return
		case errors.As(err, &no):
			s.log.Debug("attach is refused", "reason", no.reason)
			s.enter("detached")
			_ = s.rest(ctx, l, refused.next(), "the synctool: "+no.reason) // ctx is looked at above
			continue
		case errors.Is(err, errPinLost) && !lost:
			s.log.Warn("the pin of the unpublished generation is lost", "generation", fmt.Sprintf("%016x", s.a.GetGeneration()))
			lost = true
			continue
		case over(err):
			s.enter("detached")
			refused.reset()
			continue
		}
		refused.reset()
		var t *trouble
		rested := errors.As(err, &t) // serve has told the synctool and waited
		if errors.Is(err, errPinLost) {
			t = troubled(retry, codePinLost, hintReexport, "%s: the pin of generation %016x is lost", partitionName(s.a), s.a.GetGeneration())
		} else {
			t = classify(partitionName(s.a)+" on "+s.a.GetTabletEndpoint(), err)
		}
		if s.troubled(t) {
			but = l
		} else if !rested {
			_ = s.rest(ctx, l, s.nextAttention(), t.fault.GetReason()) // ctx is looked at above
		}
	}
}

// serve is one attach.
func (s *subtask) serve(ctx context.Context, l *link, lost bool) error {
	p, err := s.loadPin()
	if err != nil {
		return s.unattached(ctx, l, classify(partitionName(s.a)+" on "+s.a.GetTabletEndpoint()+": look at the pin", err))
	}
	name := ""
	if p != nil {
		name = p.Snapshot
	}
	a := l.open(ctx, s, s.c.attaches.Add(1))
	defer func() {
		s.setPresent(nil)
		l.close(a)
	}()
	s.setPresent(a)
	if err := l.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Attach{Attach: &omsyncpb.Attach{
		Key: s.a.GetKey(), Token: s.a.GetToken(), AttachId: a.id, Generation: s.a.GetGeneration(), Pin: name, PinLost: lost,
	}}}); err != nil {
		return err
	}
	if err := a.until(a.ctx, func() bool { return a.attached != nil }); err != nil {
		return err
	}
	s.setFault(nil)
	s.enter("waiting")
	err = (&export{s: s, a: a}).run(a.ctx)
	var t *trouble
	if cause := context.Cause(a.ctx); cause != nil && !errors.As(cause, &t) {
		return cause // what called the work off, whatever the work makes of it
	} else if cause != nil {
		err = cause
	}
	if !errors.As(err, &t) && (over(err) || errors.Is(err, errPinLost)) {
		return err
	}
	return s.tell(a, classify(partitionName(s.a)+" on "+s.a.GetTabletEndpoint(), err))
}

// tell tells the synctool what is in the way, and returns when the next attach may be tried.
func (s *subtask) tell(a *attach, t *trouble) error {
	if err := a.fault(t); err != nil {
		return err
	}
	s.setFault(t.fault)
	if t.class == operator { // until the synctool has taken it
		s.enter("failed")
		<-a.ctx.Done()
	} else { // attached all the while, so that the trouble is seen; the next attach begins anew from the committed point
		_ = pause(a.ctx, s.c.o.Clock, s.nextAttention(), nil) // a.ctx is looked at below
	}
	cause := context.Cause(a.ctx)
	var no *refusal
	if cause != nil && (over(cause) || errors.As(cause, &no) && (no.gone || t.class == retry)) {
		return cause
	}
	return t
}

// unattached tells the synctool why this subtask can not even attach: what it is to attach with can not be read. It returns when that may be tried
// again, early enough for the synctool to see that somebody is at it.
func (s *subtask) unattached(ctx context.Context, l *link, t *trouble) error {
	if err := l.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Fault{Fault: &omsyncpb.SubtaskFault{
		Key: s.a.GetKey(), Token: s.a.GetToken(), Fault: t.fault, Retry: t.class == retry,
	}}}); err != nil {
		return err
	}
	s.setFault(t.fault)
	_ = s.rest(ctx, l, min(s.nextAttention(), 5*s.c.o.pace.beat), t.fault.GetReason()) // ctx is looked at by run
	return &trouble{retry, t.fault, t.cause}                                           // told again even when it fails the subtask: the synctool may not have been ready to hear it
}

// troubled logs what is in the way. true: nothing more is to be done on this link.
func (s *subtask) troubled(t *trouble) (ended bool) {
	s.setFault(t.fault)
	if t.class == operator {
		s.enter("failed")
		s.log.Error("subtask failed", "code", t.fault.GetCode(), "reason", t.fault.GetReason(), "hint", t.fault.GetHint())
		return true
	}
	s.log.Warn("subtask is stalled", "code", t.fault.GetCode(), "reason", t.fault.GetReason())
	return false
}

// nextAttention is how long to leave what is in the way alone; each time longer, until the committed point moves.
func (s *subtask) nextAttention() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attention.next()
}

// rest waits before the next attach, or for another link.
func (s *subtask) rest(ctx context.Context, l *link, d time.Duration, why string) error {
	defer s.waits(why)()
	now, changed, _ := s.c.up.state()
	if now != l {
		return nil
	}
	return pause(ctx, s.c.o.Clock, d, changed)
}

// enter sets the state that is shown.
func (s *subtask) enter(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == "failed" && state == "detached" {
		return // why it stands still is what people want to see
	}
	s.state = state
}

// waits shows what is waited for until the returned function is called. Of several the first is shown.
func (s *subtask) waits(text string) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := &text
	s.waiting = append(s.waiting, mine)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting = slices.DeleteFunc(s.waiting, func(w *string) bool { return w == mine })
	}
}

func (s *subtask) waitingFor() string {
	if len(s.waiting) == 0 {
		return ""
	}
	return *s.waiting[0]
}

func (s *subtask) setFault(f *omsyncpb.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *subtask) setPresent(a *attach) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present = a
}

// committed takes over what the synctool has decided.
func (s *subtask) committed(a *attach, p *omsyncpb.Point, published bool) {
	s.mu.Lock()
	moved := !proto.Equal(s.committal, p)
	s.committal = p
	s.published = s.published || published || p.GetPhase() != omsyncpb.Phase_PHASE_SNAPSHOT
	if moved {
		s.attention.reset()
	}
	s.mu.Unlock()
	if moved {
		select {
		case s.prune <- struct{}{}:
		default:
		}
	}
}

func (s *subtask) sentBatch(to *omsyncpb.Point, delta *omsyncpb.Counters) {
	s.c.count(delta)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = proto.Clone(to).(*omsyncpb.Point)
	addCounters(&s.counters, delta)
}

func addCounters(to, d *omsyncpb.Counters) {
	to.Rows += d.GetRows()
	to.Bytes += d.GetBytes()
	to.Expired += d.GetExpired()
	to.Filtered += d.GetFiltered()
	to.Deletes += d.GetDeletes()
	to.Foreign += d.GetForeign()
	to.Repeated += d.GetRepeated()
	to.Holes += d.GetHoles()
	to.SkippedBlocks += d.GetSkippedBlocks()
}

// sawTail notes the end of the log for the lag that is shown.
func (s *subtask) sawTail(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail = max(s.tail, index)
}

// physicalEnd is the last index in the newest links; what can not be read is told by those who need it.
func (s *subtask) physicalEnd(ctx context.Context) uint64 {
	incs, err := s.hold.incarnations()
	if err != nil || len(incs) == 0 {
		return 0
	}
	last, err := binlog.LastIndex(ctx, s.c.o.Logs, incs[len(incs)-1].dir)
	if err != nil {
		return 0
	}
	return last
}

// beat is the subtask's part of a heartbeat.
func (s *subtask) beat(a *attach) *omsyncpb.SubtaskBeat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &omsyncpb.SubtaskBeat{Key: a.key(), AttachId: a.id, TailIndex: s.tail, WaitingFor: s.waitingFor(), RecordCnt: s.recordCnt}
}

// condemn ends the assignment for good.
func (s *subtask) condemn(t *trouble) {
	s.mu.Lock()
	s.doom = t
	a := s.present
	s.mu.Unlock()
	if a != nil {
		a.cancel(t)
	}
}

func (s *subtask) condemned() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doom == nil {
		return nil
	}
	return s.doom
}
