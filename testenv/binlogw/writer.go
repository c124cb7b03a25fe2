package binlogw

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
)

// Options of a Writer.
type Options struct {
	// MaxBytes: a file that this writer has given at least so many bytes is ended before the next append; 0 = 1 GiB, as shipped.
	MaxBytes int64
	// NameWidth is the number of digits in a file name; 0 = 8.
	NameWidth int
	// AfterRecord, if set, is called after each physical record is written (and can be read by others).
	AfterRecord func()
}

// Writer appends to the log of one partition. It is safe for concurrent use.
type Writer struct {
	dir  string
	opts Options

	mu      sync.Mutex
	f       *os.File
	num     uint64 // of the file the next append opens, or of f
	off     int64  // where the next physical record goes
	written int64
	closed  bool
}

// Open is the start of a tablet on dir, which is made if it is missing. The last file of an earlier process is ended with an EOF record behind its
// last whole record, over whatever torn tail is there; one without any whole record is truncated and used again at the first append.
func Open(dir string, opts Options) (*Writer, error) {
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 1 << 30
	}
	if opts.NameWidth == 0 {
		opts.NameWidth = 8
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	w := &Writer{dir: dir, opts: opts}
	nums, err := numbers(dir)
	if err != nil {
		return nil, err
	}
	if len(nums) == 0 {
		return w, nil
	}
	last := nums[len(nums)-1]
	end, whole, eof, err := goodEnd(w.path(last))
	if err != nil {
		return nil, err
	}
	w.num = last + 1
	if !whole {
		w.num = last
		return w, nil
	}
	if eof {
		return w, nil
	}
	f, err := os.OpenFile(w.path(last), os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("end last log file: %w", err)
	}
	_, err = f.WriteAt(eofAt(end), end)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("end last log file: %w", err)
	}
	return w, nil
}

func numbers(dir string) ([]uint64, error) {
	des, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log directory: %w", err)
	}
	var nums []uint64
	for _, de := range des {
		if digits, ok := strings.CutSuffix(de.Name(), ".log"); ok {
			if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
				nums = append(nums, n)
			}
		}
	}
	slices.Sort(nums)
	return nums, nil
}

func (w *Writer) path(n uint64) string {
	return filepath.Join(w.dir, fmt.Sprintf("%0*d.log", w.opts.NameWidth, n))
}

// Append writes one entry. The caller numbers the entries.
func (w *Writer) Append(e *apipb.LogEntry) error {
	b, err := proto.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode log entry %d: %w", e.GetLogIndex(), err)
	}
	return w.AppendBytes(b)
}

// AppendBytes writes one logical record with any content.
func (w *Writer) AppendBytes(payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ready(); err != nil {
		return err
	}
	for _, r := range physical(w.off, payload) {
		if err := w.write(r); err != nil {
			return err
		}
	}
	return nil
}

// Tear writes the first n bytes of what Append would write and then behaves like a tablet killed in that moment: the file stays as it is, the
// writer takes nothing more. Open on the same directory is the restart.
func (w *Writer) Tear(e *apipb.LogEntry, n int) error {
	b, err := proto.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode log entry %d: %w", e.GetLogIndex(), err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ready(); err != nil {
		return err
	}
	all := slices.Concat(physical(w.off, b)...)
	if err := w.write(all[:min(n, len(all))]); err != nil {
		return err
	}
	return w.close()
}

// Rotate ends the current file; the next append opens a new one.
func (w *Writer) Rotate() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rotate()
}

// File is the number of the file the last append went to, or the next one goes to if none is open.
func (w *Writer) File() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.num
}

// Close is the end of the process: no EOF record is written.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.close()
}

func (w *Writer) close() error {
	w.closed = true
	if w.f == nil {
		return nil
	}
	f := w.f
	w.f = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("close log file: %w", err)
	}
	return nil
}

func (w *Writer) ready() error {
	if w.closed {
		return fmt.Errorf("append to log: %w", fs.ErrClosed)
	}
	if w.f != nil && w.written >= w.opts.MaxBytes {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	if w.f != nil {
		return nil
	}
	f, err := os.OpenFile(w.path(w.num), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	w.f, w.off, w.written = f, 0, 0
	return nil
}

func (w *Writer) rotate() error {
	if w.f == nil {
		return nil
	}
	if err := w.write(eofAt(w.off)); err != nil {
		return err
	}
	f := w.f
	w.f = nil
	w.num++
	if err := f.Close(); err != nil {
		return fmt.Errorf("close log file: %w", err)
	}
	return nil
}

func (w *Writer) write(b []byte) error {
	n, err := w.f.Write(b)
	w.off += int64(n)
	w.written += int64(n)
	if err != nil {
		return fmt.Errorf("write log file: %w", err)
	}
	if w.opts.AfterRecord != nil {
		w.opts.AfterRecord()
	}
	return nil
}
