package synctool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"google.golang.org/grpc/codes"
)

// remove deletes a task: marked first, so that whoever leads goes on with it; then its writers stop, its collectors are told, its nodes go.
// Data files stay where they are.
func (t *term) remove(ctx context.Context, db, table string) (*task, error) {
	if !t.enter() {
		return nil, errTermOver
	}
	defer t.wg.Done()
	k := t.find(db, table)
	if k == nil {
		return nil, &refusal{codes.NotFound, "task-unknown", fmt.Sprintf("there is no task for %s.%s", db, table), ""}
	}
	if !k.claim() {
		return nil, &refusal{codes.FailedPrecondition, "task-ending", fmt.Sprintf("the task of %s.%s is ending already", db, table), "wait a moment"}
	}
	spec := k.spec
	spec.Deleting = true
	v, err := t.store.SetSpec(t.ctx, spec, k.specVersion)
	if err != nil {
		k.mu.Lock()
		k.going = false
		k.mu.Unlock()
		if lostLead(err) {
			t.failed(err)
		}
		return nil, fmt.Errorf("mark the task of %s.%s for deletion: %w", db, table, err)
	}
	t.mu.Lock()
	k.spec.Deleting, k.specVersion = true, v
	t.mu.Unlock()
	if err := t.tearDown(ctx, k); err != nil {
		t.log.Warn("deletion goes on in the background", "table", k.name(), "err", err)
		t.wg.Go(func() { t.retryRemove(k) })
	}
	return k, nil
}

// retryRemove goes on with a deletion until it is done or the term ends.
func (t *term) retryRemove(k *task) {
	again := backoff{first: t.o.firstPause, most: time.Minute}
	for t.ctx.Err() == nil {
		err := t.tearDown(t.ctx, k)
		if err == nil {
			return
		}
		if lostLead(err) {
			t.failed(err)
			return
		}
		t.log.Warn("delete task", "table", k.name(), "err", err)
		if again.wait(t.ctx) != nil {
			return
		}
	}
}

// tearDown stops a task's writers, tells its collectors, removes its nodes and what of it is not data at the destination.
func (t *term) tearDown(ctx context.Context, k *task) error {
	for _, s := range k.subs {
		if s.stop != nil {
			s.stop()
		}
	}
	for _, s := range k.subs {
		if s.stop != nil {
			<-s.ended
		}
	}
	for _, s := range k.subs {
		s.rec.retire()
	}
	if err := t.store.Remove(ctx, k.spec.ID); err != nil {
		return fmt.Errorf("remove the task's nodes: %w", err)
	}
	if err := t.mirror.retire(k, t.o.Wall().UnixMilli()); err != nil {
		t.log.Warn("retire the progress mirror", "table", k.name(), "err", err)
	}
	t.mu.Lock()
	delete(t.tasks, k.spec.ID)
	t.mu.Unlock()
	t.touch()
	t.wg.Go(func() { t.farewell(k) })
	t.log.Info("task is deleted", "table", k.name(), "task", k.spec.ID)
	return nil
}

// farewell tells the collectors and tidies the destination; what fails is left: a collector is told again when it attaches, and files below
// _omsync are no data.
func (t *term) farewell(k *task) {
	ctx, cancel := context.WithTimeout(t.ctx, time.Minute)
	defer cancel()
	var errs []error
	for _, s := range k.subs {
		errs = append(errs, s.release(ctx))
	}
	if files, err := k.prepare(ctx); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, t.tidy(ctx, k, files))
	}
	errs = append(errs, k.close())
	if err := errors.Join(errs...); err != nil && t.ctx.Err() == nil {
		t.log.Warn("after the end of a task", "table", k.name(), "err", err)
	}
}

// tidy removes what a task that is over has below _omsync: it shares the destination with nobody.
func (t *term) tidy(ctx context.Context, k *task, files Files) error {
	var errs []error
	for _, st := range k.states() {
		errs = append(errs, files.RemoveAll(ctx, generationDir(st.Generation)))
	}
	entries, err := files.List(ctx, stageDir)
	errs = append(errs, err)
	for _, i := range entries {
		if _, _, ok := stageOf(t.o.Cluster, k.spec.ID, baseName(i.Name)); ok {
			errs = append(errs, files.Remove(ctx, stageDir+"/"+baseName(i.Name)))
		}
	}
	entries, err = files.List(ctx, stateDir)
	errs = append(errs, err)
	for _, i := range entries {
		if _, ok := stateOf(k.spec.ID, baseName(i.Name)); ok {
			errs = append(errs, files.Remove(ctx, stateDir+"/"+baseName(i.Name)))
		}
	}
	errs = append(errs, t.disown(ctx, k, files))
	return errors.Join(errs...)
}

// disown removes owner.json, unless a new task has taken the destination since: then it is that one's.
func (t *term) disown(ctx context.Context, k *task, files Files) error {
	t.creating.Lock() // nobody may write one between the look and the removal
	defer t.creating.Unlock()
	o, err := readOwner(ctx, files)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case o != k.ownership():
		return nil
	}
	return files.Remove(ctx, ownerFile)
}

// reply makes an error for the wire.
func (s *Synctool) reply(err error) error {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.asError()
	case errors.Is(err, errTermOver):
		return s.notLeading()
	}
	return (&refusal{codes.Unavailable, codeInternal, err.Error(), "try again"}).asError()
}
