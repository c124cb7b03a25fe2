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

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/failpoint"
	"omsync/rpc/omsyncpb"
)

// segment is the open segment of a subtask: rows, and deletes where the task keeps them, encoded into files that nobody else sees. For a local
// destination those are the stage files themselves, else a local spool.
type segment struct {
	began      time.Time
	generation uint64
	version    uint8 // schema version of the rows' target
	encoder    dest.Encoder

	out, log part // being written: sealed.content, sealed.deletes

	sealed // what it becomes
}

// part is a file of an open segment.
type part struct {
	w    dest.Writer
	file *spoolFile // nil: a stage file
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
	var encoded []byte
	var n uint64
	if len(b.GetRows()) > 0 {
		if s.encoder == nil {
			var err error
			if s.encoder, err = rows.Encoder(); err != nil {
				return err
			}
		}
		buf := buffers.get()
		defer buffers.put(buf)
		var err error
		if *buf, n, err = encodeRows((*buf)[:0], s.encoder, rows, b.GetRows()); err != nil {
			return err
		}
		encoded = *buf
	}
	if n != uint64(b.GetRowCount()) {
		return fmt.Errorf("a batch of %d rows says it has %d", n, b.GetRowCount())
	}
	lines, deletes, err := encodeDeletes(b.GetDeletes())
	if err != nil {
		return err
	}
	if deletes != uint64(b.GetDeleteCount()) {
		return fmt.Errorf("a batch of %d deletes says it has %d", deletes, b.GetDeleteCount())
	}
	if n > 0 {
		if err := s.write(ctx, c, sh, &s.out, &s.content, c.names.suffix, encoded); err != nil {
			return &writeError{err}
		}
		s.rows += n
	}
	if deletes > 0 {
		if err := s.write(ctx, c, sh, &s.log, &s.deletes, dest.DeletesSuffix, lines); err != nil {
			return &writeError{err}
		}
		s.deletes.rows += deletes
	}
	if n+deletes > 0 && (s.oldest == 0 || b.GetOldestMs() > 0 && b.GetOldestMs() < s.oldest) {
		s.oldest = b.GetOldestMs()
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

// encodeDeletes turns what a batch carries into lines of a file of deletes.
func encodeDeletes(raw []byte) (lines []byte, n uint64, err error) {
	for ; len(raw) > 0; n++ {
		one, size := protowire.ConsumeBytes(raw)
		if size < 0 {
			return nil, n, fmt.Errorf("delete %d of a batch: %w", n+1, protowire.ParseError(size))
		}
		d := &omsyncpb.LogDelete{}
		if err := proto.Unmarshal(one, d); err != nil {
			return nil, n, fmt.Errorf("delete %d of a batch: %w", n+1, err)
		}
		line := dest.Delete{Index: d.GetLogIndex(), Term: d.GetTerm(), Key: d.Key, Start: d.StartTs, End: d.GetEndTs(), TimeMs: d.GetReadMs()}
		if lines, err = dest.AppendDelete(lines, &line); err != nil {
			return nil, n, fmt.Errorf("delete %d of a batch: %w", n+1, err)
		}
		raw = raw[size:]
	}
	return lines, n, nil
}

func (s *segment) write(ctx context.Context, c *committer, sh *shelf, p *part, f *content, suffix string, b []byte) error {
	if p.w == nil {
		if err := p.create(ctx, c, sh, f, suffix); err != nil {
			return err
		}
	}
	if sh.local {
		if err := failpoint.Hit("synctool/write"); err != nil {
			return err
		}
	} else {
		sh.used.bytes.Add(int64(len(b)))
		p.file.size += int64(len(b))
	}
	if _, err := p.w.Write(b); err != nil {
		return err
	}
	f.length += int64(len(b))
	f.crc = crc32.Update(f.crc, castagnoli, b)
	return nil
}

func (p *part) create(ctx context.Context, c *committer, sh *shelf, f *content, suffix string) error {
	name := c.names.stageAs(suffix)
	if sh.local {
		if err := failpoint.Hit("synctool/create"); err != nil {
			return err
		}
		w, err := c.files.Create(ctx, name)
		if err != nil {
			return err
		}
		p.w, f.stage = w, name
		return nil
	}
	path := filepath.Join(sh.dir, spoolPrefix+baseName(name))
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	p.file = &spoolFile{path: path, used: sh.used}
	p.w, f.spool = w, p.file
	return nil
}

// seal closes the files. The spool needs no sync: it is never read after a crash. A stage file does: a decision will name it.
func (s *segment) seal() (*sealed, error) {
	if err := failpoint.Hit("synctool/roll"); err != nil {
		return nil, err
	}
	for _, p := range []*part{&s.out, &s.log} {
		if err := p.close(); err != nil {
			return nil, err
		}
	}
	if err := failpoint.Hit("synctool/spool"); err != nil {
		return nil, err
	}
	return &s.sealed, nil
}

func (p *part) close() error {
	if p.w == nil {
		return nil
	}
	if p.file == nil {
		if err := p.w.Sync(); err != nil {
			return err
		}
		if err := failpoint.Hit("synctool/close"); err != nil {
			return err
		}
	}
	w := p.w
	p.w = nil
	return w.Close()
}

// drop throws the segment away: nothing of it was decided.
func (s *segment) drop(ctx context.Context, c *committer) {
	for _, p := range []*part{&s.out, &s.log} {
		if p.w != nil {
			_ = p.w.Close() // its content is not wanted
			p.w = nil
		}
	}
	s.sealed.drop(ctx, c)
}

// drop removes what an undecided segment left behind; a failure leaves a stage file to the sweep and a spool file to the next start.
func (s *sealed) drop(ctx context.Context, c *committer) {
	for _, f := range []*content{&s.content, &s.deletes} {
		c.discard(ctx, f.stage)
	}
	s.unspool()
}

// unspool removes the spool files; one that stays is removed at the next start.
func (s *sealed) unspool() {
	for _, f := range []*content{&s.content, &s.deletes} {
		if f.spool != nil {
			_ = f.spool.Remove()
		}
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
