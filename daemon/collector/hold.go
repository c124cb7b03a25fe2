package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"omsync/failpoint"
	"omsync/openmldb/binlog"
)

// hold is what a subtask keeps alive, all below its directory:
//
//	pin            record of the pinned checkpoint (pin.go)
//	snapshot/      links of the checkpoint's files
//	log-<n>/       links of the log files, under the tablet's names; n grows by one with each incarnation
//
// A tablet's log directory is made anew when a replica is re-created: the names begin again at 0. Links are told from such namesakes by inode. As
// long as the newest linked file is in the tablet's directory, what is newer there belongs to the same incarnation; if not, another one begins. Of an
// incarnation only files newer than the newest linked one are linked, so that what was pruned does not come back.
type hold struct {
	fs   FS
	logs binlog.FS
	dir  string

	mu      sync.Mutex
	source  string // the tablet's log directory, "" while not known
	incs    []incarnation
	loaded  bool
	reading int  // number of the incarnation that is being read; those before it may go
	dropped bool // the links are gone and do not come back in this life
}

// incarnation is one directory of links.
type incarnation struct {
	num    int
	dir    string
	newest logFile // zero: nothing is linked yet
	count  int
}

type logFile struct {
	num  uint64
	name string
	id   identity
}

const (
	incarnationPrefix = "log-"
	snapshotLinks     = "snapshot"
	snapshotMaking    = "snapshot.making"
)

func newHold(o *Options, dir string) *hold { return &hold{fs: o.Files, logs: o.Logs, dir: dir} }

// follow sets the tablet's log directory.
func (h *hold) follow(source string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.source = source
}

// logFiles lists the files of a directory that are named as tablets name log files, by number.
func logFiles(fsys FS, dir string) ([]logFile, error) {
	des, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []logFile
	for _, de := range des {
		digits, ok := strings.CutSuffix(de.Name(), ".log")
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil && !de.IsDir() {
			out = append(out, logFile{num: n, name: de.Name()})
		}
	}
	slices.SortFunc(out, func(a, b logFile) int { return cmp.Compare(a.num, b.num) })
	return out, nil
}

// load finds the incarnations on disk.
func (h *hold) load() error {
	if h.loaded {
		return nil
	}
	des, err := h.fs.ReadDir(h.dir)
	if err != nil && !notExist(err) {
		return fmt.Errorf("list the links: %w", err)
	}
	h.incs = nil
	for _, de := range des {
		digits, ok := strings.CutPrefix(de.Name(), incarnationPrefix)
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n < 1 {
			continue
		}
		inc := incarnation{num: n, dir: filepath.Join(h.dir, de.Name())}
		files, err := logFiles(h.fs, inc.dir)
		if err != nil {
			return fmt.Errorf("list the links: %w", err)
		}
		if inc.count = len(files); inc.count > 0 {
			inc.newest = files[inc.count-1]
			fi, err := h.fs.Stat(filepath.Join(inc.dir, inc.newest.name))
			if err != nil {
				return fmt.Errorf("look at a link: %w", err)
			}
			inc.newest.id = identityOf(fi)
		}
		h.incs = append(h.incs, inc)
	}
	slices.SortFunc(h.incs, func(a, b incarnation) int { return cmp.Compare(a.num, b.num) })
	h.loaded = true
	return nil
}

// sync links the log files that are new at the tablet and returns how many there were. A tablet's directory that is not there is none: the links
// stay as they are.
func (h *hold) sync() (linked int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.syncLocked()
}

func (h *hold) syncLocked() (linked int, err error) {
	if h.source == "" || h.dropped {
		return 0, nil
	}
	if err := h.load(); err != nil {
		return 0, err
	}
	files, err := logFiles(h.fs, h.source)
	if notExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list the tablet's log: %w", err)
	}
	if len(files) == 0 {
		return 0, nil
	}
	if len(h.incs) == 0 {
		if err := h.begin(); err != nil {
			return 0, err
		}
	}
	inc := &h.incs[len(h.incs)-1]
	if inc.count > 0 {
		same, err := h.same(inc.newest, files)
		if err != nil {
			return 0, err
		}
		if !same {
			if err := h.begin(); err != nil {
				return 0, err
			}
			inc = &h.incs[len(h.incs)-1]
		}
	}
	for _, f := range files {
		if inc.count > 0 && f.num <= inc.newest.num {
			continue
		}
		ok, err := h.link(inc, f)
		if err != nil {
			return linked, err
		}
		if ok {
			linked++
		}
	}
	return linked, nil
}

// same tells whether our newest link is one of the tablet's files.
func (h *hold) same(newest logFile, files []logFile) (bool, error) {
	i := slices.IndexFunc(files, func(f logFile) bool { return f.name == newest.name })
	if i < 0 {
		return false, nil
	}
	fi, err := h.fs.Stat(filepath.Join(h.source, newest.name))
	if notExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the tablet's log: %w", err)
	}
	return identityOf(fi) == newest.id, nil
}

// link links one file; false when the tablet has deleted it meanwhile.
func (h *hold) link(inc *incarnation, f logFile) (bool, error) {
	to := filepath.Join(inc.dir, f.name)
	err := h.fs.Link(filepath.Join(h.source, f.name), to)
	if notExist(err) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("link the log: %w", err)
	}
	fi, err := h.fs.Stat(to)
	if err != nil {
		return false, fmt.Errorf("look at a link: %w", err)
	}
	f.id = identityOf(fi)
	inc.newest = f
	inc.count++
	return true, nil
}

// begin makes the next incarnation's directory.
func (h *hold) begin() error {
	n := 1
	if len(h.incs) > 0 {
		n = h.incs[len(h.incs)-1].num + 1
	}
	inc := incarnation{num: n, dir: filepath.Join(h.dir, incarnationPrefix+strconv.Itoa(n))}
	if err := h.fs.MkdirAll(inc.dir); err != nil {
		return fmt.Errorf("make a directory for links: %w", err)
	}
	h.incs = append(h.incs, inc)
	return nil
}

// fresh links the tablet's whole log into a new incarnation, for a new pin, and returns its number. What was linked before goes.
func (h *hold) fresh() (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := failpoint.Hit("collector/link-log"); err != nil {
		return 0, err
	}
	if err := h.load(); err != nil {
		return 0, err
	}
	if err := h.begin(); err != nil {
		return 0, err
	}
	num := h.incs[len(h.incs)-1].num
	if _, err := h.syncLocked(); err != nil {
		return 0, err
	}
	if last := h.incs[len(h.incs)-1].num; last != num {
		return 0, fmt.Errorf("the tablet's log directory %s was replaced while it was linked", h.source)
	}
	return num, h.forget(func(inc incarnation) bool { return inc.num < num })
}

// forget removes incarnations.
func (h *hold) forget(which func(incarnation) bool) error {
	var errs []error
	h.incs = slices.DeleteFunc(h.incs, func(inc incarnation) bool {
		if !which(inc) {
			return false
		}
		if err := h.fs.RemoveAll(inc.dir); err != nil {
			errs = append(errs, fmt.Errorf("remove links: %w", err))
			return false
		}
		return true
	})
	return errors.Join(errs...)
}

// incarnations lists the directories of links, oldest first.
func (h *hold) incarnations() ([]incarnation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(); err != nil {
		return nil, err
	}
	return slices.Clone(h.incs), nil
}

// read says which incarnation is being read: those before it may be pruned. 0: none.
func (h *hold) read(num int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reading = num
}

// prune removes the links of log files that hold nothing above the committed index, but the one that holds it: the next attach compares it.
func (h *hold) prune(ctx context.Context, committed uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(); err != nil {
		return err
	}
	for i := range h.incs {
		inc := &h.incs[i]
		if i < len(h.incs)-1 {
			last, err := binlog.LastIndex(ctx, h.logs, inc.dir)
			if err != nil || inc.num >= h.reading || last > committed {
				return err
			}
			if err := failpoint.Hit("collector/prune"); err != nil {
				return err
			}
			return h.forget(func(x incarnation) bool { return x.num == inc.num })
		}
		if err := h.pruneFiles(inc, committed); err != nil {
			return err
		}
	}
	return nil
}

func (h *hold) pruneFiles(inc *incarnation, committed uint64) error {
	if inc.count < 2 {
		return nil
	}
	files, err := binlog.List(h.logs, inc.dir)
	if err != nil {
		return err
	}
	keep := len(files) - 1 // the first file that stays: the newest whose first entry is committed
	for keep > 0 && (files[keep].First == 0 || files[keep].First > committed) {
		keep--
	}
	for _, f := range files[:max(keep, 0)] {
		if err := failpoint.Hit("collector/prune"); err != nil {
			return err
		}
		if err := h.fs.Remove(f.Path); err != nil && !notExist(err) {
			return fmt.Errorf("remove a link: %w", err)
		}
		inc.count--
	}
	return nil
}

// dropSnapshot removes the checkpoint's links and the pin's record.
func (h *hold) dropSnapshot() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dropSnapshotLocked()
}

func (h *hold) dropSnapshotLocked() error {
	err := h.fs.Remove(filepath.Join(h.dir, pinName))
	if notExist(err) {
		err = nil
	}
	for _, name := range []string{snapshotLinks, snapshotMaking} {
		err = errors.Join(err, h.fs.RemoveAll(filepath.Join(h.dir, name)))
	}
	if err != nil {
		return fmt.Errorf("remove the pin: %w", err)
	}
	return nil
}

// drop removes all links, for the rest of this subtask's life, and returns the range of log entries that only they may have kept.
func (h *hold) drop(ctx context.Context) (first, last uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(); err != nil {
		return 0, 0, err
	}
	for _, inc := range h.incs {
		files, lerr := binlog.List(h.logs, inc.dir)
		for _, f := range files {
			if f.First != 0 && (first == 0 || f.First < first) {
				first = f.First
			}
		}
		end, eerr := binlog.LastIndex(ctx, h.logs, inc.dir)
		last = max(last, end)
		err = errors.Join(err, lerr, eerr)
	}
	h.dropped = true
	return first, last, errors.Join(err, h.dropSnapshotLocked(), h.forget(func(incarnation) bool { return true }))
}

// again links anew after a drop.
func (h *hold) again() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropped = false
}

// usage is what a hold keeps.
type usage struct {
	snapshotFiles, logFiles int
	bytes                   int64 // that only our links keep alive
}

// usage looks at every link.
func (h *hold) usage() (u usage, err error) {
	incs, err := h.incarnations()
	if err != nil {
		return u, err
	}
	count := func(dir string, n *int) error {
		des, err := h.fs.ReadDir(dir)
		if notExist(err) {
			return nil
		}
		for _, de := range des {
			fi, serr := h.fs.Stat(filepath.Join(dir, de.Name()))
			if notExist(serr) {
				continue
			}
			if serr != nil {
				return serr
			}
			*n++
			if alone(fi) {
				u.bytes += fi.Size()
			}
		}
		return err
	}
	if err := count(filepath.Join(h.dir, snapshotLinks), &u.snapshotFiles); err != nil {
		return u, fmt.Errorf("look at the links: %w", err)
	}
	for _, inc := range incs {
		if err := count(inc.dir, &u.logFiles); err != nil {
			return u, fmt.Errorf("look at the links: %w", err)
		}
	}
	return u, nil
}

// first is the oldest log index that is linked, 0 if there is none.
func (h *hold) first() (uint64, error) {
	incs, err := h.incarnations()
	if err != nil {
		return 0, err
	}
	for _, inc := range incs {
		files, err := binlog.List(h.logs, inc.dir)
		if err != nil {
			return 0, err
		}
		for _, f := range files {
			if f.First != 0 {
				return f.First, nil
			}
		}
	}
	return 0, nil
}
