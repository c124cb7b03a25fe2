package synctool

import (
	"time"

	"omsync/rpc/omsyncpb"
)

// live is what a leader knows of a subtask beside its durable state.
type live struct {
	link     *link // the attachment's; messages of others are dropped
	attachID uint64
	credit   int64
	heard    time.Time
	heardMs  int64

	tail, recordCnt, vanished uint64
	waiting                   string
	stalled                   *omsyncpb.Fault
	stalls                    uint64 // how often it began to stall, or stalled with another code
	oldest                    int64  // wall ms of the oldest row that is read and not committed
	rates                     rates
}

func (v *live) isFrom(l *link, attach uint64) bool {
	return v.link == l && v.link != nil && v.attachID == attach
}

func (s *subtask) setStalled(f *omsyncpb.Fault) {
	s.mu.Lock()
	changed := (s.live.stalled == nil) != (f == nil) || f.GetReason() != s.live.stalled.GetReason()
	if f != nil && (s.live.stalled == nil || s.live.stalled.GetCode() != f.GetCode()) {
		s.live.stalls++
	}
	s.live.stalled = f
	s.mu.Unlock()
	if changed {
		s.term.touch()
	}
}

// show refreshes what views take from the goroutine's own.
func (s *subtask) show() {
	oldest := int64(0)
	older := func(ms int64) {
		if ms > 0 && (oldest == 0 || ms < oldest) {
			oldest = ms
		}
	}
	if s.open != nil {
		older(s.open.oldest)
	}
	if s.job != nil && s.job.seg != nil {
		older(s.job.seg.oldest)
	}
	s.mu.Lock()
	for _, m := range s.queue {
		if ms := m.GetBatch().GetOldestMs(); ms > 0 {
			older(ms)
			break
		}
	}
	s.live.oldest = oldest
	s.mu.Unlock()
}
