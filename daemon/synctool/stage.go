package synctool

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"time"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/failpoint"
)

// stageSegment is step 2: the segment's files under stage names, closed, their lengths checked, their final names free.
func (c *committer) stageSegment(ctx context.Context, seg *sealed) (out staged, err error) {
	st := c.rec.get()
	if seg.rows > 0 {
		if out.rows, err = c.stageFile(ctx, &seg.content, c.names.suffix, c.finalName(&st, st.Seq+1)); err != nil {
			c.discard(ctx, seg.deletes.stage)
			return staged{}, err
		}
	}
	if seg.deletes.rows > 0 {
		if out.deletes, err = c.stageFile(ctx, &seg.deletes, dest.DeletesSuffix, c.names.deletes(st.Generation, st.Seq+1)); err != nil {
			c.discard(ctx, out.rows)
			return staged{}, err
		}
	}
	return out, nil
}

// stageFile brings one file under a stage name. After any write error the whole of it is written again from the spool under a new name.
func (c *committer) stageFile(ctx context.Context, f *content, suffix, final string) (string, error) {
	if f.stage != "" {
		err := c.retrying(ctx, "check "+f.stage+" in", func() error { return c.ready(ctx, f, f.stage, final) })
		if err != nil {
			c.discard(ctx, f.stage)
		}
		return f.stage, err
	}
	var stage string
	return stage, c.retrying(ctx, "write", func() error {
		name := c.names.stageAs(suffix)
		err := c.copy(ctx, f, name)
		if err == nil {
			err = c.ready(ctx, f, name, final)
		}
		if err != nil {
			c.discard(ctx, name)
			return err
		}
		stage = name
		return nil
	})
}

// copy writes the spool to a new stage file and closes it.
func (c *committer) copy(ctx context.Context, f *content, name string) (err error) {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	r, err := f.spool.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := failpoint.Hit("synctool/create"); err != nil {
		return err
	}
	w, err := c.files.Create(ctx, name)
	if err != nil {
		return err
	}
	open := true
	defer func() {
		if open {
			if end := w.Close(); !errors.Is(err, end) { // it may say the same again
				err = errors.Join(err, end)
			}
		}
	}()
	buf := buffers.get()
	defer buffers.put(buf)
	chunk := (*buf)[:cap(*buf)]
	sum, length := uint32(0), int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, rerr := r.Read(chunk)
		if n > 0 {
			if err := failpoint.Hit("synctool/write"); err != nil {
				return err
			}
			if _, err := w.Write(chunk[:n]); err != nil {
				return err
			}
			sum, length = crc32.Update(sum, castagnoli, chunk[:n]), length+int64(n)
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return rerr
		}
	}
	if length != f.length || sum != f.crc {
		return fmt.Errorf("the spool has %d bytes with checksum %08x, %d with %08x were written to it", length, sum, f.length, f.crc)
	}
	if err := w.Sync(); err != nil {
		return err
	}
	if err := failpoint.Hit("synctool/close"); err != nil {
		return err
	}
	open = false
	return w.Close()
}

// ready checks that the closed stage file is whole and that its final name is free: a rename on HDFS would overwrite.
func (c *committer) ready(ctx context.Context, f *content, stage, final string) error {
	if err := failpoint.Hit("synctool/stat"); err != nil {
		return err
	}
	info, err := c.files.Stat(ctx, stage)
	if errors.Is(err, fs.ErrNotExist) && f.stage != "" {
		return &lostStage{stage}
	}
	if err != nil {
		return err
	}
	if info.Size != f.length {
		if f.stage != "" {
			return &lostStage{stage}
		}
		return fmt.Errorf("%s has %d bytes after %d were written", stage, info.Size, f.length)
	}
	switch _, err := c.files.Stat(ctx, final); {
	case err == nil:
		return c.foreign(final)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// lostStage says that a segment's only copy is gone or cut: its rows must be asked for again.
type lostStage struct{ name string }

func (l *lostStage) Error() string { return l.name + " is gone or cut short" }

func (c *committer) foreign(final string) error {
	return fail(codeDestForeign, "somebody else writes there: move the file away, then recover", "%s already has %s, which is not decided yet", c.where, final)
}

func (c *committer) finalName(st *coord.SubtaskState, seq uint64) string {
	if st.Published {
		return c.names.final(st.Generation, seq)
	}
	return c.names.unpublished(st.Generation, seq)
}

// discard removes a stage file that no decision names. A failure leaves it to the sweep.
func (c *committer) discard(ctx context.Context, stage string) {
	if stage == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = c.files.Remove(ctx, stage) // swept by the next leader otherwise
}

func (c *committer) acquire(ctx context.Context) error {
	if c.slots == nil {
		return nil
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *committer) release() {
	if c.slots != nil {
		<-c.slots
	}
}
