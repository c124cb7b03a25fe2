package synctool

import (
	"context"
	"errors"
	"fmt"

	"omsync/daemon/coord"
	"omsync/failpoint"
)

// sweep removes what former leaders and discarded generations of one task left below _omsync: stage files of this cluster and task, of an
// older epoch, that no pending names; directories of generations and plans that no subtask is at.
//
// The order matters. First the directories are listed, then prove makes a decision in this epoch, then states is asked: what was in the list
// is then known to be no younger leader's, and a generation that is not current any more never will be. Without the proof a leader that
// lingers would take a younger leader's generation for a discarded one (TestModelRandom finds that). Errors are joined; the next sweep goes
// on.
func sweep(ctx context.Context, f Files, cluster, task string, epoch uint64, prove func(context.Context) error, states func() []coord.SubtaskState) (removed int, err error) {
	stages, err := f.List(ctx, stageDir)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	own, err := f.List(ctx, ownDir)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	plans, err := f.List(ctx, stateDir)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	if err := prove(ctx); err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	named, generations := map[string]bool{}, map[uint64]bool{}
	for _, st := range states() {
		for p := st.Pending; p != nil; p = p.Next {
			named[p.Stage] = true
		}
		if st.Plan != nil {
			named[st.Plan.File] = true
		}
		if isKeyRef(st.Point.Key) {
			if _, name, err := splitKeyRef(st.Point.Key); err == nil {
				named[name] = true
			}
		}
		if !st.PublishDone {
			generations[st.Generation] = true
		}
	}
	var errs []error
	done := func(err error) {
		if err != nil {
			errs = append(errs, err)
		} else {
			removed++
		}
	}
	for _, i := range stages {
		name := stageDir + "/" + baseName(i.Name)
		if _, e, ok := stageOf(cluster, task, baseName(i.Name)); !ok || e >= epoch || named[name] {
			continue
		}
		if err := failpoint.Hit("synctool/sweep"); err != nil {
			return removed, err
		}
		done(f.Remove(ctx, name))
	}
	for _, i := range own {
		if g, ok := generationOf(baseName(i.Name)); ok && !generations[g] {
			done(f.RemoveAll(ctx, ownDir+"/"+baseName(i.Name)))
		}
	}
	for _, i := range plans {
		name := stateDir + "/" + baseName(i.Name)
		if e, ok := stateOf(task, baseName(i.Name)); ok && e < epoch && !named[name] {
			done(f.Remove(ctx, name))
		}
	}
	if len(errs) > 0 {
		return removed, fmt.Errorf("sweep: %w", errors.Join(errs...))
	}
	return removed, nil
}
