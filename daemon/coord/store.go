package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"omsync/openmldb/zkconn"
)

// Versioned is a state with the version of its node.
type Versioned struct {
	State   SubtaskState
	Version int32
}

// Task is a task as it lies in ZooKeeper.
type Task struct {
	Spec        TaskSpec
	SpecVersion int32
	States      map[uint32]Versioned
}

// Change is one subtask's new state at the version it was read at.
type Change struct {
	ID      string
	PID     uint32
	Version int32
	State   SubtaskState
}

// Bounds of one multi, well below what ZooKeeper takes (zkconn.MaxRequest). More is written in several.
const (
	maxMultiBytes = 900_000
	maxMultiOps   = 1000
)

// Store reads and decides in one epoch; Lead.Begin makes it. It may be used from several goroutines, but one subtask has one writer at a time.
type Store struct {
	zk      ZK
	paths   paths
	epoch   uint64
	version int32 // of the epoch node while the epoch stands
	log     *slog.Logger
	now     func() time.Time
	rest    time.Duration // between two tries of the same
	most    int           // bytes of one multi
	records sync.Mutex    // the records of ended tasks are changed by one at a time
}

// Epoch is the number of this leadership.
func (s *Store) Epoch() uint64 { return s.epoch }

// Update sets one subtask's state at version. It answers definitely, resending as long as ctx lets it: the new version, ErrFenced or ErrStale.
func (s *Store) Update(ctx context.Context, id string, pid uint32, version int32, st SubtaskState) (int32, error) {
	versions, err := s.UpdateMany(ctx, []Change{{ID: id, PID: pid, Version: version, State: st}})
	if err != nil {
		return 0, err
	}
	return versions[0], nil
}

// UpdateMany is Update of several subtasks, in one decision as far as they fit into one, and returns their new versions in order. After an error
// an earlier part may be decided: the identical call finds it so and goes on.
func (s *Store) UpdateMany(ctx context.Context, changes []Change) ([]int32, error) {
	sets := make([]write, 0, len(changes))
	for _, c := range changes {
		w, err := s.stateWrite(c)
		if err != nil {
			return nil, err
		}
		sets = append(sets, w)
	}
	for part := range chunks(sets, s.most) {
		if err := s.decide(ctx, part); err != nil {
			return nil, err
		}
	}
	out := make([]int32, len(changes))
	for i, c := range changes {
		out[i] = c.Version + 1
	}
	return out, nil
}

// SetSpec replaces a task's spec at version and returns the new one.
func (s *Store) SetSpec(ctx context.Context, spec TaskSpec, version int32) (int32, error) {
	if err := checkID(spec.ID); err != nil {
		return 0, err
	}
	spec.Schema = Schema
	path := s.paths.spec(spec.ID)
	b, err := encode(path, spec)
	if err != nil {
		return 0, err
	}
	if err := s.decide(ctx, []write{{path: path, value: b, version: version}}); err != nil {
		return 0, err
	}
	return version + 1, nil
}

func (s *Store) stateWrite(c Change) (write, error) {
	if err := checkID(c.ID); err != nil {
		return write{}, err
	}
	path := s.paths.state(c.ID, c.PID)
	b, err := encodeState(path, c.State)
	return write{path: path, value: b, version: c.Version}, err
}

// maxText bounds the texts for people in a state, which may carry any error's words.
const maxText = 4 << 10

func encodeState(path string, st SubtaskState) ([]byte, error) {
	st.Schema = Schema
	st.Reason, st.Hint = clip(st.Reason), clip(st.Hint)
	return encode(path, st)
}

func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	const mark = " …"
	return text[:maxText-len(mark)] + mark
}

// write is one node to be set at a version, or to be created.
type write struct {
	path    string
	value   []byte
	version int32
	create  bool
}

func (w write) op() zkconn.Op {
	if w.create {
		return zkconn.CreateOp(w.path, w.value, zkconn.Persistent)
	}
	return zkconn.SetOp(w.path, w.value, w.version)
}

// after is the version the node has when the write was applied and nothing since.
func (w write) after() int32 {
	if w.create {
		return 0
	}
	return w.version + 1
}

// chunks splits writes so that each part fits into one multi of most bytes.
func chunks(writes []write, most int) func(yield func([]write) bool) {
	return func(yield func([]write) bool) {
		for len(writes) > 0 {
			n, size := 0, 0
			for n < len(writes) && n < maxMultiOps {
				size += writes[n].op().Size()
				if n > 0 && size > most {
					break
				}
				n++
			}
			if !yield(writes[:n]) {
				return
			}
			writes = writes[n:]
		}
	}
}

// decide does writes in one multi under the epoch. When it returns nil they were applied, by this call or by an identical one before it.
func (s *Store) decide(ctx context.Context, writes []write) error {
	ops := make([]zkconn.Op, len(writes))
	for i, w := range writes {
		ops[i] = w.op()
	}
	err := s.multi(ctx, ops)
	switch {
	case err == nil || errors.Is(err, ErrFenced):
		return err
	case !moved(err):
		return err
	}
	// A write of ours that got through without an answer looks like a stranger's. Only a look tells.
	for {
		ours, lookErr := s.applied(ctx, writes)
		if lookErr == nil && ours {
			return nil
		}
		if lookErr == nil {
			lookErr = s.stands(ctx)
		}
		switch {
		case lookErr == nil:
			return fmt.Errorf("%w: %w", ErrStale, err)
		case errors.Is(lookErr, ErrFenced):
			return lookErr
		case !passing(lookErr) || ctx.Err() != nil:
			return lookErr
		}
		pause(ctx, s.rest)
	}
}

// resendPause is between two tries of the same: an answer is missed when a connection breaks, and a new one takes some milliseconds.
const resendPause = 50 * time.Millisecond

// passing tells errors of the connection, after which the same is tried again.
func passing(err error) bool {
	return zkconn.Unknown(err) || errors.Is(err, zkconn.ErrNotConnected)
}

// moved tells that a node was not as the multi demands.
func moved(err error) bool {
	return errors.Is(err, zkconn.ErrBadVersion) || errors.Is(err, zkconn.ErrNoNode) || errors.Is(err, zkconn.ErrNodeExists) || errors.Is(err, zkconn.ErrNotEmpty)
}

// multi does operations under the epoch and sends the identical multi again until it is answered or ctx ends. ErrFenced when the epoch's check
// is what failed.
func (s *Store) multi(ctx context.Context, ops []zkconn.Op) error {
	ops = append([]zkconn.Op{zkconn.CheckOp(s.paths.epoch(), s.version)}, ops...)
	for {
		_, err := s.zk.Multi(ctx, ops...)
		switch {
		case err == nil:
			return nil
		case passing(err) && ctx.Err() == nil:
			pause(ctx, s.rest)
		case passing(err):
			return fmt.Errorf("decide in epoch %d: the answer is open: %w", s.epoch, err)
		case moved(err) && zkconn.FailedOp(err) == 0:
			return fmt.Errorf("%w: epoch %d is over", ErrFenced, s.epoch)
		default:
			return fmt.Errorf("decide in epoch %d: %w", s.epoch, err)
		}
	}
}

// applied tells whether every node is exactly what the writes make of it.
func (s *Store) applied(ctx context.Context, writes []write) (bool, error) {
	if err := s.zk.Sync(ctx, s.paths.tasks()); err != nil {
		return false, err
	}
	for _, w := range writes {
		b, st, err := s.zk.Get(ctx, w.path)
		switch {
		case errors.Is(err, zkconn.ErrNoNode):
			return false, nil
		case err != nil:
			return false, err
		case st.Version != w.after() || !bytes.Equal(b, w.value):
			return false, nil
		}
	}
	return true, nil
}

// stands tells whether this epoch still is the last: nil, ErrFenced, or why that is not known.
func (s *Store) stands(ctx context.Context) error {
	_, st, err := s.zk.Get(ctx, s.paths.epoch())
	switch {
	case errors.Is(err, zkconn.ErrNoNode) || err == nil && st.Version != s.version:
		return fmt.Errorf("%w: epoch %d is over", ErrFenced, s.epoch)
	case err != nil:
		return err
	}
	return nil
}
