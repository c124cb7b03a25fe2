package scene

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/daemon/coord"
	"omsync/openmldb/zkconn"
	"omsync/rpc/omsyncpb"
	"omsync/testenv/cluster"
	"omsync/testenv/daemons"
	"omsync/testenv/ledger"
)

// Task is one export of a table with a ledger.
type Task struct {
	ID      string
	Table   *cluster.Table
	Mode    int
	StartTS uint64
	Dest    string
	Files   string // where its files can be read after all, if not at Dest
	Dialect ledger.Dialect
	Deletes string // ignore or log; empty: what the synctool's conf says

	scene *Scene
	from  ledger.Mark
}

// Name is db.table.
func (t *Task) Name() string { return t.Table.Schema().DB + "." + t.Table.Schema().Name }

// Ask calls whichever synctool leads, until it answers or ctx ends. A definite refusal is returned.
func (s *Scene) Ask(ctx context.Context, call func(ctx context.Context, c omsyncpb.SyncToolClient) error) error {
	last := errors.New("no synctool was started")
	for {
		s.mu.Lock()
		list := s.synctools
		s.mu.Unlock()
		for _, d := range list {
			if !d.Process().Running() {
				continue
			}
			each, cancel := context.WithTimeout(ctx, 15*time.Second)
			err := call(each, omsyncpb.NewSyncToolClient(d.conn))
			cancel()
			if err == nil {
				return nil
			}
			last = fmt.Errorf("%s: %w", d.Name, err)
			switch status.Code(err) {
			case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
			case codes.FailedPrecondition:
				if faultCode(err) != "not-leading" {
					return last
				}
			default:
				return last
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no synctool answers (%w): %w", ctx.Err(), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func faultCode(err error) string {
	for _, d := range status.Convert(err).Details() {
		if f, ok := d.(*omsyncpb.Fault); ok {
			return f.GetCode()
		}
	}
	return ""
}

// Create makes a task that writes to a fresh destination. The table has a ledger (load.Create, load.Keep).
func (s *Scene) Create(ctx context.Context, t Task) (*Task, error) {
	t.scene, t.from = s, t.Table.Ledger().Mark()
	if t.Dest == "" {
		t.Dest = s.Dest(t.Name())
	}
	q := &omsyncpb.CreateRequest{Db: t.Table.Schema().DB, Table: t.Table.Schema().Name, StartTs: int64(t.StartTS), Dest: t.Dest, Deletes: t.Deletes}
	mode := int32(t.Mode)
	q.Mode = &mode
	if t.Dialect == ledger.Standard {
		q.Dialect = "standard"
	}
	// New daemons take a moment to find each other; whoever wants to see that refused asks for it himself.
	err := daemons.Until(ctx, "the task is created", 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		err := s.Ask(ctx, func(ctx context.Context, c omsyncpb.SyncToolClient) error {
			r, err := c.Create(ctx, q)
			t.ID = r.GetTaskId()
			return err
		})
		switch faultCode(err) {
		case "task-exists": // by the call before, if its answer was lost
			v, listErr := t.find(ctx)
			if v != nil {
				t.ID = v.GetTaskId()
				return true, nil
			}
			return false, errors.Join(err, listErr)
		case "no-collector", "table-unknown", "table-gone":
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", t.Name(), err)
	}
	return &t, nil
}

// find looks for a task of this table and destination.
func (t *Task) find(ctx context.Context) (out *omsyncpb.TaskView, err error) {
	err = t.scene.Ask(ctx, func(ctx context.Context, c omsyncpb.SyncToolClient) error {
		l, err := c.List(ctx, &omsyncpb.ListRequest{Db: t.Table.Schema().DB, Table: t.Table.Schema().Name})
		for _, v := range l.GetTasks() {
			if strings.HasSuffix(v.GetDest(), t.Dest) {
				out = v
			}
		}
		return err
	})
	return out, err
}

// View is the task as the synctool shows it; nil when it is gone.
func (t *Task) View(ctx context.Context) (*omsyncpb.TaskView, error) {
	var out *omsyncpb.TaskView
	err := t.scene.Ask(ctx, func(ctx context.Context, c omsyncpb.SyncToolClient) error {
		l, err := c.List(ctx, &omsyncpb.ListRequest{})
		out = nil
		for _, v := range l.GetTasks() {
			if v.GetTaskId() == t.ID {
				out = v
			}
		}
		return err
	})
	return out, err
}

// Until waits for a condition on the view. A FAILED subtask ends the wait unless failed is wanted.
func (t *Task) Until(ctx context.Context, what string, cond func(v *omsyncpb.TaskView) bool) error {
	var last *omsyncpb.TaskView
	err := daemons.Until(ctx, fmt.Sprintf("%s: %s", t.Name(), what), 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		v, err := t.View(ctx)
		if err != nil {
			return false, err
		}
		last = v
		if cond(v) {
			return true, nil
		}
		for _, s := range v.GetSubtasks() {
			if s.GetState() == string(coord.Failed) {
				return false, fmt.Errorf("partition %d is FAILED: %s: %s: %s", s.GetPid(), s.GetFault().GetCode(), s.GetFault().GetReason(), s.GetFault().GetHint())
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("%w\nlast seen: %v", err, last)
	}
	return nil
}

// Ended waits until a mode-0 task has come to its end and gone.
func (t *Task) Ended(ctx context.Context) error {
	return t.Until(ctx, "ends and goes away", func(v *omsyncpb.TaskView) bool { return v == nil })
}

// Holds waits until everything that was acknowledged before the call is committed.
func (t *Task) Holds(ctx context.Context) error {
	mark := t.Table.Ledger().Mark()
	return t.Until(ctx, "holds what was acknowledged", func(v *omsyncpb.TaskView) bool {
		for _, s := range v.GetSubtasks() {
			if p := s.GetPoint(); p.GetPhase() != omsyncpb.Phase_PHASE_LOG || p.GetLogIndex() < mark.Last(s.GetPid()) {
				return false
			}
		}
		return len(v.GetSubtasks()) > 0
	})
}

// Committed is the number of rows in the destination's files, of an ended task too.
func (t *Task) Committed(ctx context.Context) (rows uint64, err error) {
	states, err := t.states(ctx)
	for _, st := range states {
		rows += st.Counters.Rows
	}
	return rows, err
}

// Settled waits until no decided file waits for its final name. Nothing may be written meanwhile.
func (t *Task) Settled(ctx context.Context) error {
	return daemons.Until(ctx, t.Name()+": every decided file has its final name", 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		states, err := t.states(ctx)
		for _, st := range states {
			if st.Pending != nil {
				return false, err
			}
		}
		return err == nil, err
	})
}

// states reads the subtasks' nodes, or the record that is left of an ended task.
func (t *Task) states(ctx context.Context) (map[uint32]coord.SubtaskState, error) {
	ours := path.Join(t.scene.Cluster.Root(), "sync_tool/omsync")
	b, _, err := t.scene.zk.Get(ctx, path.Join(ours, "finished", t.ID))
	if err == nil {
		var r coord.FinishedRecord
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("record of task %s: %w", t.ID, err)
		}
		return r.States, nil
	}
	if !errors.Is(err, zkconn.ErrNoNode) {
		return nil, err
	}
	out := map[uint32]coord.SubtaskState{}
	for pid := range uint32(t.Table.Schema().Partitions) {
		b, _, err := t.scene.zk.Get(ctx, path.Join(ours, "tasks", t.ID, "p", fmt.Sprint(pid)))
		if err != nil {
			return nil, fmt.Errorf("state of task %s: %w", t.ID, err)
		}
		var st coord.SubtaskState
		if err := json.Unmarshal(b, &st); err != nil {
			return nil, fmt.Errorf("state of task %s: %w", t.ID, err)
		}
		out[pid] = st
	}
	return out, nil
}
