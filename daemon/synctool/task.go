package synctool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/openmldb/pb/nspb"
)

// Modes of a task (docs/design.md §3).
const (
	modeFull           = 0
	modeIncremental    = 1
	modeFullContinuous = 2
)

// task is one table task in one term.
type task struct {
	term        *term
	spec        coord.TaskSpec
	specVersion int32
	subs        map[uint32]*subtask
	suffix      string // of its files
	shelf       shelf

	opening sync.Mutex // one opener at a time
	files   dest.Dest
	owned   bool // owner.json was seen to be ours

	mu     sync.Mutex
	table  *nspb.TableInfo // rowsOf was made of it
	rowsOf Rows
	done   map[uint32]bool // subtasks that ended and have nothing open
	going  bool            // deletion or the end of a mode-0 task is under way
	adopt  bool            // the operator lets us write a lost owner.json anew
}

func (t *task) name() string { return t.spec.DB + "." + t.spec.Table }

// rows returns the table's schema versions as the catalog knows them now; a table that is gone keeps its last ones.
func (t *task) rows() (Rows, error) {
	info, ok := t.term.world.TableByID(t.spec.TID)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !ok || info == t.table {
		if t.rowsOf == nil {
			return nil, fmt.Errorf("table %s (tid %d) is not in ZooKeeper", t.name(), t.spec.TID)
		}
		return t.rowsOf, nil
	}
	r, err := t.term.o.Rows(info, &t.spec)
	if err != nil {
		return nil, err
	}
	t.table, t.rowsOf = info, r
	return r, nil
}

// prepare opens the destination once and checks that it is ours.
func (t *task) prepare(ctx context.Context) (Files, error) {
	t.opening.Lock()
	defer t.opening.Unlock()
	if t.files == nil {
		d, err := t.term.o.OpenDest(ctx, t.spec.Dest)
		if err != nil {
			return nil, err
		}
		t.files = d
		_, t.shelf.local = d.Local()
	}
	if !t.owned {
		t.mu.Lock()
		adopt := t.adopt
		t.mu.Unlock()
		if err := checkOwner(ctx, t.files, t.ownership(), t.spec.Dest); err != nil {
			if !adopt || !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if err := writeOwner(ctx, t.files, t.ownership()); err != nil {
				return nil, err
			}
		}
		t.owned = true
	}
	return t.files, nil
}

// ours returns the destination if it is open and known to be this task's, else nil.
func (t *task) ours() Files {
	t.opening.Lock()
	defer t.opening.Unlock()
	if t.files == nil || !t.owned {
		return nil
	}
	return t.files
}

func (t *task) ownership() owner { return owner{Cluster: t.term.o.Cluster, Task: t.spec.ID} }

func (t *task) close() error {
	t.opening.Lock()
	defer t.opening.Unlock()
	if t.files == nil {
		return nil
	}
	err := t.files.Close()
	t.files = nil
	return err
}

// states are the subtasks' present states.
func (t *task) states() []coord.SubtaskState {
	out := make([]coord.SubtaskState, 0, len(t.subs))
	for _, s := range t.subs {
		out = append(out, s.rec.get())
	}
	return out
}

// prove makes a decision that changes nothing: it succeeds in the leading epoch only.
func (t *task) prove(ctx context.Context) error {
	for _, s := range t.subs {
		return s.rec.change(ctx, func(*coord.SubtaskState) error { return nil })
	}
	return nil
}

// ended notes that a subtask has nothing more to do. When all have, the task ends.
func (t *task) ended(s *subtask) {
	t.mu.Lock()
	t.done[s.pid] = true
	all := len(t.done) == len(t.subs) && !t.going
	if all {
		t.going = true
	}
	t.mu.Unlock()
	if all {
		t.term.wg.Go(func() { t.term.finish(t) })
	}
}

// claim marks the task as going; false when it is already.
func (t *task) claim() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.going {
		return false
	}
	t.going = true
	return true
}

// suffixOf is the file suffix of a format.
func suffixOf(format string) string { return "." + strings.ToLower(format) }

func newTask(t *term, c coord.Task) *task {
	out := &task{
		term: t, spec: c.Spec, specVersion: c.SpecVersion, subs: map[uint32]*subtask{}, suffix: suffixOf(c.Spec.Format),
		shelf: shelf{dir: t.o.SpoolPath, used: t.spool}, done: map[uint32]bool{},
	}
	for pid, v := range c.States {
		s := newSubtask(t, out, pid, v)
		s.names.suffix = out.suffix
		out.subs[pid] = s
	}
	return out
}
