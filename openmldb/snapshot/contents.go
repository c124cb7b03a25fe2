package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// TableFile is a live table file as the MANIFEST of a checkpoint describes it.
type TableFile struct {
	Name              string
	Level             int
	Bytes             uint64
	Smallest, Largest []byte // user keys, both inclusive
	MaxSeq            uint64 // last sequence number in it
}

// Contents is what the MANIFEST of a checkpoint says, whether the files are there or not.
type Contents struct {
	Manifest string // path
	LastSeq  uint64
	Families []FamilyFiles
}

// FamilyFiles is a column family with its live files in the order they are read: level by level, those of level 0 newest first.
type FamilyFiles struct {
	Family
	Tables []TableFile
}

// ReadContents reads the MANIFEST of the checkpoint in checkpointDir and nothing else. Whether its files are there and whole, Open tells.
func ReadContents(fsys FS, checkpointDir string) (*Contents, error) {
	v, err := readVersion(fsys, checkpointDir)
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", checkpointDir, err)
	}
	c := &Contents{Manifest: v.manifest, LastSeq: v.lastSeq}
	for _, f := range v.families {
		one := FamilyFiles{Family: Family{ID: f.id, Name: f.name, Comparator: f.comparator, Files: len(f.files)}}
		for _, m := range f.files {
			one.Bytes += m.size
			one.Tables = append(one.Tables, TableFile{tableName(m.num), m.level, m.size, m.smallest.user, m.largest.user, m.maxSeq})
		}
		slices.SortFunc(one.Tables, func(a, b TableFile) int {
			if a.Level == 0 && b.Level == 0 {
				return cmp.Or(cmp.Compare(b.MaxSeq, a.MaxSeq), strings.Compare(b.Name, a.Name))
			}
			return cmp.Or(cmp.Compare(a.Level, b.Level), Compare(a.Smallest, b.Smallest), strings.Compare(a.Name, b.Name))
		})
		c.Families = append(c.Families, one)
	}
	slices.SortFunc(c.Families, func(a, b FamilyFiles) int { return cmp.Compare(a.ID, b.ID) })
	return c, nil
}
