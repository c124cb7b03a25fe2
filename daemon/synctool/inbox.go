package synctool

import (
	"context"
	"time"

	"omsync/rpc/omsyncpb"
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
		size := weight(b.Batch)
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
		if f := b.Fault; f.GetToken() != "" {
			s.calls = append(s.calls, func(ctx context.Context) { s.unattached(ctx, l, f) })
			break
		}
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
