package inspect

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"omsync/openmldb/snapshot"
)

// manifestLine is snapshot/MANIFEST.
type manifestLine struct {
	Manifest string   `json:"manifest"`
	Offset   uint64   `json:"offset"`
	Name     string   `json:"name"`
	Count    uint64   `json:"count"`
	Term     uint64   `json:"term"`
	Others   []string `json:"others,omitempty"` // what else lies in snapshot/: leftovers
}

// rocksLine is the MANIFEST of the checkpoint.
type rocksLine struct {
	Rocks    string `json:"rocksdb_manifest"`
	LastSeq  uint64 `json:"last_seq"`
	Families int    `json:"families"`
	Tables   int    `json:"tables"`
	Bytes    uint64 `json:"bytes"`
}

// familyLine is one column family.
type familyLine struct {
	Family     string `json:"family"`
	ID         uint32 `json:"id"`
	Comparator string `json:"comparator"`
	Tables     int    `json:"tables"`
	Bytes      uint64 `json:"bytes"`
}

// tableLine is one live table file.
type tableLine struct {
	Table    string  `json:"table"`
	Family   string  `json:"family"`
	Level    int     `json:"level"`
	Bytes    uint64  `json:"bytes"`
	MaxSeq   uint64  `json:"max_seq"`
	Smallest userKey `json:"smallest"`
	Largest  userKey `json:"largest"`
}

// userKey is a key of a table file; in a family of several indexes the last 4 bytes of key are the ts column's number.
type userKey struct {
	Key any    `json:"key"`
	Ts  string `json:"ts,omitempty"`
}

func userKeyOf(b []byte) userKey {
	if len(b) < 8 {
		return userKey{Key: text(b)}
	}
	n := len(b) - 8
	return userKey{text(b[:n]), strconv.FormatUint(binary.LittleEndian.Uint64(b[n:]), 10)}
}

// showManifest prints both manifests, and says whether the files they speak of are there.
func showManifest(p *printer, at place) error {
	fsys := snapshot.OS()
	if at.snapshot != "" {
		m, err := snapshot.ReadManifest(fsys, at.snapshot)
		if errors.Is(err, snapshot.ErrNoManifest) {
			p.note("there is no %s: the partition has no snapshot, all its rows are in the log", filepath.Join(at.snapshot, "MANIFEST"))
			return nil
		}
		if err != nil {
			return failed("%v", err)
		}
		l := manifestLine{filepath.Join(at.snapshot, "MANIFEST"), m.GetOffset(), m.GetName(), m.GetCount(), m.GetTerm(), nil}
		if l.Others, err = others(at.snapshot, m.GetName()); err != nil {
			return failed("%v", err)
		}
		if err := p.line(l); err != nil {
			return err
		}
	}
	if at.snapshot == "" && at.checkpoint == "" {
		return usage("there is no snapshot/ here: give a partition's directory (<tid>_<pid>), snapshot/ in it, or a checkpoint")
	}
	if err := at.open(); err != nil {
		return failed("%v", err)
	}
	c, err := snapshot.ReadContents(fsys, at.checkpoint)
	if err != nil {
		return failed("%v", err)
	}
	if err := p.contents(c); err != nil {
		return err
	}
	db, err := snapshot.Open(fsys, at.checkpoint, snapshot.Options{}) // compares the records with the directory
	if err != nil {
		return failed("%v", err)
	}
	return db.Close()
}

func (p *printer) contents(c *snapshot.Contents) error {
	sum := rocksLine{Rocks: c.Manifest, LastSeq: c.LastSeq, Families: len(c.Families)}
	for _, f := range c.Families {
		sum.Tables += len(f.Tables)
		sum.Bytes += f.Bytes
	}
	if err := p.line(sum); err != nil {
		return err
	}
	for _, f := range c.Families {
		if err := p.line(familyLine{f.Name, f.ID, f.Comparator, len(f.Tables), f.Bytes}); err != nil {
			return err
		}
	}
	for _, f := range c.Families {
		for _, t := range f.Tables {
			if err := p.line(tableLine{t.Name, f.Name, t.Level, t.Bytes, t.MaxSeq, userKeyOf(t.Smallest), userKeyOf(t.Largest)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// others lists what lies in snapshot/ beside the MANIFEST and its checkpoint.
func others(dir, name string) ([]string, error) {
	list, err := os.ReadDir(dir)
	var out []string
	for _, e := range list {
		if e.Name() != "MANIFEST" && e.Name() != name {
			out = append(out, e.Name())
		}
	}
	return out, err
}
