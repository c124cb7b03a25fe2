package collector

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/failpoint"
	"omsync/openmldb/snapshot"
)

// pin is the record of a generation's base: the checkpoint S and the log behind it (docs/design.md §5.1 step 1). It is written when all links stand,
// so a pin without record is none.
type pin struct {
	Generation   uint64 `json:"generation,string"`
	Snapshot     string `json:"snapshot,omitempty"`      // name in MANIFEST; "" = there is no checkpoint, S is empty
	Offset       uint64 `json:"offset,omitempty"`        // manifest.offset
	CheckpointMs int64  `json:"checkpoint_ms,omitempty"` // mtime of the checkpoint's CURRENT
	NowMs        int64  `json:"now_ms"`                  // now_c
	Log          int    `json:"log"`                     // incarnation
	Files        int    `json:"files,omitempty"`         // of the checkpoint
}

const (
	pinName = "pin"
	pinKind = "pin"
)

// checkpoint is the mtime of the checkpoint, zero without one.
func (p *pin) checkpoint() time.Time {
	if p.Snapshot == "" {
		return time.Time{}
	}
	return time.UnixMilli(p.CheckpointMs)
}

// pinTries bounds how often a pin begins again because the tablet replaced its snapshot meanwhile: each takes a whole snapshot of the tablet's.
const pinTries = 20

// makePin links the log, the checkpoint that MANIFEST names, and the log files that appeared meanwhile. In this order the log reaches back to the
// checkpoint: tablets trim behind a snapshot only when a newer one exists. What a pin before this one held goes.
func (s *subtask) makePin(src *source) (*pin, error) {
	h := s.hold
	if err := h.dropSnapshot(); err != nil {
		return nil, err
	}
	p := &pin{Generation: s.a.GetGeneration()}
	var err error
	if p.Log, err = h.fresh(); err != nil {
		return nil, err
	}
	if err := failpoint.Hit("collector/link-snapshot"); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		ok, err := s.linkSnapshot(p, src.Snapshots)
		if err != nil {
			return nil, err
		}
		if ok {
			break
		}
		if try == pinTries {
			return nil, fmt.Errorf("%s names a checkpoint that is not there", filepath.Join(src.Snapshots, "MANIFEST"))
		}
	}
	if _, err := h.sync(); err != nil {
		return nil, err
	}
	incs, err := h.incarnations()
	if err != nil {
		return nil, err
	}
	last := incs[len(incs)-1]
	if last.num != p.Log {
		return nil, fmt.Errorf("the tablet's log directory %s was replaced while the partition was pinned", src.Logs)
	}
	if err := errors.Join(h.fs.Sync(last.dir), h.fs.Sync(h.dir)); err != nil {
		return nil, fmt.Errorf("pin the log: %w", err)
	}
	p.NowMs = s.c.o.Clock.Now().UnixMilli()
	if err := failpoint.Hit("collector/pin"); err != nil {
		return nil, err
	}
	if err := writeRecord(h.fs, filepath.Join(h.dir, pinName), pinKind, p); err != nil {
		return nil, err
	}
	return p, failpoint.Hit("collector/pinned")
}

// linkSnapshot links the checkpoint. false: the tablet replaced it meanwhile.
func (s *subtask) linkSnapshot(p *pin, dir string) (bool, error) {
	h := s.hold
	making := filepath.Join(h.dir, snapshotMaking)
	if err := h.fs.RemoveAll(making); err != nil {
		return false, fmt.Errorf("remove what a former pin left: %w", err)
	}
	m, err := snapshot.ReadManifest(s.c.o.Snapshots, dir)
	if errors.Is(err, snapshot.ErrNoManifest) {
		p.Snapshot = ""
		return true, nil
	}
	if err != nil {
		return false, err
	}
	from := filepath.Join(dir, m.GetName())
	before, err := h.fs.Stat(from)
	if err == nil {
		err = h.fs.MkdirAll(making)
	}
	if err == nil {
		p.Files, err = linkAll(h.fs, from, making)
	}
	if notExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("link the checkpoint %s: %w", from, err)
	}
	// A snapshot of the same minute takes over the name: the files must all be of the one directory, and it that of the MANIFEST that was read.
	after, err := h.fs.Stat(from)
	if notExist(err) || err == nil && identityOf(after) != identityOf(before) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("link the checkpoint %s: %w", from, err)
	}
	now, err := snapshot.ReadManifest(s.c.o.Snapshots, dir)
	if errors.Is(err, snapshot.ErrNoManifest) || err == nil && !proto.Equal(now, m) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	current, err := h.fs.Stat(filepath.Join(making, "CURRENT"))
	if notExist(err) {
		return false, &snapshot.CorruptError{File: filepath.Join(from, "CURRENT"), Reason: "there is no such file in the checkpoint"}
	}
	if err != nil {
		return false, fmt.Errorf("look at the checkpoint: %w", err)
	}
	p.Snapshot, p.Offset, p.CheckpointMs = m.GetName(), m.GetOffset(), current.ModTime().UnixMilli()
	if err := errors.Join(h.fs.Sync(making), h.fs.Rename(making, filepath.Join(h.dir, snapshotLinks)), h.fs.Sync(h.dir)); err != nil {
		return false, fmt.Errorf("pin the checkpoint %s: %w", from, err)
	}
	return true, nil
}

func linkAll(fsys FS, from, to string) (n int, err error) {
	des, err := fsys.ReadDir(from)
	if err != nil {
		return 0, err
	}
	for _, de := range des {
		if de.IsDir() {
			continue
		}
		if err := fsys.Link(filepath.Join(from, de.Name()), filepath.Join(to, de.Name())); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// loadPin is the generation's pin, nil when there is none that is whole.
func (s *subtask) loadPin() (*pin, error) {
	h := s.hold
	var p pin
	err := readRecord(h.fs, filepath.Join(h.dir, pinName), pinKind, &p)
	switch {
	case notExist(err):
		return nil, nil
	case errors.Is(err, errDamaged):
		s.log.Error("the pin is lost", "err", err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	if p.Generation != s.a.GetGeneration() {
		return nil, nil
	}
	incs, err := h.incarnations()
	if err != nil {
		return nil, err
	}
	found := false
	for _, inc := range incs {
		found = found || inc.num == p.Log
	}
	links, err := h.fs.ReadDir(filepath.Join(h.dir, snapshotLinks))
	if err != nil && !notExist(err) {
		return nil, err
	}
	if !found || len(links) != p.Files {
		s.log.Error("the pin is lost: links are missing", "dir", h.dir, "generation", p.Generation)
		return nil, nil
	}
	return &p, nil
}
