package synctool

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

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

	content         // its rows
	deletes content // of the log, where the task keeps them
	oldest  int64   // wall ms of the first row's or delete's reading, 0 = none
}

// content is one closed file of a segment.
type content struct {
	rows   uint64 // or deletes; 0: no file
	length int64
	crc    uint32
	stage  string // set: it lies in this closed stage file already, because the destination is local
	spool  spool  // else it is copied from here
}

// holds tells whether there is anything in the segment but a move of the point.
func (s *sealed) holds() bool { return s.rows > 0 || s.deletes.rows > 0 }

// staged are the closed and checked stage files of one segment; "" where there is nothing of the kind.
type staged struct{ rows, deletes string }

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
	names, err := c.stageSegment(soft, seg)
	if err != nil {
		return err
	}
	at, to := c.rec.get().Point, seg.to
	err = c.retrying(soft, "commit", func() (err error) {
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
		c.discard(hard, names.rows)
		c.discard(hard, names.deletes)
		return err
	}
	if err := c.decide(hard, seg, names, to); err != nil {
		return err // the stage files stay: the decision may be open, and sweeping is the next leader's
	}
	if decided != nil {
		decided()
	}
	c.forgetKey(hard, at, to)
	return c.settle(hard)
}

// decide is step 3: the one place where rows begin to count.
func (c *committer) decide(ctx context.Context, seg *sealed, names staged, to coord.Point) error {
	return c.rec.change(ctx, func(st *coord.SubtaskState) error {
		if st.Generation != seg.generation {
			return fail(codeInternal, "recover", "%s: a segment of generation %016x came while %016x is exported", c.where, seg.generation, st.Generation)
		}
		if st.Pending != nil && c.rec.settled != st.Pending.Stage {
			return fail(codeInternal, "recover", "%s: segment %d is decided but not under its final name yet", c.where, st.Seq)
		}
		st.Pending = nil
		if seg.holds() {
			st.Seq++
		}
		if d := &seg.deletes; d.rows > 0 {
			st.Pending = &coord.Pending{Stage: names.deletes, Final: c.names.deletes(st.Generation, st.Seq), Len: d.length, CRC: d.crc, Deletes: d.rows}
		}
		if seg.rows > 0 {
			st.Files++
			st.Pending = &coord.Pending{
				Stage: names.rows, Final: c.finalName(st, st.Seq), Len: seg.length, CRC: seg.crc, Rows: seg.rows, Next: st.Pending,
			}
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
