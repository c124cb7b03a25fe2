package snapshot

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Defaults of Options.
const (
	DefaultOpenFiles = 64
	DefaultReadAhead = 256 << 10
)

// Options of a DB; the zero value is good. Memory of a scan: for each file of level 0 and each further level one window (ReadAhead or the
// largest block, whichever is more), one decompressed block if blocks are compressed, and the index of the file that is being read; a tablet writes
// blocks of 256 KiB and compacts at 16 files of level 0 (HDD: 10, at most 40).
type Options struct {
	OpenFiles int // table files kept open, with their indexes and range tombstones, while nobody reads them; 0: DefaultOpenFiles
	ReadAhead int // bytes read at once where blocks are smaller; 0: DefaultReadAhead
}

// DB is an open checkpoint.
type DB struct {
	fsys     FS
	dir      string
	opts     Options
	seq      uint64
	families map[string]*family
	list     []Family
	tables   *tables
	owners   map[uint64]owner

	mu     sync.Mutex
	probes map[string][]*probe // idle, by family
	closed bool
}

// owner is where a live file belongs.
type owner struct {
	meta   *fileMeta
	family *family
}

// Family describes one column family of a checkpoint.
type Family struct {
	ID         uint32
	Name       string
	Comparator string // only families sorted by KeyTSComparator can be read
	Files      int    // live table files
	Bytes      uint64 // their sizes
}

// Open reads the MANIFEST of the checkpoint in checkpointDir and checks that exactly its live files are there, whole. An error that is
// fs.ErrNotExist means that something is missing, as when the tablet has just removed the directory.
func Open(fsys FS, checkpointDir string, opts Options) (*DB, error) {
	if opts.OpenFiles <= 0 {
		opts.OpenFiles = DefaultOpenFiles
	}
	if opts.ReadAhead <= 0 {
		opts.ReadAhead = DefaultReadAhead
	}
	db := &DB{fsys: fsys, dir: checkpointDir, opts: opts, families: map[string]*family{}, owners: map[uint64]owner{}, probes: map[string][]*probe{}}
	db.tables = newTables(opts.OpenFiles, db.openTable)
	if err := db.load(); err != nil {
		return nil, fmt.Errorf("open snapshot %s: %w", checkpointDir, err)
	}
	return db, nil
}

func (db *DB) load() error {
	v, err := readVersion(db.fsys, db.dir)
	if err != nil {
		return err
	}
	db.seq = v.lastSeq
	for _, c := range v.families {
		if db.families[c.name] != nil {
			return corrupt(v.manifest, 0, "two column families have the name %s", c.name)
		}
		db.families[c.name] = c
		f := Family{ID: c.id, Name: c.name, Comparator: c.comparator, Files: len(c.files)}
		for num, m := range c.files {
			if _, twice := db.owners[num]; twice {
				return corrupt(v.manifest, 0, "file %06d is in two column families", num)
			}
			db.owners[num] = owner{m, c}
			f.Bytes += m.size
		}
		db.list = append(db.list, f)
	}
	slices.SortFunc(db.list, func(a, b Family) int { return int(int64(a.ID) - int64(b.ID)) })
	return db.checkFiles(v.manifest)
}

// checkFiles compares the directory with the MANIFEST. A checkpoint holds its live files and no others; a table that no record knows shows that
// records are missing at the end of the MANIFEST, which its checksums cannot.
func (db *DB) checkFiles(manifest string) error {
	list, err := db.fsys.ReadDir(db.dir)
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for num, o := range db.owners {
		name := filepath.Join(db.dir, tableName(num))
		live[tableName(num)] = true
		fi, err := db.fsys.Stat(name)
		if err != nil {
			return fmt.Errorf("table file of column family %s: %w", o.family.name, err)
		}
		if err := checkSize(name, o.meta, fi.Size()); err != nil {
			return err
		}
	}
	for _, e := range list {
		name := e.Name()
		if strings.HasSuffix(name, ".sst") && !live[name] {
			return corrupt(manifest, 0, "table file %s is in the directory, but no record names it: the end of the file is missing", name)
		}
		if strings.HasSuffix(name, ".blob") {
			return unsupported(filepath.Join(db.dir, name), "a blob file")
		}
	}
	return nil
}

func tableName(num uint64) string { return fmt.Sprintf("%06d.sst", num) }

func (db *DB) openTable(num uint64) (*table, error) {
	o := db.owners[num]
	return openTable(db.fsys, filepath.Join(db.dir, tableName(num)), o.meta, o.family)
}

// Families lists the column families by id.
func (db *DB) Families() []Family { return slices.Clone(db.list) }

// Seq is the last sequence number the checkpoint knows.
func (db *DB) Seq() uint64 { return db.seq }

// Empty tells whether no family has a file.
func (db *DB) Empty() bool { return len(db.owners) == 0 }

// family finds a family that can be read. An index that never got a row still has its family.
func (db *DB) family(name string) (*family, error) {
	c := db.families[name]
	if c == nil {
		return nil, fmt.Errorf("snapshot %s has no column family %s: the index was added after the snapshot, or dropped", db.dir, name)
	}
	if c.comparator != keyTSComparator {
		return nil, unsupported(filepath.Join(db.dir, "CURRENT"), "column family %s, sorted by %q,", name, c.comparator)
	}
	return c, nil
}

// Close closes all files. Iterators that are still open fail at their next file and have to be closed, too.
func (db *DB) Close() error {
	db.mu.Lock()
	db.closed = true
	var idle []*probe
	for _, ps := range db.probes {
		idle = append(idle, ps...)
	}
	db.probes = nil
	db.mu.Unlock()
	var first error
	for _, p := range idle {
		if err := p.close(); err != nil && first == nil {
			first = err
		}
	}
	if err := db.tables.close(); err != nil && first == nil {
		first = err
	}
	if first != nil {
		return fmt.Errorf("close snapshot %s: %w", db.dir, first)
	}
	return nil
}
