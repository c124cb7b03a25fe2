package synctool

import (
	"context"
	"crypto/subtle"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// attachment is a collector's present hold on the subtask.
type attachment struct {
	link *link
	id   uint64
	seq  uint64 // of the last batch
}

type attachRequest struct {
	link *link
	msg  *omsyncpb.Attach
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

// unattached takes the fault of the collector that has the subtask and can not attach. It comes again while that is so.
func (s *subtask) unattached(ctx context.Context, l *link, f *omsyncpb.SubtaskFault) {
	st, now := s.rec.get(), time.Now()
	switch {
	case s.att != nil, s.job != nil, !s.assigned, s.leaving != nil:
		return
	case l.endpoint != st.Collector, subtle.ConstantTimeCompare([]byte(f.GetToken()), []byte(st.Token)) != 1:
		return
	case st.Status != coord.Init && st.Status != coord.Running && st.Status != coord.Reassigning:
		return
	case !f.GetRetry():
		s.fail(ctx, proto.Clone(f.GetFault()).(*omsyncpb.Fault))
		return
	case s.moved(&st, now):
		s.reassign(ctx, "the partition's leader moved away from "+st.Tablet)
		return
	}
	s.heard, s.took, s.waited = now, "", 0
	s.setStalled(proto.Clone(f.GetFault()).(*omsyncpb.Fault))
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
	s.assigned, s.took, s.waited, s.heard = true, "", 0, time.Now()
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
		LogDeletes: s.task.spec.Deletes == deletesLog,
	}}})
	s.acknowledge()
}
