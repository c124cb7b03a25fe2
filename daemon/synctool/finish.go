package synctool

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"omsync/daemon/coord"
	"omsync/failpoint"
)

// ending is <dest>/_SUCCESS: what a mode-0 task wrote.
type ending struct {
	Cluster    string           `json:"cluster"`
	Task       string           `json:"task"`
	DB         string           `json:"db"`
	Table      string           `json:"table"`
	Mode       int              `json:"mode"`
	CreatedMs  int64            `json:"created_ms"`
	EndedMs    int64            `json:"ended_ms"`
	Rows       uint64           `json:"rows"`
	Partitions []endedPartition `json:"partitions"`
}

type endedPartition struct {
	PID     uint32   `json:"pid"`
	Rows    uint64   `json:"rows"`
	Expired uint64   `json:"expired"`
	Z       uint64   `json:"z"`
	Files   []string `json:"files"`
}

func (t *term) ending(k *task, ms int64) ending {
	e := ending{
		Cluster: t.o.Cluster, Task: k.spec.ID, DB: k.spec.DB, Table: k.spec.Table, Mode: k.spec.Mode,
		CreatedMs: k.spec.CreatedMs, EndedMs: ms, Partitions: []endedPartition{},
	}
	for _, pid := range k.spec.Partitions {
		s := k.subs[pid]
		if s == nil {
			continue
		}
		st := s.rec.get()
		p := endedPartition{PID: pid, Rows: st.Counters.Rows, Expired: st.Counters.Expired, Z: st.Point.Index, Files: []string{}}
		for seq := uint64(1); seq <= st.Seq; seq++ {
			p.Files = append(p.Files, s.names.final(st.Generation, seq))
		}
		e.Rows += p.Rows
		e.Partitions = append(e.Partitions, p)
	}
	return e
}

// finish ends a mode-0 task whose subtasks are all in SUCCESS: _SUCCESS, the record, then the nodes go. Each step may be done again.
func (t *term) finish(k *task) {
	again := backoff{first: t.o.firstPause, most: time.Minute}
	for t.ctx.Err() == nil {
		err := t.finishOnce(t.ctx, k)
		if err == nil || t.ctx.Err() != nil {
			return
		}
		if lostLead(err) {
			t.failed(err)
			return
		}
		t.log.Warn("end of task", "table", k.name(), "err", err)
		for _, s := range k.subs {
			s.setStalled(classify("end of "+k.name(), err).fault)
		}
		if again.wait(t.ctx) != nil {
			return
		}
	}
}

func (t *term) finishOnce(ctx context.Context, k *task) error {
	if err := failpoint.Hit("synctool/finished"); err != nil {
		return err
	}
	files, err := k.prepare(ctx)
	if err != nil {
		return err
	}
	ms := t.o.Wall().UnixMilli()
	b, err := json.MarshalIndent(t.ending(k, ms), "", "  ")
	if err != nil {
		return err
	}
	if err := files.WriteFile(ctx, success, append(b, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", success, err)
	}
	if err := failpoint.Hit("synctool/retire"); err != nil {
		return err
	}
	record := coord.FinishedRecord{Spec: k.spec, EndedMs: ms, States: map[uint32]coord.SubtaskState{}}
	for pid, s := range k.subs {
		st := s.rec.get()
		st.Token = ""
		record.States[pid] = st
	}
	if err := t.store.Finish(ctx, k.spec.ID, record); err != nil {
		return fmt.Errorf("keep the record of the ended task: %w", err)
	}
	return t.tearDown(ctx, k)
}
