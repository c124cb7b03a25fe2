package synctool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"omsync/daemon/coord"
	"omsync/failpoint"
)

// publish makes the segments of a generation's snapshot phase visible (docs/design.md §5.1 step 4): one decision, then idempotent renames
// 1..n, then a note that they are done. It may be begun again anywhere, by any leader.
func (c *committer) publish(ctx context.Context) error {
	st := c.rec.get()
	if st.PublishDone {
		return nil
	}
	if !st.Published {
		if err := c.retrying(ctx, "publish to", func() error { return c.publishable(ctx) }); err != nil {
			return err
		}
		if err := c.rec.change(ctx, c.decidePublish); err != nil {
			return err
		}
		st = c.rec.get()
	}
	if err := c.retrying(ctx, "publish to", func() error { return c.publishRenames(ctx, &st) }); err != nil {
		return err
	}
	return c.rec.change(ctx, func(st *coord.SubtaskState) error {
		st.PublishDone = true
		return nil
	})
}

// decidePublish is the decision: from here on the generation's files belong to the readers.
func (c *committer) decidePublish(st *coord.SubtaskState) error {
	switch {
	case !st.SnapshotDone:
		return fail(codeInternal, "recover", "%s: publication before the snapshot's end", c.where)
	case st.Plan == nil:
		return fail(codeInternal, "recover", "%s: publication without a hand-off plan", c.where)
	case st.Pending != nil && c.rec.settled != st.Pending.Stage:
		return fail(codeInternal, "recover", "%s: publication before segment %d is in its place", c.where, st.Seq)
	}
	// The pending segment is in its place, from where publication takes it away: a leader that still saw it pending would miss it.
	st.Pending = nil
	st.Published, st.PublishSeq, st.PublishDone = true, st.Seq, false
	return nil
}

// publishable checks that every final name of the generation is free before its first rename.
func (c *committer) publishable(ctx context.Context) error {
	if err := failpoint.Hit("synctool/publish-before"); err != nil {
		return err
	}
	st := c.rec.get()
	for seq := uint64(1); seq <= st.Seq; seq++ {
		final := c.names.final(st.Generation, seq)
		switch _, err := c.files.Stat(ctx, final); {
		case err == nil:
			return c.foreign(final)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

func (c *committer) publishRenames(ctx context.Context, st *coord.SubtaskState) error {
	if err := failpoint.Hit("synctool/publish-after"); err != nil {
		return err
	}
	for seq := uint64(1); seq <= st.PublishSeq; seq++ {
		if err := failpoint.Hit("synctool/publish-rename"); err != nil {
			return err
		}
		from, to := c.names.unpublished(st.Generation, seq), c.names.final(st.Generation, seq)
		err := move(ctx, c.files, from, to, func(string, int64) error { return nil }, func() error {
			return fail(codeDestMissing, hintMissing, "%s: neither %s nor %s is there, a committed segment of the snapshot is missing", c.where, from, to)
		})
		if err := c.accept(err); err != nil {
			return fmt.Errorf("publish segment %d: %w", seq, err)
		}
	}
	return failpoint.Hit("synctool/publish-done")
}
