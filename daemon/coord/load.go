package coord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"omsync/openmldb/zkconn"
)

// readers is how many nodes are read at a time: the connection carries them all, an answer takes a fraction of a millisecond.
const readers = 16

// Load reads every task after a sync. A task without a spec is a create that was not finished, or a remove: it is swept.
func (s *Store) Load(ctx context.Context) ([]Task, error) {
	if err := s.zk.Sync(ctx, s.paths.tasks()); err != nil {
		return nil, fmt.Errorf("load tasks: %w", err)
	}
	ids, err := s.children(ctx, s.paths.tasks())
	if err != nil {
		return nil, fmt.Errorf("load tasks: %w", err)
	}
	slices.Sort(ids)
	tasks := make([]*Task, len(ids))
	read, rctx := errgroup.WithContext(ctx)
	read.SetLimit(readers)
	for i, id := range ids {
		read.Go(func() error {
			b, st, err := s.zk.Get(rctx, s.paths.spec(id))
			if errors.Is(err, zkconn.ErrNoNode) {
				return nil
			}
			if err != nil {
				return err
			}
			t := &Task{SpecVersion: st.Version, States: map[uint32]Versioned{}}
			if err := decode(s.paths.spec(id), b, &t.Spec); err != nil {
				return err
			}
			tasks[i] = t
			return nil
		})
	}
	if err := read.Wait(); err != nil {
		return nil, fmt.Errorf("load tasks: %w", err)
	}
	var out []Task
	for i, t := range tasks {
		if t == nil {
			s.log.Info("sweep a task that was not created or removed to the end", "task", ids[i])
			if err := s.Remove(ctx, ids[i]); err != nil {
				return nil, fmt.Errorf("load tasks: %w", err)
			}
			continue
		}
		if err := s.loadStates(ctx, ids[i], t); err != nil {
			return nil, fmt.Errorf("load task %s: %w", ids[i], err)
		}
		out = append(out, *t)
	}
	return out, nil
}

func (s *Store) loadStates(ctx context.Context, id string, t *Task) error {
	dir := s.paths.states(id)
	names, _, err := s.zk.Children(ctx, dir)
	if err != nil {
		return err
	}
	states := make([]Versioned, len(names))
	pids := make([]uint32, len(names))
	read, rctx := errgroup.WithContext(ctx)
	read.SetLimit(readers)
	for i, name := range names {
		read.Go(func() error {
			pid, err := strconv.ParseUint(name, 10, 32)
			if err != nil {
				return fmt.Errorf("%s/%s is not a partition's number: remove that node", dir, name)
			}
			path := s.paths.state(id, uint32(pid))
			b, st, err := s.zk.Get(rctx, path)
			if err != nil {
				return err
			}
			pids[i], states[i].Version = uint32(pid), st.Version
			return decode(path, b, &states[i].State)
		})
	}
	if err := read.Wait(); err != nil {
		return err
	}
	for i, pid := range pids {
		t.States[pid] = states[i]
	}
	for _, pid := range t.Spec.Partitions { // without it the task would end in SUCCESS with a partition missing
		if _, ok := t.States[pid]; !ok {
			return fmt.Errorf("%s is gone: put it back from a backup of ZooKeeper, or remove %s to give the task up", s.paths.state(id, pid), s.paths.task(id))
		}
	}
	return nil
}
