package ledger

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// files lists what Spark and Hive would read below a destination: nothing whose name, or whose directory's name, begins with _ or a dot.
func files(dir, suffix string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := path != dir && (strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), "."))
		switch {
		case hidden && d.IsDir():
			return filepath.SkipDir
		case hidden || d.IsDir():
			return nil
		case filepath.Ext(d.Name()) != suffix:
			return fmt.Errorf("%s is no %s file: what is it doing at the destination?", path, suffix)
		}
		out = append(out, path)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list destination: %w", err)
	}
	return out, nil
}

var finalName = regexp.MustCompile(`-p(\d+)-\d+\.[a-z]+$`)

// pidOf reads the partition out of a final name, g<generation>-p<pid>-<seq>.csv.
func pidOf(path string) int {
	m := finalName.FindStringSubmatch(filepath.Base(path))
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return -1
	}
	return n
}
