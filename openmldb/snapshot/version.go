package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

const currentLimit = 4 << 10 // bytes of CURRENT

// family is a column family with its live files.
type family struct {
	id         uint32
	name       string
	comparator string
	files      map[uint64]*fileMeta

	runs [][]*fileMeta // each in key order without overlap: the files of level 0 newest first, one a run, then level 1, 2, …
}

// version is what the MANIFEST of a checkpoint adds up to.
type version struct {
	manifest string // path
	families map[uint32]*family
	lastSeq  uint64
}

// readVersion follows CURRENT and applies every edit.
func readVersion(fsys FS, dir string) (*version, error) {
	current := filepath.Join(dir, "CURRENT")
	b, err := readSmall(fsys, current, currentLimit)
	if err != nil {
		return nil, err
	}
	name, whole := bytes.CutSuffix(b, []byte("\n"))
	if !whole || !isManifestName(string(name)) {
		return nil, corrupt(current, 0, "%q is not the name of a MANIFEST and a newline", b)
	}
	v := &version{manifest: filepath.Join(dir, string(name)), families: map[uint32]*family{0: newFamily(0, "default")}}
	f, err := fsys.Open(v.manifest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := v.replay(newRecords(v.manifest, f, fi.Size())); err != nil {
		return nil, err
	}
	for _, c := range v.families {
		if err := c.sort(v.manifest); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func isManifestName(s string) bool {
	n, ok := strings.CutPrefix(s, "MANIFEST-")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

func newFamily(id uint32, name string) *family {
	return &family{id: id, name: name, comparator: bytewiseComparator, files: map[uint64]*fileMeta{}}
}

// replay applies the edits of a log. The edits of an atomic group count only together.
func (v *version) replay(l *records) error {
	var group []*edit
	var n int
	for ; ; n++ {
		b, err := l.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		e, err := decodeEdit(b)
		if err != nil {
			return v.bad(l.at, err)
		}
		if e.remaining == nil {
			if len(group) > 0 {
				return corrupt(v.manifest, l.at, "an atomic group of edits is not whole")
			}
			if err := v.apply(e); err != nil {
				return v.bad(l.at, err)
			}
			continue
		}
		if k := len(group); k > 0 && *group[k-1].remaining != *e.remaining+1 {
			return corrupt(v.manifest, l.at, "an atomic group of edits is not whole")
		}
		group = append(group, e)
		if *e.remaining > 0 {
			continue
		}
		for _, e := range group {
			if err := v.apply(e); err != nil {
				return v.bad(l.at, err)
			}
		}
		group = group[:0]
	}
	if len(group) > 0 {
		return corrupt(v.manifest, l.size, "the file ends inside an atomic group of edits")
	}
	if n == 0 {
		return corrupt(v.manifest, 0, "the file holds no version edit")
	}
	return nil
}

func (v *version) bad(at int64, err error) error {
	var feature errFeature
	if errors.As(err, &feature) {
		return unsupported(v.manifest, "%s", feature)
	}
	return corrupt(v.manifest, at, "%v", err)
}

func (v *version) apply(e *edit) error {
	if e.lastSeq != nil {
		v.lastSeq = max(v.lastSeq, *e.lastSeq)
	}
	if e.add != nil {
		if v.families[e.family] != nil {
			return errEdit(fmt.Sprintf("column family %d is added twice", e.family))
		}
		v.families[e.family] = newFamily(e.family, *e.add)
	}
	c := v.families[e.family]
	if c == nil {
		return errEdit(fmt.Sprintf("an edit is for column family %d, which is not there", e.family))
	}
	if e.drop {
		delete(v.families, e.family)
		return nil
	}
	if e.comparator != nil {
		c.comparator = *e.comparator
	}
	for _, d := range e.deleted {
		if f := c.files[d.num]; f == nil || f.level != d.level {
			return errEdit(fmt.Sprintf("file %06d is deleted from level %d, where it is not", d.num, d.level))
		}
		delete(c.files, d.num)
	}
	for _, f := range e.added {
		if c.files[f.num] != nil {
			return errEdit(fmt.Sprintf("file %06d is added twice", f.num))
		}
		c.files[f.num] = f
	}
	return nil
}

// sort arranges the files in runs. Families whose order this package does not know stay without: they cannot be scanned.
func (c *family) sort(manifest string) error {
	if c.comparator != keyTSComparator {
		return nil
	}
	byLevel := map[int][]*fileMeta{}
	for _, f := range c.files {
		if f.smallest.compare(f.largest.user, f.largest.trailer) > 0 {
			return corrupt(manifest, 0, "the smallest key of file %06d is behind its largest", f.num)
		}
		byLevel[f.level] = append(byLevel[f.level], f)
	}
	for _, f := range byLevel[0] {
		c.runs = append(c.runs, []*fileMeta{f})
	}
	slices.SortFunc(c.runs, func(a, b []*fileMeta) int { // newest first; the number decides for ingested ones
		if a[0].maxSeq != b[0].maxSeq {
			if a[0].maxSeq > b[0].maxSeq {
				return -1
			}
			return 1
		}
		return int(int64(b[0].num) - int64(a[0].num))
	})
	for level := 1; level < levels; level++ {
		fs := byLevel[level]
		if len(fs) == 0 {
			continue
		}
		slices.SortFunc(fs, func(a, b *fileMeta) int { return a.smallest.compare(b.smallest.user, b.smallest.trailer) })
		for i := 1; i < len(fs); i++ {
			if fs[i-1].largest.compare(fs[i].smallest.user, fs[i].smallest.trailer) >= 0 {
				return corrupt(manifest, 0, "files %06d and %06d of level %d overlap", fs[i-1].num, fs[i].num, level)
			}
		}
		c.runs = append(c.runs, fs)
	}
	return nil
}
