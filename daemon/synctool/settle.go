package synctool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"omsync/daemon/coord"
	"omsync/failpoint"
)

// settle is step 4 and the end of step 5: the decided segment's files go under their final names, then pending may be cleared.
func (c *committer) settle(ctx context.Context) error {
	st := c.rec.get()
	if st.Pending == nil {
		return nil
	}
	err := c.retrying(ctx, "rename", func() error {
		for _, place := range []string{"synctool/decide-after", "synctool/rename-before"} {
			if err := failpoint.Hit(place); err != nil {
				return err
			}
		}
		if err := c.settleAll(ctx, st.Pending); err != nil {
			return err
		}
		return failpoint.Hit("synctool/rename-after")
	})
	if err != nil {
		return err
	}
	c.rec.mu.Lock()
	c.rec.settled = st.Pending.Stage
	c.rec.mu.Unlock()
	if c.clear != nil {
		c.clear(c.rec)
	}
	return nil
}

// settleAll brings every file of a decided segment under its final name. Each is looked at whatever became of those before it: one that an
// operator gave up must not keep back the other.
func (c *committer) settleAll(ctx context.Context, p *coord.Pending) error {
	for ; p != nil; p = p.Next {
		if err := c.accept(settle(ctx, c.files, c.where, p)); err != nil {
			return err
		}
		if p.Next == nil {
			return nil
		}
		if err := failpoint.Hit("synctool/rename-between"); err != nil {
			return err
		}
	}
	return nil
}

// settle brings one file of a decided segment under its final name. Any leader may do it, any number of times, also two at once.
func settle(ctx context.Context, f Files, where string, p *coord.Pending) error {
	return move(ctx, f, p.Stage, p.Final, func(name string, size int64) error {
		if size == p.Len {
			return nil
		}
		return fail(codeDestMissing, hintMissing, "%s: %s has %d bytes, %d were committed", where, name, size, p.Len)
	}, func() error {
		return fail(codeDestMissing, hintMissing, "%s: neither %s nor %s is there, %s are missing", where, p.Stage, p.Final, contents(p))
	})
}

// contents says what a file of a decided segment holds.
func contents(p *coord.Pending) string {
	if p.Deletes > 0 {
		return fmt.Sprintf("%d committed deletes", p.Deletes)
	}
	return fmt.Sprintf("%d committed rows", p.Rows)
}

const hintMissing = "bring the file back and recover, or recover --accept-missing to go on without it, or recover --reexport"

// move renames from to to unless that is done. check judges a file's length, missing makes the error for "neither is there".
func move(ctx context.Context, f Files, from, to string, check func(name string, size int64) error, missing func() error) error {
	info, err := f.Stat(ctx, from)
	if err == nil {
		if err := check(from, info.Size); err != nil {
			return err
		}
		switch err = f.Rename(ctx, from, to); {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrExist):
			return finishLink(ctx, f, from, to, info.Size)
		case !errors.Is(err, fs.ErrNotExist): // not there any more: another leader's rename came first
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	info, err = f.Stat(ctx, to)
	if errors.Is(err, fs.ErrNotExist) {
		return missing()
	}
	if err != nil {
		return err
	}
	return check(to, info.Size)
}

// finishLink deals with a local rename that stopped between link and unlink: both names are there. The final name was free before the
// decision, so a file of the same length there is ours.
func finishLink(ctx context.Context, f Files, from, to string, size int64) error {
	info, err := f.Stat(ctx, to)
	if err != nil {
		return err
	}
	if info.Size != size {
		return fail(codeDestForeign, "somebody else writes there: move the file away, then recover", "%s has %d bytes, %s has %d", to, info.Size, from, size)
	}
	return f.Remove(ctx, from)
}
