package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"omsync/openmldb/snapshot"
)

// place is where the parts of a partition lie; an empty path is a part that is not there.
type place struct {
	snapshot   string // directory with the text MANIFEST
	checkpoint string // RocksDB checkpoint
	binlog     string
	meta       string // table_meta.txt
	table      uint32 // from the name of the partition directory, 0 = not known
}

// find says which part of a partition path is, and where the others lie.
func find(path string) (place, error) {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place{}, usage("there is no %s: give a partition's directory (<tid>_<pid>), snapshot/ or binlog/ in it, or a checkpoint", path)
	case err != nil:
		return place{}, usage("%v", err)
	case !fi.IsDir():
		return place{}, usage("%s is a file: give the directory it lies in", path)
	}
	abs, err := filepath.Abs(path) // "." must have a parent
	if err != nil {
		return place{}, usage("%s: %v", path, err)
	}
	switch {
	case isFile(path, "CURRENT"):
		p := partition(filepath.Dir(filepath.Dir(abs)))
		return place{checkpoint: path, meta: p.meta, table: p.table}, nil
	case isDir(path, "snapshot"), isDir(path, "binlog"), isFile(path, metaFile):
		p := partition(abs)
		if isDir(path, "snapshot") {
			p.snapshot = filepath.Join(path, "snapshot")
		}
		if isDir(path, "binlog") {
			p.binlog = filepath.Join(path, "binlog")
		}
		return p, nil
	case isFile(path, "MANIFEST"), filepath.Base(abs) == "snapshot":
		p := partition(filepath.Dir(abs))
		p.snapshot = path
		return p, nil
	case filepath.Base(abs) == "binlog", holdsLog(path):
		p := partition(filepath.Dir(abs))
		p.binlog = path
		return p, nil
	}
	return place{}, usage("%s is neither a partition's directory, nor snapshot/ or binlog/ in one, nor a checkpoint: nothing of these is in it", path)
}

const metaFile = "table_meta.txt"

// partition is what a partition directory tells by itself.
func partition(dir string) (p place) {
	if isFile(dir, metaFile) {
		p.meta = filepath.Join(dir, metaFile)
	}
	if tid, pid, ok := strings.Cut(filepath.Base(dir), "_"); ok {
		n, err := strconv.ParseUint(tid, 10, 32)
		if _, err2 := strconv.ParseUint(pid, 10, 32); err == nil && err2 == nil {
			p.table = uint32(n)
		}
	}
	return p
}

// open finds the checkpoint the text MANIFEST names. ErrNoManifest: there is none.
func (p *place) open() error {
	if p.checkpoint != "" {
		return nil
	}
	if p.snapshot == "" {
		return snapshot.ErrNoManifest
	}
	m, err := snapshot.ReadManifest(snapshot.OS(), p.snapshot)
	if err != nil {
		return err
	}
	p.checkpoint = filepath.Join(p.snapshot, m.GetName())
	if !isFile(p.checkpoint, "CURRENT") {
		return fmt.Errorf("%s names the checkpoint %s, which is not there or holds no CURRENT: did the tablet just replace it? then run this again",
			filepath.Join(p.snapshot, "MANIFEST"), m.GetName())
	}
	return nil
}

func isFile(dir, name string) bool {
	fi, err := os.Stat(filepath.Join(dir, name))
	return err == nil && fi.Mode().IsRegular()
}

func isDir(dir, name string) bool {
	fi, err := os.Stat(filepath.Join(dir, name))
	return err == nil && fi.IsDir()
}

func holdsLog(dir string) bool {
	logs, _ := filepath.Glob(filepath.Join(dir, "[0-9]*.log")) // the pattern is well formed, the only error there is
	return len(logs) > 0
}
