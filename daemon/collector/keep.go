package collector

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	"omsync/rpc/omsyncpb"
)

// staleRound: a call of Keep that another one has overtaken. Taken for the latest it would release what is wanted by now.
type staleRound struct{ epoch, round uint64 }

func (e *staleRound) Error() string {
	return fmt.Sprintf("round %d of epoch %d was answered already", e.round, e.epoch)
}

// keep makes the standby holds what q says.
func (r *registry) keep(q *omsyncpb.KeepRequest) error {
	r.keeping.Lock()
	defer r.keeping.Unlock()
	wanted := make(map[place]*omsyncpb.StandbyHold, len(q.GetHolds()))
	for _, h := range q.GetHolds() {
		wanted[placeOf(h.GetKey())] = proto.Clone(h).(*omsyncpb.StandbyHold)
	}
	r.mu.Lock()
	ctx := r.ctx
	stale := q.GetEpoch() < r.epoch || q.GetEpoch() == r.epoch && q.GetRound() <= r.round
	e := &staleRound{r.epoch, r.round}
	if ctx != nil && ctx.Err() == nil && !stale {
		r.epoch, r.round, r.wanted = q.GetEpoch(), q.GetRound(), wanted
	}
	r.mu.Unlock()
	switch {
	case ctx == nil || ctx.Err() != nil:
		return errNotRunning
	case stale:
		return e
	}
	for _, h := range q.GetHolds() {
		if err := r.want(ctx, placeOf(h.GetKey())); err != nil {
			return err
		}
	}
	for _, k := range r.standbys() {
		if err := r.release(k); err != nil {
			return err
		}
	}
	return nil
}

// want begins or updates the standby hold of a partition, unless there is a subtask: that holds the same log, and if it goes its links stay for this.
func (r *registry) want(ctx context.Context, p place) error {
	sl := r.slot(p)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	h := r.wants(p)
	switch {
	case h == nil || sl.now != nil: // taken over meanwhile
		return nil
	case sl.spare != nil:
		return sl.spare.update(h)
	}
	return r.begin(ctx, sl, p, h)
}

// begin makes a standby hold on what links there are. An assignment that could not be read has an owner again.
func (r *registry) begin(ctx context.Context, sl *slot, p place, h *omsyncpb.StandbyHold) error {
	fsys, dir := r.c.o.Files, r.dir(p)
	if err := fsys.MkdirAll(dir); err != nil {
		return fmt.Errorf("store the standby hold: %w", err)
	}
	if err := writeStandby(fsys, dir, h, ""); err != nil {
		return err
	}
	if err := fsys.Remove(filepath.Join(dir, assignmentName)); err != nil && !notExist(err) {
		return fmt.Errorf("remove the assignment: %w", err)
	}
	r.mu.Lock()
	delete(r.damaged, p)
	r.mu.Unlock()
	k := newStandbyHold(r.c, dir, h, "")
	r.setSpare(sl, k)
	k.start(ctx)
	k.log().Info("standby hold begins")
	return nil
}

// spareOf makes a standby hold of the links of a subtask that has ended, if it is wanted.
func (r *registry) spareOf(sl *slot, p place) (kept bool, err error) {
	r.mu.Lock()
	ctx, h := r.ctx, r.wanted[p]
	r.mu.Unlock()
	if h == nil {
		return false, nil
	}
	if err := newHold(&r.c.o, r.dir(p)).dropSnapshot(); err != nil {
		return false, err
	}
	if err := r.begin(ctx, sl, p, h); err != nil {
		return false, err
	}
	r.set(sl, nil)
	return true, nil
}

// wants is what the last call of Keep says of a partition, nil for nothing.
func (r *registry) wants(p place) *omsyncpb.StandbyHold {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wanted[p]
}

// release drops a standby hold that is not wanted.
func (r *registry) release(k *standbyHold) error {
	p := k.place()
	sl := r.slot(p)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.spare != k || r.wants(p) != nil {
		return nil
	}
	k.stop()
	r.setSpare(sl, nil)
	k.log().Info("standby hold is released")
	if err := r.forgetStandby(k.dir); err != nil { // first: the rest is swept at the next start
		return err
	}
	if err := r.c.o.Files.RemoveAll(k.dir); err != nil {
		return fmt.Errorf("remove the links: %w", err)
	}
	return nil
}

// forgetStandby removes the record.
func (r *registry) forgetStandby(dir string) error {
	if err := r.c.o.Files.Remove(filepath.Join(dir, standbyName)); err != nil && !notExist(err) {
		return fmt.Errorf("remove the standby hold's record: %w", err)
	}
	return nil
}

// loadStandby goes on with the standby hold of a directory without an assignment. One without either is half removed, or was never made.
func (r *registry) loadStandby(ctx context.Context, p place) error {
	fsys, dir := r.c.o.Files, r.dir(p)
	h, logs, err := readStandby(fsys, dir)
	if notExist(err) {
		r.c.log.Info("links without a task are removed", "dir", dir)
		if err := fsys.RemoveAll(dir); err != nil {
			return fmt.Errorf("sweep collector_datadir: %w", err)
		}
		return nil
	}
	if err != nil || placeOf(h.GetKey()) != p { // the links stay until the synctool says whether they are wanted
		r.c.log.Error("a standby hold can not be read; its links are kept until the synctool tells of it", "dir", dir, "err", err)
		h, logs = &omsyncpb.StandbyHold{Key: &omsyncpb.SubtaskKey{Tid: p.tid, Pid: p.pid}}, ""
	}
	sl := r.slot(p)
	sl.mu.Lock()
	defer sl.mu.Unlock()
	k := newStandbyHold(r.c, dir, h, logs)
	r.setSpare(sl, k)
	k.start(ctx)
	return nil
}

// standbys lists the standby holds by partition.
func (r *registry) standbys() []*standbyHold {
	r.mu.Lock()
	var out []*standbyHold
	for _, s := range r.slots {
		if s.spare != nil {
			out = append(out, s.spare)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(out, func(a, b *standbyHold) int { return a.place().compare(b.place()) })
	return out
}
