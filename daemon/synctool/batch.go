package synctool

import (
	"bytes"
	"context"
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
			if s.open != nil && s.open.holds() {
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
		s.queued -= weight(m.GetBatch())
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
		if s.open != nil { // moves of the point without rows so far, but perhaps with deletes
			next.began, next.log, next.sealed = s.open.began, s.open.log, s.open.sealed
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
	if n := uint64(weight(b)); n > 0 {
		s.att.link.send(&omsyncpb.SynctoolMessage{Body: &omsyncpb.SynctoolMessage_Credit{Credit: &omsyncpb.Credit{Key: s.key(), AttachId: s.att.id, Bytes: n}}})
	}
	if s.open.length+s.open.deletes.length >= s.term.o.SegmentBytes || b.GetSnapshotEnd() || b.GetEnd() {
		s.roll = true
	}
	return true
}

// weight is what a batch takes of its subtask's credit.
func weight(b *omsyncpb.Batch) int64 { return int64(len(b.GetRows()) + len(b.GetDeletes())) }

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
	case len(b.GetDeletes()) > 0 && (to.Phase != phaseLog || s.task.spec.Deletes != deletesLog):
		return fmt.Errorf("a batch to %s with deletes, which nobody asked for", pointText(to))
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
