package synctool

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// How long a batch waits for a schema version that the catalog does not have yet, and between asks.
const (
	schemaWait  = 30 * time.Second
	schemaPause = time.Second
)

// offer takes a message of a collector's stream. It never waits: a collector that sends more than its credit is detached.
func (s *subtask) offer(l *link, m *omsyncpb.CollectorMessage) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch b := m.GetBody().(type) {
	case *omsyncpb.CollectorMessage_Attach:
		s.asked = &attachRequest{l, b.Attach}
	case *omsyncpb.CollectorMessage_Plan:
		if !s.live.isFrom(l, b.Plan.GetAttachId()) {
			return
		}
		s.live.heard = now
		s.plan = &planRequest{l, b.Plan}
	case *omsyncpb.CollectorMessage_Batch:
		if !s.live.isFrom(l, b.Batch.GetAttachId()) {
			return
		}
		s.live.heard = now
		size := int64(len(b.Batch.GetRows()))
		if len(s.queue) > 0 && s.queued+size > 2*s.live.credit || len(s.queue) > maxQueued {
			id := b.Batch.GetAttachId()
			s.live.link = nil
			s.calls = append(s.calls, func(ctx context.Context) { s.overrun(ctx, l, id) })
			break
		}
		s.queue = append(s.queue, m)
		s.queued += size
		s.live.rates.add(now, uint64(b.Batch.GetRowCount()), uint64(size))
	case *omsyncpb.CollectorMessage_Fault:
		if !s.live.isFrom(l, b.Fault.GetAttachId()) {
			return
		}
		s.live.heard = now
		s.queue = append(s.queue, m)
	case *omsyncpb.CollectorMessage_Detach:
		if !s.live.isFrom(l, b.Detach.GetAttachId()) {
			return
		}
		s.queue = append(s.queue, m)
	}
	s.nudge()
}

// maxQueued bounds messages without rows.
const maxQueued = 10_000

func (s *subtask) overrun(ctx context.Context, l *link, id uint64) {
	if s.att != nil && s.att.link == l && s.att.id == id {
		s.term.log.Error("collector sent more than its credit", "collector", l.endpoint, "table", s.task.name(), "partition", s.pid)
		s.drop(ctx)
		s.detach("more rows under way than the credit allows", false)
	}
}

// beat takes a heartbeat.
func (s *subtask) beat(l *link, b *omsyncpb.SubtaskBeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live.isFrom(l, b.GetAttachId()) {
		return
	}
	s.live.heard = time.Now()
	s.live.heardMs = s.term.o.Wall().UnixMilli()
	changed := s.live.tail != b.GetTailIndex() || s.live.waiting != b.GetWaitingFor() || s.live.recordCnt != b.GetRecordCnt()
	if b.GetTailIndex() != 0 {
		s.live.tail = b.GetTailIndex()
	}
	s.live.waiting, s.live.recordCnt = b.GetWaitingFor(), b.GetRecordCnt()
	if changed {
		s.term.touch()
	}
}

// closed says that a link is gone; the collector is given time to come back (watchClock).
func (s *subtask) closed(l *link) {
	s.post(func(context.Context) {
		if s.att != nil && s.att.link == l {
			s.detach("the stream ended", false)
			s.roll = s.open != nil
		}
	})
}

// answerAttach lets a collector begin at the committed point. What is spooled and not committed is thrown away first: the collector sends it
// again.
func (s *subtask) answerAttach(ctx context.Context) {
	s.mu.Lock()
	req := s.asked
	s.mu.Unlock()
	if req == nil || s.leaving == nil && time.Now().Before(s.hold) {
		return
	}
	refuse := func(gone bool, why string) {
		s.takeAttach(req)
		req.link.refuse(s.key(), req.msg.GetAttachId(), gone, why)
	}
	st := s.rec.get()
	switch {
	case s.leaving != nil:
		refuse(false, "the synctool stops")
		return
	case subtle.ConstantTimeCompare([]byte(req.msg.GetToken()), []byte(st.Token)) != 1:
		// The collector that is just being assigned may still come with its former token: it must not drop its holds for that.
		mine := req.link.endpoint == st.Collector || s.job != nil && s.job.kind == jobAssign
		refuse(!mine, "the subtask is assigned to "+st.Collector)
		return
	}
	s.heard = time.Now() // the right collector lives, whatever it is told
	switch {
	case st.Status == coord.Success && s.recovered:
		refuse(true, "the subtask is done")
		return
	case st.Status == coord.Failed && s.resumed:
		refuse(false, "failed: "+st.Reason)
		return
	case st.Status == coord.Paused:
		refuse(false, "paused")
		return
	case !s.recovered || !s.resumed:
		refuse(false, "the synctool is still recovering this subtask")
		return
	case s.job != nil && s.job.kind == jobCommit && !s.job.decided.Load():
		s.job.cancel()
		return
	case s.job != nil && (needsFiles(&st) || s.job.kind != jobCommit && s.job.kind != jobPublish):
		return // answered when the job is done
	}
	s.takeAttach(req)
	if s.att != nil && s.att.link != req.link {
		s.detach("another stream took over", false)
	}
	if s.att != nil {
		s.att.link.forget(s)
		s.att = nil
	}
	s.drop(ctx)
	s.mu.Lock()
	s.queue, s.queued, s.plan, s.live.link = nil, 0, nil, nil
	s.mu.Unlock()
	s.schema = time.Time{}
	st = s.rec.get()
	if req.msg.GetGeneration() != st.Generation {
		refuse(false, "another generation is to be exported")
		s.assigned = false
		return
	}
	if !st.Published && (req.msg.GetPinLost() || st.Plan != nil && req.msg.GetPin() != st.Plan.Pin) {
		req.link.refuse(s.key(), req.msg.GetAttachId(), false, "a new generation is begun: its pin is lost")
		s.renew(ctx, "the pin of its snapshot is lost")
		return
	}
	if !needsFiles(&st) {
		s.attach(ctx, req, planSummary(&st), st.Point)
		return
	}
	var plan *omsyncpb.Plan
	point := st.Point
	s.start(ctx, jobAttach, nil, func(soft, _ context.Context, _ func()) (err error) {
		if plan, err = s.com.readPlan(soft, st.Plan); err == nil {
			point, err = s.com.readKey(soft, st.Point)
		}
		return err
	}, func(ctx context.Context, err error) {
		if err != nil {
			req.link.refuse(s.key(), req.msg.GetAttachId(), false, "where the subtask stands can not be read")
			s.after(ctx, err, func(f *omsyncpb.Fault) { s.fail(ctx, f) })
			return
		}
		if st := s.rec.get(); st.Generation == req.msg.GetGeneration() && st.Token == req.msg.GetToken() {
			s.attach(ctx, req, plan, point)
		}
	})
}

// needsFiles tells whether state files at the destination must be read before a collector can begin.
func needsFiles(st *coord.SubtaskState) bool {
	return st.Plan != nil && st.Point.Phase != phaseLog || isKeyRef(st.Point.Key)
}

// planSummary is the accepted plan without E, which nobody needs in the log phase.
func planSummary(st *coord.SubtaskState) *omsyncpb.Plan {
	if st.Plan == nil {
		return nil
	}
	return &omsyncpb.Plan{Generation: st.Generation, SnapshotName: st.Plan.Pin, Z: st.Plan.Z, NowMs: st.Plan.NowMs, BacklogRows: st.Plan.BacklogRows}
}

func (s *subtask) takeAttach(req *attachRequest) {
	s.mu.Lock()
	if s.asked == req {
		s.asked = nil
	}
	s.mu.Unlock()
}

func (s *subtask) attach(ctx context.Context, req *attachRequest, plan *omsyncpb.Plan, point coord.Point) {
	if !req.link.remember(s) {
		return // its stream ended meanwhile
	}
	st := s.rec.get()
	if st.Status != coord.Running {
		if !s.change(ctx, func(st *coord.SubtaskState) { st.Status, st.Code, st.Reason, st.Hint = coord.Running, "", "", "" }) {
			return
		}
		st = s.rec.get()
	}
	s.att = &attachment{link: req.link, id: req.msg.GetAttachId()}
	s.assigned, s.waited, s.heard = true, 0, time.Now()
	s.assigning.reset()
	credit := s.term.credit()
	s.mu.Lock()
	s.live.link, s.live.attachID, s.live.credit = req.link, req.msg.GetAttachId(), int64(credit)
	s.live.heard, s.live.heardMs = s.heard, s.term.o.Wall().UnixMilli()
	if plan != nil {
		s.live.vanished = max(s.live.vanished, plan.GetVanished())
	}
	s.mu.Unlock()
	s.setStalled(nil)
	s.term.touch()
	req.link.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Attached{Attached: &omsyncpb.Attached{
		Key: s.key(), AttachId: s.att.id, Point: pointTo(point), Plan: plan, Mark: markTo(st.Mark), Credit: credit, SnapshotDone: st.SnapshotDone,
	}}})
	s.acknowledge()
}

// answerPlan stores a proposed plan.
func (s *subtask) answerPlan(ctx context.Context) {
	if s.aside != nil {
		return
	}
	s.mu.Lock()
	req := s.plan
	s.plan = nil
	s.mu.Unlock()
	if req == nil || s.att == nil || req.link != s.att.link || req.msg.GetAttachId() != s.att.id {
		return
	}
	p := req.msg.GetPlan()
	var accepted bool
	com, again := *s.com, backoff{first: s.term.o.firstPause}
	com.stall = func(ctx context.Context, t *trouble) error {
		s.showStall(t)
		return again.wait(ctx)
	}
	s.startAside(ctx, func(ctx context.Context) (err error) {
		accepted, err = com.acceptPlan(ctx, p)
		return err
	}, func(ctx context.Context, err error) {
		if err != nil {
			s.after(ctx, err, func(f *omsyncpb.Fault) { s.fail(ctx, f) })
			return
		}
		if s.att == nil || req.link != s.att.link || req.msg.GetAttachId() != s.att.id {
			return
		}
		if !accepted {
			s.drop(ctx)
			s.detach("another hand-off plan is accepted for this generation: attach again to get it", false)
			return
		}
		s.mu.Lock()
		s.live.vanished = p.GetVanished()
		s.mu.Unlock()
		s.setStalled(nil)
		s.term.touch()
		s.att.link.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_PlanAccepted{PlanAccepted: &omsyncpb.PlanAccepted{
			Key: s.key(), AttachId: s.att.id, Generation: p.GetGeneration(),
		}}})
	})
}

// consume encodes what is queued, until the open segment must be closed while the former is still being committed.
func (s *subtask) consume(ctx context.Context) {
	for ctx.Err() == nil && s.att != nil {
		if s.roll && s.open != nil {
			s.work(ctx)
			if s.open != nil && s.roll {
				return
			}
			continue
		}
		if s.task.shelf.used.full() && !s.task.shelf.local {
			if s.open != nil && s.open.rows > 0 {
				s.roll = true
				continue
			}
			s.task.shelf.used.wait(s.nudge)
			return
		}
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.queue = nil
			s.mu.Unlock()
			return
		}
		m := s.queue[0]
		s.mu.Unlock()
		if !s.take(ctx, m) {
			return
		}
	}
}

// pop forgets the message at the head of the queue, if it still is.
func (s *subtask) pop(m *omsyncpb.CollectorMessage) {
	s.mu.Lock()
	if len(s.queue) > 0 && s.queue[0] == m {
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.queued -= int64(len(m.GetBatch().GetRows()))
	}
	s.mu.Unlock()
}

// take handles one message; false leaves it in the queue for later.
func (s *subtask) take(ctx context.Context, m *omsyncpb.CollectorMessage) bool {
	switch b := m.GetBody().(type) {
	case *omsyncpb.CollectorMessage_Batch:
		return s.takeBatch(ctx, m, b.Batch)
	case *omsyncpb.CollectorMessage_Fault:
		s.pop(m)
		f := proto.Clone(b.Fault.GetFault()).(*omsyncpb.Fault)
		switch {
		case b.Fault.GetAttachId() != s.att.id:
		case b.Fault.GetRetry():
			s.setStalled(f)
		default:
			s.fail(ctx, f)
		}
	case *omsyncpb.CollectorMessage_Detach:
		s.pop(m)
		if b.Detach.GetAttachId() == s.att.id {
			s.reassign(ctx, s.att.link.endpoint+" gave it up: "+b.Detach.GetReason())
		}
	default:
		s.pop(m)
	}
	return true
}

func (s *subtask) takeBatch(ctx context.Context, m *omsyncpb.CollectorMessage, b *omsyncpb.Batch) bool {
	if b.GetAttachId() != s.att.id {
		s.pop(m)
		return true
	}
	st := s.rec.get()
	if err := s.fits(&st, b); err != nil {
		s.pop(m)
		s.term.log.Error("batch does not fit", "collector", s.att.link.endpoint, "table", s.task.name(), "partition", s.pid, "err", err)
		s.drop(ctx)
		s.detach(err.Error(), false)
		return true
	}
	rows, err := s.task.rows()
	if err == nil && b.GetMaxSchemaVersion() > uint32(rows.Latest()) {
		if s.awaitSchema(ctx, b.GetMaxSchemaVersion()) {
			return false
		}
		err = fmt.Errorf("rows of schema version %d, the catalog knows %d at most", b.GetMaxSchemaVersion(), rows.Latest())
	}
	if err != nil {
		s.pop(m)
		s.fail(ctx, &omsyncpb.Fault{Code: codeSchemaUnknown, Reason: s.task.name() + ": " + err.Error(), Hint: "check the table's node in ZooKeeper, then recover"})
		return true
	}
	s.schema = time.Time{}
	if s.open != nil && s.open.rows > 0 && len(b.GetRows()) > 0 && s.open.version != rows.Latest() {
		s.roll = true
		return true
	}
	if s.open == nil || s.open.rows == 0 && s.open.version != rows.Latest() {
		next := newSegment(rows, st.Generation)
		if s.open != nil { // moves of the point without rows so far
			next.began, next.sealed = s.open.began, s.open.sealed
		}
		s.open = next
	}
	err = s.open.add(ctx, s.com, &s.task.shelf, rows, b)
	s.pop(m)
	var lost *writeError
	switch {
	case errors.As(err, &lost):
		s.drop(ctx)
		s.writeFailed(ctx, err)
		return true
	case err != nil:
		s.fail(ctx, &omsyncpb.Fault{
			Code: codeRowCorrupt, Reason: fmt.Sprintf("%s partition %d, after %s: %v", s.task.name(), s.pid, pointText(st.Point), err),
			Hint: "look at the row on the tablet, then recover",
		})
		return true
	}
	s.att.seq = b.GetSeq()
	if n := uint64(len(b.GetRows())); n > 0 {
		s.att.link.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Credit{Credit: &omsyncpb.Credit{Key: s.key(), AttachId: s.att.id, Bytes: n}}})
	}
	if s.open.length >= s.term.o.SegmentBytes || b.GetSnapshotEnd() || b.GetEnd() {
		s.roll = true
	}
	return true
}

// awaitSchema asks the catalog again; false when it was asked for long enough.
func (s *subtask) awaitSchema(ctx context.Context, version uint32) bool {
	now := time.Now()
	if s.schema.IsZero() {
		s.schema = now
		s.setStalled(&omsyncpb.Fault{Code: codeSchemaUnknown, Reason: fmt.Sprintf("rows of schema version %d came before ZooKeeper shows it", version)})
	}
	if now.Sub(s.refreshed) >= schemaPause {
		s.refreshed = now
		s.term.refresh()
	}
	return now.Sub(s.schema) < s.term.o.schemaWait
}

// fits checks a batch against where the subtask stands: sequence, phase, and that the point only moves forward.
func (s *subtask) fits(st *coord.SubtaskState, b *omsyncpb.Batch) error {
	if b.GetSeq() != s.att.seq+1 {
		return fmt.Errorf("batch %d after %d", b.GetSeq(), s.att.seq)
	}
	to := pointOf(b.GetTo())
	at, done := st.Point, st.SnapshotDone
	if j := s.job; j != nil && j.seg != nil && !j.decided.Load() {
		at, done = j.seg.to, done || j.seg.snapshotEnd
	}
	if s.open != nil && s.open.to.Phase != "" {
		at, done = s.open.to, done || s.open.snapshotEnd
	}
	rank, from := phaseRank(to.Phase), phaseRank(at.Phase)
	switch {
	case to.Phase == "" || rank < from:
		return fmt.Errorf("a batch to %s after %s", pointText(to), pointText(at))
	case to.Phase == phaseSnapshot && done:
		return errors.New("a batch of the scan after its end")
	case to.Phase != phaseSnapshot && !st.PublishDone:
		return fmt.Errorf("a batch to %s before the snapshot's publication", pointText(to))
	case rank == from && to.Index < at.Index:
		return fmt.Errorf("a batch to %s after %s", pointText(to), pointText(at))
	case b.GetSnapshotEnd() && to.Phase != phaseSnapshot:
		return fmt.Errorf("the end of the scan with a batch to %s", pointText(to))
	case (to.Phase == phaseDone) != b.GetEnd():
		return fmt.Errorf("a batch to %s with end=%t", pointText(to), b.GetEnd())
	case b.GetEnd() && s.task.spec.Mode != modeFull:
		return fmt.Errorf("an end in mode %d, which has none", s.task.spec.Mode)
	case to.Phase == phaseLog && s.task.spec.Mode == modeFull:
		return errors.New("entries of the log phase in mode 0, which ends at z")
	case st.Plan != nil && st.Published && to.Phase == phaseLog && to.Index < st.Plan.Z:
		return fmt.Errorf("a batch to %s, which lies before z %d", pointText(to), st.Plan.Z)
	case rank == from && to.Phase == phaseSnapshot && len(b.GetRows()) > 0 && bytes.Equal(to.Key, at.Key) && len(at.Key) > 0:
		return fmt.Errorf("rows that do not move the point %s", pointText(at))
	}
	return nil
}

// pointText shows a point to people.
func pointText(p coord.Point) string {
	switch p.Phase {
	case "", phaseSnapshot:
		if len(p.Key) == 0 {
			return "the snapshot's beginning"
		}
		return fmt.Sprintf("snapshot key %q", p.Key)
	case phaseBacklog:
		return fmt.Sprintf("backlog index %d", p.Index)
	case phaseDone:
		return fmt.Sprintf("the end at index %d", p.Index)
	}
	return fmt.Sprintf("log index %d", p.Index)
}
