package collector

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/omsyncpb"
)

func (f *fakeTool) batch(s *toolSub, b *omsyncpb.Batch) {
	s.seq++
	s.batches++
	at := s.point
	done := s.done
	for _, o := range s.open {
		at, done = o.GetTo(), done || o.GetSnapshotEnd()
	}
	to := b.GetTo()
	n := uint64(len(b.GetRows()) + len(b.GetDeletes()))
	s.largest = max(s.largest, n)
	var problem string
	switch {
	case b.GetSeq() != s.seq:
		problem = fmt.Sprintf("batch %d after %d", b.GetSeq(), s.seq-1)
	case to.GetPhase() < at.GetPhase() || to.GetPhase() == at.GetPhase() && to.GetLogIndex() < at.GetLogIndex():
		problem = fmt.Sprintf("a batch to %v after %v", to, at)
	case to.GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT && done:
		problem = "a batch of the scan after its end"
	case to.GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT && n > 0 && bytes.Equal(to.GetKey(), at.GetKey()):
		problem = "rows that do not move the key"
	case to.GetPhase() != omsyncpb.Phase_PHASE_SNAPSHOT && !s.published:
		problem = fmt.Sprintf("a batch to %v before the publication", to)
	case (to.GetPhase() == omsyncpb.Phase_PHASE_DONE) != b.GetEnd():
		problem = "an end that is none"
	case s.under > 0 && s.under+n > f.credit:
		problem = fmt.Sprintf("%d bytes over a credit of %d", s.under+n, f.credit)
	case to.GetPhase() == omsyncpb.Phase_PHASE_LOG && to.GetLogIndex() > 0 && b.GetMark().GetLogIndex() != to.GetLogIndex():
		problem = fmt.Sprintf("a batch to %v with mark %v", to, b.GetMark())
	case len(b.GetDeletes()) > 0 && (!f.deletes || to.GetPhase() != omsyncpb.Phase_PHASE_LOG || b.GetOldestMs() == 0):
		problem = "deletes that nobody asked for, or without time"
	case b.GetRowCount() > 0 && (b.GetOldestMs() == 0 || b.GetMaxSchemaVersion() == 0):
		problem = "rows without time or version"
	}
	if problem != "" {
		f.breachLocked("%s partition %d: %s", s.a.GetTable(), s.a.GetKey().GetPid(), problem)
	}
	s.open = append(s.open, b)
	s.under += n
	if f.hold {
		return
	}
	if n > 0 {
		s.under -= n
		s.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Credit{Credit: &omsyncpb.Credit{Key: s.a.GetKey(), AttachId: s.id, Bytes: n}}})
	}
	if f.commit == nil || f.commit() || b.GetSnapshotEnd() || b.GetEnd() {
		f.commitLocked(s)
	}
}

// commitLocked decides what is open.
func (f *fakeTool) commitLocked(s *toolSub) {
	for _, b := range s.open {
		n := uint32(0)
		for raw := b.GetRows(); len(raw) > 0; n++ {
			size := binary.LittleEndian.Uint32(raw[2:])
			s.rows = append(s.rows, raw[:size:size])
			raw = raw[size:]
			if b.GetTo().GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT {
				s.scanned++
			}
		}
		if n != b.GetRowCount() || uint64(n) != b.GetDelta().GetRows() {
			f.breachLocked("a batch of %d rows says %d and %d", n, b.GetRowCount(), b.GetDelta().GetRows())
		}
		deleted := uint32(0)
		for raw := b.GetDeletes(); len(raw) > 0; deleted++ {
			one, size := protowire.ConsumeBytes(raw)
			d := &omsyncpb.LogDelete{}
			if err := proto.Unmarshal(one, d); size < 0 || err != nil {
				f.breachLocked("delete %d of a batch can not be read: %v", deleted, err)
				break
			}
			s.deletes, raw = append(s.deletes, d), raw[size:]
		}
		if deleted != b.GetDeleteCount() {
			f.breachLocked("a batch of %d deletes says %d", deleted, b.GetDeleteCount())
		}
		s.point = b.GetTo()
		if b.GetMark() != nil {
			s.mark = b.GetMark()
		}
		s.done = s.done || b.GetSnapshotEnd()
		s.ended = s.ended || b.GetEnd()
	}
	s.open = nil
	f.publish(s)
	f.tell(s)
}

func (f *fakeTool) publish(s *toolSub) {
	if s.done && s.plan != nil {
		s.published = true
	}
}

func (f *fakeTool) propose(s *toolSub, q *omsyncpb.PlanProposal) {
	if q.GetPlan().GetGeneration() != s.a.GetGeneration() {
		f.breachLocked("a plan of generation %x in %x", q.GetPlan().GetGeneration(), s.a.GetGeneration())
		return
	}
	if s.plan != nil && !proto.Equal(s.plan, q.GetPlan()) {
		f.refuseLocked(s, false, "another plan is accepted")
		return
	}
	s.plan = q.GetPlan()
	s.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_PlanAccepted{PlanAccepted: &omsyncpb.PlanAccepted{
		Key: s.a.GetKey(), AttachId: s.id, Generation: s.a.GetGeneration(),
	}}})
	f.publish(s)
	f.tell(s)
}

// flush commits all that is open everywhere.
func (f *fakeTool) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.subs {
		if len(s.open) > 0 {
			f.commitLocked(s)
		}
	}
	f.touch()
}
