package synctool

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/failpoint"
	"omsync/rpc/omsyncpb"
)

// segment is the open segment of a subtask: rows encoded into a file that nobody else sees. For a local destination that file is the stage
// file itself, else a local spool.
type segment struct {
	began      time.Time
	generation uint64
	version    uint8 // schema version of the rows' target
	encoder    dest.Encoder

	out   dest.Writer
	stage string     // of a local destination
	file  *spoolFile // else

	sealed // what it becomes
}

// shelf is where segments are written.
type shelf struct {
	dir   string // spool directory
	local bool   // the destination is local: write into the stage
	used  *spoolUse
}

// spoolUse counts bytes in the spool directory.
type spoolUse struct {
	max   int64 // 0 = no bound
	bytes atomic.Int64

	mu      sync.Mutex
	waiting []func()
}

func (u *spoolUse) full() bool { return u.max > 0 && u.bytes.Load() >= u.max }

// wait has f called when there is room again, at once when there is.
func (u *spoolUse) wait(f func()) {
	u.mu.Lock()
	u.waiting = append(u.waiting, f)
	u.mu.Unlock()
	u.free(0)
}

func (u *spoolUse) free(n int64) {
	u.bytes.Add(-n)
	if u.full() {
		return
	}
	u.mu.Lock()
	calls := u.waiting
	u.waiting = nil
	u.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

func newSegment(rows Rows, generation uint64) *segment {
	s := &segment{began: time.Now(), generation: generation, version: rows.Latest()}
	s.sealed.generation = generation
	return s
}

// add encodes a batch whole, or leaves the segment as it was: rows that can not be encoded never leave a torn file. A failed write leaves a
// *writeError: the segment is lost then, its rows must be asked for again.
func (s *segment) add(ctx context.Context, c *committer, sh *shelf, rows Rows, b *omsyncpb.Batch) error {
	if err := failpoint.Hit("synctool/row"); err != nil {
		return &writeError{err}
	}
	if len(b.GetRows()) > 0 {
		if s.encoder == nil {
			var err error
			if s.encoder, err = rows.Encoder(); err != nil {
				return err
			}
		}
		buf := buffers.get()
		defer buffers.put(buf)
		out, n, err := encodeRows((*buf)[:0], s.encoder, rows, b.GetRows())
		if err != nil {
			return err
		}
		*buf = out
		if n != uint64(b.GetRowCount()) {
			return fmt.Errorf("a batch of %d rows says it has %d", n, b.GetRowCount())
		}
		if err := s.write(ctx, c, sh, out); err != nil {
			return &writeError{err}
		}
		s.rows += n
		if s.oldest == 0 || b.GetOldestMs() > 0 && b.GetOldestMs() < s.oldest {
			s.oldest = b.GetOldestMs()
		}
	} else if b.GetRowCount() != 0 {
		return fmt.Errorf("a batch without rows says it has %d", b.GetRowCount())
	}
	delta := countersOf(b.GetDelta())
	delta.Rows, delta.Bytes = uint64(b.GetRowCount()), uint64(len(b.GetRows()))
	addCounters(&s.delta, delta)
	s.to = pointOf(b.GetTo())
	if m := b.GetMark(); m != nil {
		s.mark = &coord.Mark{Index: m.GetLogIndex(), Term: m.GetTerm(), CRC: m.GetCrc()}
	}
	s.snapshotEnd = s.snapshotEnd || b.GetSnapshotEnd()
	s.end = s.end || b.GetEnd()
	return nil
}

// writeError says that the segment's own file failed.
type writeError struct{ cause error }

func (w *writeError) Error() string { return "segment file: " + w.cause.Error() }
func (w *writeError) Unwrap() error { return w.cause }

func encodeRows(dst []byte, enc dest.Encoder, rows Rows, raw []byte) ([]byte, uint64, error) {
	var n uint64
	for off := 0; off < len(raw); n++ {
		size, err := rows.Split(raw[off:])
		if err == nil && size <= 0 {
			err = errors.New("a row without length")
		}
		if err != nil {
			return dst, n, fmt.Errorf("row %d of a batch: %w", n+1, err)
		}
		if dst, err = enc.Append(dst, raw[off:off+size]); err != nil {
			return dst, n, fmt.Errorf("row %d of a batch: %w", n+1, err)
		}
		off += size
	}
	return dst, n, nil
}

func (s *segment) write(ctx context.Context, c *committer, sh *shelf, b []byte) error {
	if s.out == nil {
		if err := s.create(ctx, c, sh); err != nil {
			return err
		}
	}
	if sh.local {
		if err := failpoint.Hit("synctool/write"); err != nil {
			return err
		}
	} else {
		sh.used.bytes.Add(int64(len(b)))
		s.file.size += int64(len(b))
	}
	if _, err := s.out.Write(b); err != nil {
		return err
	}
	s.length += int64(len(b))
	s.crc = crc32.Update(s.crc, castagnoli, b)
	return nil
}

func (s *segment) create(ctx context.Context, c *committer, sh *shelf) error {
	name := c.names.stage()
	if sh.local {
		if err := failpoint.Hit("synctool/create"); err != nil {
			return err
		}
		w, err := c.files.Create(ctx, name)
		if err != nil {
			return err
		}
		s.out, s.stage = w, name
		s.sealed.stage = name
		return nil
	}
	path := filepath.Join(sh.dir, spoolPrefix+baseName(name))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s.file = &spoolFile{path: path, used: sh.used}
	s.out, s.spool = f, s.file
	return nil
}

// seal closes the file. The spool needs no sync: it is never read after a crash. A stage file does: a decision will name it.
func (s *segment) seal() (*sealed, error) {
	if err := failpoint.Hit("synctool/roll"); err != nil {
		return nil, err
	}
	if s.out != nil {
		if s.stage != "" {
			if err := s.out.Sync(); err != nil {
				return nil, err
			}
			if err := failpoint.Hit("synctool/close"); err != nil {
				return nil, err
			}
		}
		out := s.out
		s.out = nil
		if err := out.Close(); err != nil {
			return nil, err
		}
	}
	if err := failpoint.Hit("synctool/spool"); err != nil {
		return nil, err
	}
	return &s.sealed, nil
}

// drop throws the segment away: nothing of it was decided.
func (s *segment) drop(ctx context.Context, c *committer) {
	if s.out != nil {
		_ = s.out.Close() // its content is not wanted
		s.out = nil
	}
	s.sealed.drop(ctx, c)
}

// drop removes what an undecided segment left behind; a failure leaves a stage file to the sweep and a spool file to the next start.
func (s *sealed) drop(ctx context.Context, c *committer) {
	if s.stage != "" {
		c.discard(ctx, s.stage)
	}
	if s.spool != nil {
		_ = s.spool.Remove()
	}
}

// spoolFile is a segment's file in the spool directory.
type spoolFile struct {
	path string
	size int64
	used *spoolUse
}

func (f *spoolFile) Open() (io.ReadCloser, error) { return os.Open(f.path) }

func (f *spoolFile) Remove() error {
	f.used.free(f.size)
	f.size = 0
	return os.Remove(f.path)
}
