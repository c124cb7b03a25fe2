package collector

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"omsync/failpoint"
	"omsync/rpc/omsyncpb"
)

// registry is the set of subtasks, one per partition, each with a directory <datadir>/<tid>-<pid>.
type registry struct {
	c *Collector

	mu      sync.Mutex
	slots   map[place]*slot
	ctx     context.Context // of subtasks; nil before run
	damaged map[place]error // records that could not be read; their links are kept until somebody owns them again
	wg      sync.WaitGroup  // of cleaners

	keeping      sync.Mutex // one call of Keep at a time
	epoch, round uint64     // of the last one
	wanted       map[place]*omsyncpb.StandbyHold
}

// slot serializes what happens to one partition's directory.
type slot struct {
	mu    sync.Mutex
	now   *subtask     // nil: no task; changed under slot.mu and registry.mu
	spare *standbyHold // only without a task; changed as now is
}

func newRegistry(c *Collector) *registry {
	return &registry{c: c, slots: map[place]*slot{}, damaged: map[place]error{}}
}

func (r *registry) dir(p place) string { return filepath.Join(r.c.o.DataDir, p.String()) }

func (r *registry) slot(p place) *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slots[p]
	if s == nil {
		s = &slot{}
		r.slots[p] = s
	}
	return s
}

// set changes a slot whose lock is held.
func (r *registry) set(sl *slot, s *subtask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sl.now = s
}

// setSpare changes a slot whose lock is held.
func (r *registry) setSpare(sl *slot, k *standbyHold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sl.spare = k
}

// all lists the subtasks by partition.
func (r *registry) all() []*subtask {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*subtask
	for _, s := range r.slots {
		if s.now != nil {
			out = append(out, s.now)
		}
	}
	slices.SortFunc(out, func(a, b *subtask) int {
		return placeOf(a.a.GetKey()).compare(placeOf(b.a.GetKey()))
	})
	return out
}

// load starts the subtasks of the data directory and sweeps what none owns.
func (r *registry) load(ctx context.Context) error {
	fsys := r.c.o.Files
	des, err := fsys.ReadDir(r.c.o.DataDir)
	if err != nil {
		return fmt.Errorf("collector_datadir: %w", err)
	}
	r.mu.Lock()
	r.ctx = ctx
	r.mu.Unlock()
	for _, de := range des {
		p, ok := parsePlace(de.Name())
		if !ok || !de.IsDir() {
			continue
		}
		dir := r.dir(p)
		st, err := readStored(fsys, dir)
		switch {
		case notExist(err):
			if err := r.loadStandby(ctx, p); err != nil {
				return err
			}
		case err != nil:
			r.c.log.Error("an assignment can not be read; its links are kept until the synctool assigns the partition again", "err", err)
			r.mu.Lock()
			r.damaged[p] = err
			r.mu.Unlock()
		default:
			if err := r.forgetStandby(dir); err != nil { // it was taken over, or was to take over
				return err
			}
			s := newSubtask(r.c, dir, st)
			sl := r.slot(p)
			sl.mu.Lock()
			r.set(sl, s)
			s.start(ctx)
			sl.mu.Unlock()
		}
	}
	return nil
}

// errNotRunning: the collector is starting or stopping.
var errNotRunning = errors.New("the collector is starting or stopping")

// staleError: an assignment of a synctool that has been replaced comes after one of its successor.
type staleError struct {
	a   *omsyncpb.Assignment
	now uint64 // epoch
}

func (e *staleError) Error() string {
	return fmt.Sprintf("%s is assigned by the synctool of epoch %d already, which leads after that of epoch %d", partitionName(e.a), e.now, e.a.GetEpoch())
}

// add stores an assignment and starts it in the place of any before it. The same token again changes nothing.
func (r *registry) add(st stored) error {
	p := placeOf(st.Assignment.GetKey())
	sl := r.slot(p)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	r.mu.Lock()
	ctx := r.ctx
	r.mu.Unlock()
	if ctx == nil || ctx.Err() != nil {
		return errNotRunning
	}
	old := sl.now
	if old != nil && old.a.GetToken() == st.Assignment.GetToken() {
		return nil
	}
	if old != nil && old.a.GetKey().GetTaskId() == st.Assignment.GetKey().GetTaskId() && old.a.GetEpoch() > st.Assignment.GetEpoch() {
		return &staleError{st.Assignment, old.a.GetEpoch()}
	}
	dir := r.dir(p)
	if err := r.c.o.Files.MkdirAll(dir); err != nil {
		return fmt.Errorf("store the assignment: %w", err)
	}
	spare := sl.spare
	if old != nil { // first: it writes the same record when it asks its tablet
		old.stop()
	} else if spare != nil {
		spare.stop()
	}
	if err := writeStored(r.c.o.Files, dir, st); err != nil {
		if old != nil { // goes on as it was
			s := newSubtask(r.c, dir, stored{old.a, old.src()})
			r.set(sl, s)
			s.start(ctx)
		} else if spare != nil {
			spare.start(ctx)
		}
		return err
	}
	if spare != nil {
		r.c.log.Info("standby hold is taken over", "table", tableName(st.Assignment), "partition", p.pid)
		r.setSpare(sl, nil)
		if err := r.forgetStandby(dir); err != nil { // the assignment counts, whatever lies beside it
			r.c.log.Warn("forget the standby hold", "err", err)
		}
	}
	s := newSubtask(r.c, dir, st)
	r.set(sl, s)
	r.mu.Lock()
	delete(r.damaged, p)
	delete(r.wanted, p)
	r.mu.Unlock()
	s.start(ctx)
	return nil
}

// has returns the assignment of a partition, nil when there is none.
func (r *registry) has(p place) *omsyncpb.Assignment {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.slots[p]; s != nil && s.now != nil {
		return s.now.a
	}
	return nil
}

// remove ends a subtask and drops its links. A key or token that is not its own is left alone; as much of the token as is shown will do.
func (r *registry) remove(k *omsyncpb.SubtaskKey, token string) error {
	p := placeOf(k)
	sl := r.slot(p)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	s := sl.now
	if s == nil || s.a.GetKey().GetTaskId() != k.GetTaskId() || token != "" && token != s.a.GetToken() && token != maskedToken(s.a.GetToken()) {
		return nil
	}
	s.stop()
	return r.clean(sl, p)
}

// clean removes the directory of a subtask that has ended: the assignment first, so that what is left of a half removed one is swept. Where the log is
// wanted for the collector that the subtask went to, the links stay.
func (r *registry) clean(sl *slot, p place) error {
	if err := failpoint.Hit("collector/clean"); err != nil {
		return err
	}
	fsys, dir := r.c.o.Files, r.dir(p)
	if kept, err := r.spareOf(sl, p); kept || err != nil {
		return err
	}
	if err := fsys.Remove(filepath.Join(dir, assignmentName)); err != nil && !notExist(err) {
		return fmt.Errorf("remove the assignment: %w", err)
	}
	r.set(sl, nil)
	if err := fsys.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the links: %w", err)
	}
	return nil
}

// gone is called by a subtask's own goroutine when the synctool does not want it any more.
func (r *registry) gone(s *subtask) {
	r.wg.Go(func() {
		p := placeOf(s.a.GetKey())
		sl := r.slot(p)
		sl.mu.Lock()
		defer sl.mu.Unlock()
		if sl.now != s {
			return
		}
		s.stop()
		if err := r.clean(sl, p); err != nil {
			r.c.log.Error("can not drop a subtask; it is swept at the next start", "err", err)
		}
	})
}

// stop ends all subtasks and keeps their links. ctx of run has ended.
func (r *registry) stop() {
	for _, s := range r.all() {
		s.stop()
	}
	r.wg.Wait()
	for _, k := range r.standbys() {
		k.stop()
	}
}

// problems says which records can not be read.
func (r *registry) problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for p, err := range r.damaged {
		out = append(out, fmt.Sprintf("assignment of %s: %v", p, err))
	}
	slices.Sort(out)
	return out
}
