package binlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Options of a Reader. The zero value is what the collector uses.
type Options struct {
	// SkipBadBlocks goes on at the next 4 KiB block after a bad record (`recover --skip-bad-blocks`), if the entries that are missing then can
	// have stood in the blocks passed over.
	SkipBadBlocks bool
	// MaxRecord bounds one entry in bytes; 0 = 256 MiB. A longer one is damage.
	MaxRecord int
}

// Reader reads the log of one directory forward. It keeps one file open. It is for one goroutine.
type Reader struct {
	fsys FS
	dir  string
	opts Options
	scan scanner

	cur      openFile
	last     uint64 // last index read, 0 = none yet
	want     uint64 // where the caller asked to begin, 0 = at whatever comes first; entries before it are read and not returned
	broken   bool   // a file number is missing between the last entry and here
	suspect  *CorruptError
	passed   int64 // bytes passed over as bad since the last entry
	sawNewer bool  // a newer file was seen; the current one must be read to its end once more
	again    bool  // the bad record at pos has been read twice
	failed   error // what ended reading, until a new Seek

	entry Entry
	held  bool // entry was read by Seek and not yet returned

	holes, repeated, skippedBlocks, lost uint64
}

// openFile is the file the reader stands in.
type openFile struct {
	h     Handle
	num   uint64
	path  string
	inode uint64
	pos   int64  // boundary behind the last record read
	high  int64  // end of the last entry read from here: the file must not become shorter than this
	first uint64 // index of its first entry if that was read
	ended bool   // an EOF record stands at pos
	prev  string // path of the file read before it
}

// NewReader is a reader of dir that stands before its oldest entry. No file is opened before the first call.
func NewReader(fsys FS, dir string, opts Options) *Reader {
	if opts.MaxRecord == 0 {
		opts.MaxRecord = maxRecordLen
	}
	return &Reader{fsys: fsys, dir: dir, opts: opts, scan: scanner{max: opts.MaxRecord}}
}

// Close closes the file the reader stands in. The reader may be used again after a Seek.
func (r *Reader) Close() error {
	h := r.cur.h
	r.cur = openFile{}
	r.scan.reset(nil)
	r.scan.buf, r.scan.join = nil, nil
	r.held = false
	r.failed = errClosed
	if h == nil {
		return nil
	}
	return h.Close()
}

var errClosed = errors.New("log reader is closed")

// Stats are counts since the reader was made: indexes missing where the source left them out, entries skipped because their index had been read,
// and blocks of 4 KiB passed over as bad.
func (r *Reader) Stats() (holes, repeated, skippedBlocks uint64) {
	return r.holes, r.repeated, r.skippedBlocks
}

// Lost is the number of indexes that went with skipped blocks.
func (r *Reader) Lost() uint64 { return r.lost }

// Last is the index of the last entry read, 0 before the first.
func (r *Reader) Last() uint64 { return r.last }

// Position is where the next call goes on; SeekPosition takes it.
func (r *Reader) Position() Position {
	if r.held {
		return r.entry.Pos
	}
	if r.cur.ended && r.cur.high == 0 {
		return Position{r.cur.num, 0} // the file may be used again, see tail
	}
	return Position{r.cur.num, r.cur.pos}
}

// Next returns the next entry, valid until the next call. Errors: ErrTail (call again later), *GapError, *CorruptError, *TrimmedError,
// *ReplacedError (all four stay until the next Seek), or what the file system says (call again).
func (r *Reader) Next() (*Entry, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	if r.held {
		r.held = false
		return &r.entry, nil
	}
	for {
		give, err := r.step()
		if err != nil {
			var gap *GapError
			var corrupt *CorruptError
			var trimmed *TrimmedError
			var replaced *ReplacedError
			if errors.As(err, &gap) || errors.As(err, &corrupt) || errors.As(err, &trimmed) || errors.As(err, &replaced) {
				r.failed = err
			}
			return nil, err
		}
		if give {
			return &r.entry, nil
		}
	}
}

// step reads one record or moves one file on. give: r.entry is one to return.
func (r *Reader) step() (give bool, err error) {
	if r.cur.h == nil {
		ns, err := names(r.fsys, r.dir)
		if err != nil {
			return false, err
		}
		if len(ns) == 0 {
			return false, ErrTail
		}
		return false, r.open(ns[0])
	}
	if !r.cur.ended {
		rec, st, err := r.scan.record(r.cur.pos)
		if err != nil {
			return false, fmt.Errorf("read log file %s: %w", r.cur.path, err)
		}
		if rec.suspect >= 0 && r.suspect == nil && (st != wait || r.sawNewer) {
			r.suspect = &CorruptError{File: r.cur.path, Offset: rec.suspect, Reason: "zeros or an unfinished record, and entries are missing behind it"}
		}
		switch st {
		case found:
			return r.found(&rec)
		case ended:
			r.cur.ended, r.cur.pos = true, rec.end
		case bad:
			return false, r.bad(rec.badAt, rec.reason)
		case wait: // see tail
			if rec.suspect >= 0 {
				if err := r.rewritten(); err != nil {
					return false, err
				}
			}
		}
	}
	return false, r.tail()
}

func (r *Reader) found(rec *record) (give bool, err error) {
	if err := r.entry.decode(rec.payload); err != nil {
		return false, r.bad(rec.start, "not a log entry: "+err.Error())
	}
	r.entry.Pos, r.entry.End = Position{r.cur.num, rec.start}, Position{r.cur.num, rec.end}
	give, err = r.admit(&r.entry)
	if err != nil {
		return false, err
	}
	if r.cur.pos == 0 {
		r.cur.first = r.entry.Index
	}
	r.cur.pos, r.cur.high = rec.end, rec.end
	r.sawNewer, r.again = false, false
	return give, nil
}

// admit judges the index of the entry just read (design.md §5.2).
func (r *Reader) admit(e *Entry) (give bool, err error) {
	i := e.Index
	if r.last != 0 && i <= r.last {
		if i >= r.want {
			r.repeated++ // the first one wins
		}
		return false, nil
	}
	lo := max(r.last+1, r.want) // the first index that may be missing
	switch {
	case i <= lo || r.last == 0 && r.want == 0 && r.suspect == nil && r.passed == 0:
		// follows on, or is the first that is read at all
	case r.broken:
		return false, &GapError{From: lo, To: i - 1, File: r.cur.path, After: r.before()}
	case r.passed > 0:
		if r.last != 0 && i-r.last-1 > uint64(r.passed/minEntry)+1 {
			return false, &GapError{From: lo, To: i - 1, File: r.cur.path, After: r.before()}
		}
		if r.last != 0 || r.want != 0 {
			r.lost += i - lo
		}
	case r.suspect != nil && !r.opts.SkipBadBlocks:
		return false, r.suspect
	case r.suspect != nil:
		if r.last != 0 || r.want != 0 {
			r.lost += i - lo
		}
	case r.last == 0:
		return false, &TrimmedError{Dir: r.dir, Want: lo, First: i}
	default:
		r.holes += i - lo
	}
	r.last, r.broken, r.suspect, r.passed = i, false, nil, 0
	return i >= r.want, nil
}

// minEntry is the shortest entry that can stand in a file: a record header and a log index.
const minEntry = headerSize + 2

func (r *Reader) before() string {
	if r.cur.prev != "" && r.cur.high == 0 {
		return r.cur.prev
	}
	return r.cur.path
}

// bad handles a record that cannot be read. It is read twice, for a tablet that starts writes an EOF record over a torn tail while we read.
func (r *Reader) bad(at int64, reason string) error {
	if !r.again {
		r.again = true
		r.scan.drop()
		return nil
	}
	r.again = false
	if err := r.replaced(); err != nil {
		return err
	}
	if err := r.rewritten(); err != nil {
		return err
	}
	if !r.opts.SkipBadBlocks {
		return &CorruptError{File: r.cur.path, Offset: at, Reason: reason}
	}
	next := (at/BlockSize + 1) * BlockSize
	r.skippedBlocks += uint64(next/BlockSize - r.cur.pos/BlockSize)
	r.passed += next - r.cur.pos
	r.cur.pos = next
	return nil
}

// rewritten checks that the file still begins with the entry it began with.
func (r *Reader) rewritten() error {
	if r.cur.first == 0 {
		return nil
	}
	s := scanner{max: r.opts.MaxRecord}
	first, damage, err := firstIndex(&s, r.cur.h, r.cur.path)
	if err != nil {
		return err
	}
	if damage == nil && first != r.cur.first {
		return &ReplacedError{File: r.cur.path, Reason: fmt.Sprintf("it began with entry %d and now begins with %d", r.cur.first, first)}
	}
	return nil
}

// tail is reached at the end of what is written in the current file: wait there, or go on to a newer file.
func (r *Reader) tail() error {
	next, ok, err := r.newer()
	if err != nil {
		return err
	}
	if err := r.replaced(); err != nil {
		return err
	}
	if r.cur.high == 0 && r.passed == 0 && (!ok || !r.sawNewer) {
		// Nothing was read from this file. A tablet that starts truncates such a file and uses it again, even behind an EOF record.
		r.cur.ended, r.cur.pos = false, 0
		r.scan.drop()
	}
	if !ok {
		r.sawNewer, r.again = false, false
		return ErrTail
	}
	if !r.cur.ended && !r.sawNewer {
		// The tablet finishes a file before it begins the next, and we may have read this one before it did. What is unfinished after one more
		// look is the torn tail of a tablet that died.
		r.sawNewer = true
		r.scan.drop()
		return nil
	}
	return r.open(next)
}

// newer finds the file after the current one.
func (r *Reader) newer() (entryName, bool, error) {
	for try := 0; ; try++ {
		ns, err := names(r.fsys, r.dir)
		if err != nil {
			return entryName{}, false, err
		}
		for _, n := range ns {
			if n.num <= r.cur.num {
				continue
			}
			if n.num > r.cur.num+1 && try == 0 {
				break // a listing may miss a file that appeared while it was made
			}
			return n, true, nil
		}
		if try > 0 || len(ns) == 0 || ns[len(ns)-1].num <= r.cur.num {
			return entryName{}, false, nil
		}
	}
}

func (r *Reader) open(n entryName) error {
	path := filepath.Join(r.dir, n.name)
	h, err := r.fsys.Open(path)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	fi, err := h.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("stat log file %s: %w", path, err), h.Close())
	}
	prev := r.cur
	if prev.h != nil {
		if n.num > prev.num+1 {
			r.broken = true
		}
		if err := prev.h.Close(); err != nil {
			return errors.Join(fmt.Errorf("close log file %s: %w", prev.path, err), h.Close())
		}
	}
	r.cur = openFile{h: h, num: n.num, path: path, inode: inode(fi), prev: prev.path}
	r.scan.reset(h)
	r.sawNewer, r.again = false, false
	return nil
}

// replaced checks that the file under the reader is still the one with that name and still holds what was read from it. A last file without
// any whole record is truncated and used again by a tablet that starts (formats.md §4.1): of such a file nothing has been read, and we begin
// anew. A name that is gone is fine: the file lives on while it is open.
func (r *Reader) replaced() error {
	fi, err := r.cur.h.Stat()
	if err != nil {
		return fmt.Errorf("stat log file %s: %w", r.cur.path, err)
	}
	if fi.Size() < r.cur.high {
		return &ReplacedError{File: r.cur.path, Reason: fmt.Sprintf("it was %d bytes long and is %d now", r.cur.high, fi.Size())}
	}
	named, err := r.fsys.Stat(r.cur.path)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stat log file %s: %w", r.cur.path, err)
	}
	if ino := inode(named); ino != r.cur.inode {
		if r.cur.high > 0 || r.cur.pos > 0 {
			return &ReplacedError{File: r.cur.path, Reason: fmt.Sprintf("inode %d became %d", r.cur.inode, ino)}
		}
		h, err := r.fsys.Open(r.cur.path)
		if err != nil {
			return fmt.Errorf("open log file: %w", err)
		}
		old := r.cur.h
		r.cur.h, r.cur.inode, r.cur.ended = h, ino, false
		r.scan.reset(h)
		if err := old.Close(); err != nil {
			return fmt.Errorf("close log file %s: %w", r.cur.path, err)
		}
	}
	return nil
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
