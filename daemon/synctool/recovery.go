package synctool

import (
	"context"
	"errors"

	"omsync/failpoint"
)

// recover finishes what the leader before decided for one subtask, whatever its status: first the pending segment, then a publication that
// was decided and not done (docs/design.md §5.3). Until it succeeds nothing else may be decided. It lists no directories.
func (c *committer) recover(ctx context.Context) error {
	st := c.rec.get()
	if st.Pending != nil {
		err := c.retrying(ctx, "recover", func() error {
			if err := failpoint.Hit("synctool/recover"); err != nil {
				return err
			}
			return c.settleAll(ctx, st.Pending)
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
	}
	if st.Published && !st.PublishDone {
		return c.publish(ctx)
	}
	return nil
}

// accept lets a committed file be missing when the operator said so.
func (c *committer) accept(err error) error {
	var t *trouble
	if c.tolerate && errors.As(err, &t) && t.fault.GetCode() == codeDestMissing {
		return nil
	}
	return err
}
