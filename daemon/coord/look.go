package coord

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"

	"omsync/openmldb/zkconn"
)

// Look is what stands in ZooKeeper at one time, for people. What can not be read is said and does not hide the rest.
type Look struct {
	Leader     string   // advertised address of the leading synctool, "" when none leads
	Standby    []string // of those that wait
	Epoch      uint64   // 0: none began yet
	EpochOf    string   // address of the synctool that began it
	EpochMs    int64    // when
	Collectors []Collector
	Tasks      []LookedTask
	Finished   int      // records of ended tasks
	Problems   []string // what could not be read
}

// LookedTask is a task as its nodes say.
type LookedTask struct {
	ID     string
	Spec   *TaskSpec // nil: half created or half removed
	States map[uint32]SubtaskState
}

// Look reads everything and changes nothing.
func (s *Session) Look(ctx context.Context) (*Look, error) {
	out := &Look{}
	names, err := s.names(ctx, s.paths.leader())
	if err != nil {
		return nil, err
	}
	for i, name := range inOrder(names) {
		b, _, err := s.conn.Get(ctx, path.Join(s.paths.leader(), name))
		switch {
		case errors.Is(err, zkconn.ErrNoNode): // gone this moment
		case err != nil:
			return nil, err
		case i == 0:
			out.Leader = string(b)
		default:
			out.Standby = append(out.Standby, string(b))
		}
	}
	var epoch epochValue
	switch err := s.look(ctx, out, s.paths.epoch(), &epoch); {
	case err != nil && !errors.Is(err, zkconn.ErrNoNode):
		return nil, err
	case err == nil:
		out.Epoch, out.EpochOf, out.EpochMs = epoch.Epoch, epoch.Leader, epoch.BegunMs
	}
	if out.Collectors, _, err = s.WatchCollectors().read(ctx); err != nil {
		return nil, err
	}
	ids, err := s.names(ctx, s.paths.tasks())
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	for _, id := range ids {
		t, err := s.lookTask(ctx, out, id)
		if err != nil {
			return nil, err
		}
		out.Tasks = append(out.Tasks, t)
	}
	ended, err := s.names(ctx, s.paths.finished())
	out.Finished = len(ended)
	return out, err
}

func (s *Session) lookTask(ctx context.Context, out *Look, id string) (LookedTask, error) {
	t := LookedTask{ID: id, States: map[uint32]SubtaskState{}}
	var spec TaskSpec
	switch err := s.look(ctx, out, s.paths.spec(id), &spec); {
	case err != nil && !errors.Is(err, zkconn.ErrNoNode):
		return t, err
	case err == nil:
		t.Spec = &spec
	}
	names, err := s.names(ctx, s.paths.states(id))
	if err != nil {
		return t, err
	}
	for _, name := range names {
		pid, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			out.Problems = append(out.Problems, fmt.Sprintf("%s/%s is not a partition's number", s.paths.states(id), name))
			continue
		}
		var st SubtaskState
		switch err := s.look(ctx, out, s.paths.state(id, uint32(pid)), &st); {
		case err != nil && !errors.Is(err, zkconn.ErrNoNode):
			return t, err
		case err == nil:
			t.States[uint32(pid)] = st
		}
	}
	return t, nil
}

// errUnreadable: a value was noted as a problem.
var errUnreadable = fmt.Errorf("unreadable: %w", zkconn.ErrNoNode)

// look reads one value. ErrNoNode when there is none that can be read.
func (s *Session) look(ctx context.Context, out *Look, at string, v any) error {
	b, _, err := s.conn.Get(ctx, at)
	if err != nil {
		return err
	}
	if err := decode(at, b, v); err != nil {
		out.Problems = append(out.Problems, err.Error())
		return errUnreadable
	}
	return nil
}

// names lists a node's children; a missing one has none.
func (s *Session) names(ctx context.Context, at string) ([]string, error) {
	names, _, err := s.conn.Children(ctx, at)
	if errors.Is(err, zkconn.ErrNoNode) {
		return nil, nil
	}
	return names, err
}

// Pids are the partitions of a task, those without a state among them.
func (t *LookedTask) Pids() []uint32 {
	all := map[uint32]bool{}
	for pid := range t.States {
		all[pid] = true
	}
	if t.Spec != nil {
		for _, pid := range t.Spec.Partitions {
			all[pid] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
