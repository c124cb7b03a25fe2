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

// Files is what the commit machine needs of a destination: daemon/dest.Dest, or the model's in tests. Names are relative to the task's
// destination directory.
type Files interface {
	Create(ctx context.Context, name string) (dest.Writer, error)
	Stat(ctx context.Context, name string) (dest.Info, error)
	Rename(ctx context.Context, from, to string) error
	Remove(ctx context.Context, name string) error
	RemoveAll(ctx context.Context, dir string) error
	List(ctx context.Context, dir string) ([]dest.Info, error)
	ReadFile(ctx context.Context, name string) ([]byte, error)
	WriteFile(ctx context.Context, name string, data []byte) error
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed is a closed segment: what one commit makes count.
type sealed struct {
	generation  uint64
	to          coord.Point
	mark        *coord.Mark
	delta       coord.Counters
	snapshotEnd bool
	end         bool // mode 0: the subtask is done with it

	rows   uint64 // 0: no file, only the point moves
	length int64
	crc    uint32
	stage  string // set: the rows lie in this closed stage file already, because the destination is local
	spool  spool  // else they are copied from here
	oldest int64  // wall ms of the first row's reading, 0 = none
}

// spool is a closed local file that can be read as often as needed.
type spool interface {
	Open() (io.ReadCloser, error)
	Remove() error
}

// committer makes segments of one subtask count, one at a time (docs/design.md §5.3 steps 2–5). It holds no decision of its own: everything
// a later leader needs is in the record and at the destination.
type committer struct {
	rec   *record
	files Files
	names namer
	where string // the destination, for messages

	slots chan struct{}                               // uploads at a time, over all subtasks; nil = no bound
	stall func(ctx context.Context, t *trouble) error // shows the trouble, then waits; an error ends the attempts
	clear func(*record)                               // step 5: has pending cleared, batched

	tolerate bool // recovery: committed files may be missing, the operator said so
}

// commit makes seg count. soft may end while nothing is decided: the segment is then dropped and soft's error returned. Once decided, only
// the end of hard stops it. decided is called right after the decision.
func (c *committer) commit(soft, hard context.Context, seg *sealed, decided func()) error {
	stage := ""
	if seg.rows > 0 {
		var err error
		if stage, err = c.stageSegment(soft, seg); err != nil {
			return err
		}
	}
	at, to := c.rec.get().Point, seg.to
	err := c.retrying(soft, "commit", func() (err error) {
		if to, err = c.storeKey(soft, seg.to); err != nil {
			return err
		}
		if seg.end {
			if err := failpoint.Hit("synctool/success"); err != nil {
				return err
			}
		}
		return failpoint.Hit("synctool/decide-before")
	})
	if err == nil && soft.Err() != nil {
		err = context.Cause(soft)
	}
	if err != nil {
		c.discard(hard, stage)
		return err
	}
	if err := c.decide(hard, seg, stage, to); err != nil {
		return err // the stage file stays: the decision may be open, and sweeping is the next leader's
	}
	if decided != nil {
		decided()
	}
	c.forgetKey(hard, at, to)
	return c.settle(hard)
}

// stageSegment is step 2: the segment under a stage name, closed, its length checked, its final name free. After any write error the whole
// segment is written again from the spool under a new name.
func (c *committer) stageSegment(ctx context.Context, seg *sealed) (string, error) {
	if seg.stage != "" {
		err := c.retrying(ctx, "check "+seg.stage+" in", func() error { return c.ready(ctx, seg, seg.stage) })
		if err != nil {
			c.discard(ctx, seg.stage)
		}
		return seg.stage, err
	}
	var stage string
	return stage, c.retrying(ctx, "write", func() error {
		name := c.names.stage()
		err := c.copy(ctx, seg, name)
		if err == nil {
			err = c.ready(ctx, seg, name)
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
func (c *committer) copy(ctx context.Context, seg *sealed, name string) (err error) {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	r, err := seg.spool.Open()
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
	if length != seg.length || sum != seg.crc {
		return fmt.Errorf("the spool has %d bytes with checksum %08x, %d with %08x were written to it", length, sum, seg.length, seg.crc)
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
func (c *committer) ready(ctx context.Context, seg *sealed, stage string) error {
	if err := failpoint.Hit("synctool/stat"); err != nil {
		return err
	}
	info, err := c.files.Stat(ctx, stage)
	if errors.Is(err, fs.ErrNotExist) && seg.stage != "" {
		return &lostStage{stage}
	}
	if err != nil {
		return err
	}
	if info.Size != seg.length {
		if seg.stage != "" {
			return &lostStage{stage}
		}
		return fmt.Errorf("%s has %d bytes after %d were written", stage, info.Size, seg.length)
	}
	st := c.rec.get()
	final := c.finalName(&st, st.Seq+1)
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

// decide is step 3: the one place where rows begin to count.
func (c *committer) decide(ctx context.Context, seg *sealed, stage string, to coord.Point) error {
	return c.rec.change(ctx, func(st *coord.SubtaskState) error {
		if st.Generation != seg.generation {
			return fail(codeInternal, "recover", "%s: a segment of generation %016x came while %016x is exported", c.where, seg.generation, st.Generation)
		}
		if st.Pending != nil && c.rec.settled != st.Pending.Stage {
			return fail(codeInternal, "recover", "%s: segment %d is decided but not under its final name yet", c.where, st.Seq)
		}
		st.Pending = nil
		if seg.rows > 0 {
			st.Seq++
			st.Files++
			st.Pending = &coord.Pending{Stage: stage, Final: c.finalName(st, st.Seq), Len: seg.length, CRC: seg.crc, Rows: seg.rows}
		}
		st.Point = to
		if seg.mark != nil {
			st.Mark = seg.mark
		}
		addCounters(&st.Counters, seg.delta)
		st.SnapshotDone = st.SnapshotDone || seg.snapshotEnd
		if seg.end {
			st.Status, st.Code, st.Reason, st.Hint = coord.Success, "", "", ""
		}
		st.CommittedMs = c.rec.wall().UnixMilli()
		return nil
	})
}

// settle is step 4 and the end of step 5: the decided segment goes under its final name, then pending may be cleared.
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
		if err := settle(ctx, c.files, c.where, st.Pending); err != nil {
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

// settle brings a decided segment under its final name. Any leader may do it, any number of times, also two at once.
func settle(ctx context.Context, f Files, where string, p *coord.Pending) error {
	return move(ctx, f, p.Stage, p.Final, func(name string, size int64) error {
		if size == p.Len {
			return nil
		}
		return fail(codeDestMissing, hintMissing, "%s: %s has %d bytes, %d were committed", where, name, size, p.Len)
	}, func() error {
		return fail(codeDestMissing, hintMissing, "%s: neither %s nor %s is there, %d committed rows are missing", where, p.Stage, p.Final, p.Rows)
	})
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

// retrying repeats do until it succeeds, somebody must act, or ctx ends.
func (c *committer) retrying(ctx context.Context, what string, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var gone *lostStage
		if errors.As(err, &gone) {
			return err
		}
		t := classify(fmt.Sprintf("%s %s", what, c.where), err)
		if t.class != retry || c.stall == nil {
			return t
		}
		if werr := c.stall(ctx, t); werr != nil {
			return werr
		}
	}
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

func addCounters(to *coord.Counters, d coord.Counters) {
	to.Rows += d.Rows
	to.Bytes += d.Bytes
	to.Expired += d.Expired
	to.Filtered += d.Filtered
	to.Deletes += d.Deletes
	to.Foreign += d.Foreign
	to.Repeated += d.Repeated
	to.Holes += d.Holes
	to.SkippedBlocks += d.SkippedBlocks
}
