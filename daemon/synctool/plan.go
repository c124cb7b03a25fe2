package synctool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"

	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/failpoint"
	"omsync/rpc/omsyncpb"
)

// A plan's state file: planMagic, the Plan as protobuf, crc32c of both, little-endian. The node names file and checksum, so that neither a
// cut nor an exchanged file is taken for the plan.
const planMagic = "omsync-plan-1\n"

func encodePlan(p *omsyncpb.Plan) ([]byte, uint32, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return nil, 0, fmt.Errorf("encode the hand-off plan: %w", err)
	}
	b := append([]byte(planMagic), body...)
	sum := crc32.Checksum(b, castagnoli)
	return binary.LittleEndian.AppendUint32(b, sum), sum, nil
}

func decodePlan(b []byte, want uint32) (*omsyncpb.Plan, error) {
	body, ok := bytes.CutPrefix(b, []byte(planMagic))
	if !ok || len(body) < 4 {
		return nil, fmt.Errorf("%d bytes, not a hand-off plan", len(b))
	}
	end := len(b) - 4
	if sum := crc32.Checksum(b[:end], castagnoli); sum != want || binary.LittleEndian.Uint32(b[end:]) != sum {
		return nil, fmt.Errorf("checksum %08x, the subtask's node says %08x", sum, want)
	}
	p := &omsyncpb.Plan{}
	if err := proto.Unmarshal(body[:len(body)-4], p); err != nil {
		return nil, fmt.Errorf("decode the hand-off plan: %w", err)
	}
	return p, nil
}

// acceptPlan stores a proposed plan and names it in the node. The first plan of a generation wins: accepted tells whether p is the plan now.
func (c *committer) acceptPlan(ctx context.Context, p *omsyncpb.Plan) (accepted bool, err error) {
	data, sum, err := encodePlan(p)
	if err != nil {
		return false, err
	}
	st := c.rec.get()
	if st.Plan != nil || st.Generation != p.GetGeneration() {
		return st.Plan != nil && st.Plan.CRC == sum, nil
	}
	var file string
	err = c.retrying(ctx, "store the hand-off plan in", func() error {
		if err := failpoint.Hit("synctool/plan"); err != nil {
			return err
		}
		name := c.names.plan(st.Generation)
		if err := c.files.WriteFile(ctx, name, data); err != nil {
			return err
		}
		file = name
		return failpoint.Hit("synctool/plan-stored")
	})
	if err != nil {
		return false, err
	}
	err = c.rec.change(ctx, func(st *coord.SubtaskState) error {
		if st.Plan != nil || st.Generation != p.GetGeneration() {
			accepted = st.Plan != nil && st.Plan.CRC == sum
			return nil
		}
		accepted = true
		st.Plan = &coord.PlanRef{File: file, CRC: sum, Z: p.GetZ(), Pin: p.GetSnapshotName(), NowMs: p.GetNowMs(), BacklogRows: p.GetBacklogRows()}
		return nil
	})
	return accepted && err == nil, err
}

// readPlan reads the accepted plan back, nil when there is none.
func (c *committer) readPlan(ctx context.Context, ref *coord.PlanRef) (*omsyncpb.Plan, error) {
	if ref == nil {
		return nil, nil
	}
	var p *omsyncpb.Plan
	err := c.retrying(ctx, "read the hand-off plan in", func() error {
		b, err := c.files.ReadFile(ctx, ref.File)
		if errors.Is(err, fs.ErrNotExist) {
			return fail(codeDestMissing, "recover --reexport starts the partition again", "%s: the hand-off plan %s is gone", c.where, ref.File)
		}
		if err != nil {
			return err
		}
		if p, err = decodePlan(b, ref.CRC); err != nil {
			return fail(codeDestMissing, "recover --reexport starts the partition again", "%s: %s: %w", c.where, ref.File, err)
		}
		return nil
	})
	return p, err
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

type planRequest struct {
	link *link
	msg  *omsyncpb.PlanProposal
}
