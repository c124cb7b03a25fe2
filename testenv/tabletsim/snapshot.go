package tabletsim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"omsync/openmldb/pb/apipb"
)

// Checkpoint is a snapshot as its maker saw it. All rows acknowledged before Begin are in it, none that was begun after End.
type Checkpoint struct {
	Name       string
	Offset     uint64 // what MANIFEST says
	Count      uint64
	Begin, End time.Time
}

// Snapshot makes a snapshot in upstream's order (formats.md §3.2): counts and offset are read, then the flush, then .tmp -> name (a snapshot of the
// same minute becomes .bak), then MANIFEST, and then the previous one is deleted.
func (p *Partition) Snapshot() (Checkpoint, error) {
	leave, err := p.enter(false)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("snapshot of %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	c, err := p.snapshot()
	if err != nil {
		return Checkpoint{}, fmt.Errorf("snapshot of %d_%d: %w", p.TID, p.PID, err)
	}
	return c, nil
}

func (p *Partition) snapshot() (c Checkpoint, err error) {
	p.snapMu.Lock()
	defer p.snapMu.Unlock()
	was := p.swapState(apipb.TableState_kMakingSnapshot)
	defer p.swapState(was)
	begin := p.opts.Now()
	c = Checkpoint{Name: begin.Local().Format("200601021504"), Begin: begin, Count: p.keys(), Offset: p.offset.Load()}
	hook(p.opts.Hooks.AfterOffset)
	old, err := readManifest(p.SnapshotDir())
	if err != nil {
		return c, err
	}
	dir := filepath.Join(p.SnapshotDir(), c.Name)
	if err := os.RemoveAll(dir + ".tmp"); err != nil {
		return c, err
	}
	if err := p.store.Checkpoint(dir + ".tmp"); err != nil {
		return c, err
	}
	bak := ""
	if _, err := os.Stat(dir); err == nil {
		bak = dir + ".bak"
		if err := errors.Join(os.RemoveAll(bak), os.Rename(dir, bak)); err != nil {
			return c, err
		}
	}
	if err := os.Rename(dir+".tmp", dir); err != nil {
		return c, err
	}
	c.End = p.opts.Now()
	term := p.Term()
	if err := writeManifest(p.SnapshotDir(), &apipb.Manifest{Offset: &c.Offset, Name: &c.Name, Count: &c.Count, Term: &term}); err != nil {
		return c, err
	}
	p.mu.Lock()
	p.snapped = c.Offset
	p.mu.Unlock()
	hook(p.opts.Hooks.BeforeDelete)
	if bak != "" {
		err = os.RemoveAll(bak)
	}
	if old != nil && old.GetName() != c.Name {
		err = errors.Join(err, os.RemoveAll(filepath.Join(p.SnapshotDir(), old.GetName())))
	}
	return c, err
}

func hook(f func()) {
	if f != nil {
		f()
	}
}

func (p *Partition) swapState(s apipb.TableState) (was apipb.TableState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, p.state = p.state, s
	return was
}

// Manifest is the current MANIFEST, nil without a snapshot.
func (p *Partition) Manifest() (*apipb.Manifest, error) { return readManifest(p.SnapshotDir()) }

func readManifest(dir string) (*apipb.Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read MANIFEST: %w", err)
	}
	m := &apipb.Manifest{}
	if err := prototext.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("read MANIFEST: %w", err)
	}
	return m, nil
}

// writeManifest writes one field per line as C++'s TextFormat does; Go's own output is not stable.
func writeManifest(dir string, m *apipb.Manifest) error {
	tmp := filepath.Join(dir, "MANIFEST.tmp")
	f, err := os.Create(tmp)
	if err != nil {
		return fmt.Errorf("write MANIFEST: %w", err)
	}
	_, err = fmt.Fprintf(f, "offset: %d\nname: \"%s\"\ncount: %d\nterm: %d\n", m.GetOffset(), m.GetName(), m.GetCount(), m.GetTerm())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write MANIFEST: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, "MANIFEST")); err != nil {
		return fmt.Errorf("write MANIFEST: %w", err)
	}
	return nil
}

// TrimLogs deletes log files as the tablet's timer does (formats.md §4.4): those older than the file before the one that holds the snapshot's offset
// or what the slowest follower has. Nothing goes before the first snapshot since the process began. It returns the names that went.
func (p *Partition) TrimLogs() ([]string, error) {
	leave, err := p.enter(false)
	if err != nil {
		return nil, fmt.Errorf("trim log of %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.snapped == 0 {
		return nil, nil
	}
	bound := p.snapped
	for _, l := range p.links {
		bound = min(bound, l.position())
	}
	at := 0
	for i, f := range p.files {
		if f.first <= bound {
			at = i
		}
	}
	var gone []string
	for i := 0; i < at-1; i++ {
		name := logName(p.files[i].num)
		if err := os.Remove(filepath.Join(p.BinlogDir(), name)); err != nil {
			return gone, fmt.Errorf("trim log of %d_%d: %w", p.TID, p.PID, err)
		}
		gone = append(gone, name)
	}
	p.files = p.files[len(gone):]
	return gone, nil
}

// Rotate ends the current log file, as reaching its size does.
func (p *Partition) Rotate() error {
	leave, err := p.enter(false)
	if err != nil {
		return err
	}
	defer leave()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log == nil {
		return ErrDown
	}
	return p.log.Rotate()
}

// DriftOffset moves the snapshot counter ahead of the log, as appends that were sent again do.
func (p *Partition) DriftOffset(by uint64) { p.offset.Add(by) }
