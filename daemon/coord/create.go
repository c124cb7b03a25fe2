package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"omsync/openmldb/zkconn"
)

// Create makes a task with its subtasks. The spec comes last and is the decision: a crash before it leaves something Load sweeps. ErrExists when
// there is another task of that id.
func (s *Store) Create(ctx context.Context, spec TaskSpec, states map[uint32]SubtaskState) error {
	if err := checkID(spec.ID); err != nil {
		return err
	}
	spec.Schema = Schema
	path := s.paths.spec(spec.ID)
	value, err := encode(path, spec)
	if err != nil {
		return err
	}
	writes := []write{{path: s.paths.task(spec.ID), create: true}, {path: s.paths.states(spec.ID), create: true}}
	for _, pid := range slices.Sorted(maps.Keys(states)) {
		p := s.paths.state(spec.ID, pid)
		b, err := encodeState(p, states[pid])
		if err != nil {
			return err
		}
		writes = append(writes, write{path: p, value: b, create: true})
	}
	writes = append(writes, write{path: path, value: value, create: true})
	for swept := false; ; swept = true {
		err := s.createAll(ctx, writes)
		if !errors.Is(err, ErrStale) {
			if err != nil {
				return fmt.Errorf("create task %s: %w", spec.ID, err)
			}
			return nil
		}
		there, _, getErr := s.zk.Get(ctx, path)
		switch {
		case getErr == nil && bytes.Equal(there, value):
			return nil // ours, by an identical call before; a subtask has moved on since
		case getErr == nil:
			return fmt.Errorf("create task %s: %w", spec.ID, ErrExists)
		case !errors.Is(getErr, zkconn.ErrNoNode):
			return fmt.Errorf("create task %s: %w", spec.ID, getErr)
		case swept:
			return fmt.Errorf("create task %s: %w", spec.ID, err)
		}
		// The rest of another try.
		if err := s.Remove(ctx, spec.ID); err != nil {
			return fmt.Errorf("create task %s: %w", spec.ID, err)
		}
	}
}

func (s *Store) createAll(ctx context.Context, writes []write) error {
	if err := s.zk.MkdirAll(ctx, s.paths.tasks()); err != nil {
		return err
	}
	for part := range chunks(writes, s.most) {
		if err := s.decide(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes a task's nodes away, the spec first; absent ones are fine.
func (s *Store) Remove(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	for {
		ops, err := s.removal(ctx, id)
		if err != nil {
			return fmt.Errorf("remove task %s: %w", id, err)
		}
		for len(ops) > 0 {
			n := min(len(ops), maxMultiOps)
			if err = s.multi(ctx, ops[:n]); err != nil {
				break
			}
			ops = ops[n:]
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrFenced) || !moved(err):
			return fmt.Errorf("remove task %s: %w", id, err)
		}
		// Something was gone already: a lost answer. What is left is listed anew.
	}
}

// removal lists the deletes that take a task away, none when it is gone.
func (s *Store) removal(ctx context.Context, id string) ([]zkconn.Op, error) {
	if err := s.zk.Sync(ctx, s.paths.tasks()); err != nil {
		return nil, err
	}
	parts, _, err := s.zk.Children(ctx, s.paths.task(id))
	if errors.Is(err, zkconn.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ops []zkconn.Op
	if slices.Contains(parts, "spec") {
		ops = append(ops, zkconn.DeleteOp(s.paths.spec(id), -1))
	}
	if slices.Contains(parts, "p") {
		names, _, err := s.zk.Children(ctx, s.paths.states(id))
		if err != nil && !errors.Is(err, zkconn.ErrNoNode) {
			return nil, err
		}
		for _, name := range names {
			ops = append(ops, zkconn.DeleteOp(s.paths.states(id)+"/"+name, -1))
		}
		ops = append(ops, zkconn.DeleteOp(s.paths.states(id), -1))
	}
	return append(ops, zkconn.DeleteOp(s.paths.task(id), -1)), nil
}
