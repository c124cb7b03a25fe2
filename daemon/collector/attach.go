package collector

import (
	"context"
	"sync"

	"omsync/rpc/omsyncpb"
)

// attach is one subtask on one link, from Attach until the link ends, the synctool refuses, or the subtask is taken away.
type attach struct {
	id     uint64
	s      *subtask
	link   *link
	ctx    context.Context // its cause says what ended the attach
	cancel context.CancelCauseFunc
	stop   func() bool // forgets the link's end

	mu        sync.Mutex
	changed   chan struct{}
	attached  *omsyncpb.Attached
	credit    int64 // bytes that may still be sent
	window    int64 // credit when nothing is under way
	accepted  bool  // the plan is
	published bool
}

// update changes the attach and wakes who waits for it.
func (a *attach) update(edit func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	edit()
	close(a.changed)
	a.changed = make(chan struct{})
}

// until waits for cond, or for the end of ctx.
func (a *attach) until(ctx context.Context, cond func() bool) error {
	for {
		a.mu.Lock()
		ok, changed := cond(), a.changed
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take reserves n bytes of credit if they may be sent now. A batch larger than all credit goes when nothing else is under way.
func (a *attach) take(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.credit < n && a.credit < a.window {
		return false
	}
	a.credit -= n
	return true
}

// receive handles one message of the synctool for this attach.
func (a *attach) receive(m *omsyncpb.SynctoolMessage) {
	switch b := m.GetBody().(type) {
	case *omsyncpb.SynctoolMessage_Attached:
		a.update(func() {
			a.attached, a.accepted = b.Attached, b.Attached.GetPlan() != nil
			a.window = int64(b.Attached.GetCredit())
			a.credit = a.window
			a.published = b.Attached.GetPoint().GetPhase() != omsyncpb.Phase_PHASE_SNAPSHOT
		})
		a.s.committed(a, b.Attached.GetPoint(), false)
	case *omsyncpb.SynctoolMessage_Credit:
		a.update(func() { a.credit = min(a.credit+int64(b.Credit.GetBytes()), a.window) })
	case *omsyncpb.SynctoolMessage_Committed:
		a.update(func() { a.published = a.published || b.Committed.GetPublished() })
		a.s.committed(a, b.Committed.GetPoint(), b.Committed.GetPublished())
	case *omsyncpb.SynctoolMessage_PlanAccepted:
		if b.PlanAccepted.GetGeneration() == a.s.a.GetGeneration() {
			a.update(func() { a.accepted = true })
		}
	case *omsyncpb.SynctoolMessage_Refused:
		a.cancel(&refusal{b.Refused.GetGone(), b.Refused.GetReason()})
	}
}

// isAttached tells that the synctool has answered.
func (a *attach) isAttached() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.attached != nil
}

// key of the subtask.
func (a *attach) key() *omsyncpb.SubtaskKey { return a.s.a.GetKey() }

// fault tells the synctool why the subtask does not go on. A lost one comes again with the next attach.
func (a *attach) fault(t *trouble) error {
	return a.link.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Fault{Fault: &omsyncpb.SubtaskFault{
		Key: a.key(), AttachId: a.id, Fault: t.fault, Retry: t.class == retry,
	}}})
}
