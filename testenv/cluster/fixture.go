package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"omsync/openmldb/binlog"
	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/snapshot"
	"omsync/testenv/tabletsim"
)

// Served are partition directories that a tablet left, ready to be taken over.
type Served struct {
	Dirs []string // by pid
	meta *apipb.TableMeta
}

// CopyFixture copies a table's partition directories, named by pid, from one directory below another. A repository keeps no file times, so each
// checkpoint is dated by the clocks of the clients that wrote it: the put time of the last log entry that its MANIFEST counts.
func CopyFixture(from, to string, names ...string) (Served, error) {
	var s Served
	for _, name := range names {
		dir := filepath.Join(to, name)
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(from, name))); err != nil {
			return s, fmt.Errorf("copy partition %s: %w", name, err)
		}
		if err := dateCheckpoint(dir); err != nil {
			return s, fmt.Errorf("copy partition %s: %w", name, err)
		}
		s.Dirs = append(s.Dirs, dir)
	}
	return s, s.readMeta()
}

func dateCheckpoint(dir string) error {
	m, err := snapshot.ReadManifest(snapshot.OS(), filepath.Join(dir, "snapshot"))
	if errors.Is(err, snapshot.ErrNoManifest) {
		return nil
	}
	if err != nil {
		return err
	}
	made := uint64(0)
	log := binlog.NewReader(binlog.OS(), filepath.Join(dir, "binlog"), binlog.Options{})
	defer log.Close() //nolint:errcheck // read only
	for err := log.SeekStart(); err == nil; {
		var e *binlog.Entry
		if e, err = log.Next(); err != nil {
			break // the tail, or a place that is damaged on purpose: what comes behind it is not dated
		}
		if e.Index <= m.GetOffset() || made == 0 {
			made = max(made, e.TS)
		}
	}
	if made == 0 {
		return nil
	}
	at := time.UnixMilli(min(int64(made), time.Now().UnixMilli())) //nolint:gosec // fixtures' times
	return os.Chtimes(filepath.Join(dir, "snapshot", m.GetName(), "CURRENT"), at, at)
}

// ServeDirs takes directories as they are; they are written to.
func ServeDirs(dirs []string) (Served, error) {
	s := Served{Dirs: dirs}
	return s, s.readMeta()
}

func (s *Served) readMeta() error {
	if len(s.Dirs) == 0 {
		return fmt.Errorf("serve: no directories")
	}
	path := filepath.Join(s.Dirs[0], "table_meta.txt")
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	s.meta = &apipb.TableMeta{}
	if err := prototext.Unmarshal(b, s.meta); err != nil {
		return fmt.Errorf("serve: %s: %w", path, err)
	}
	return nil
}

// Schema of the directories' table, under another name where db, name or tid are set.
func (s Served) Schema(db, name string, tid uint32) (*tabletsim.Schema, error) {
	m := s.meta
	if db != "" {
		m.Db = &db
	}
	if name != "" {
		m.Name = &name
	}
	if tid != 0 {
		t := int32(tid)
		m.Tid = &t
	}
	return tabletsim.SchemaOf(m, len(s.Dirs))
}
