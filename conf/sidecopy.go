package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sideCopy compares conf/synctool.properties of a package with synctool/conf/synctool.properties beside it. OpenMLDB's start.sh overwrote that copy at
// each start and its SyncTool read it; ours does not, so one that differs means that somebody edited the file that nobody reads, or that the other
// program would start with something else. The warning is empty when all is well. Values are not shown: some are secret.
func sideCopy(path string, given []assignment) (warning string) {
	abs, err := filepath.Abs(path)
	if err != nil || filepath.Base(filepath.Dir(abs)) != "conf" {
		return ""
	}
	copied := filepath.Join(filepath.Dir(filepath.Dir(abs)), "synctool", "conf", filepath.Base(abs))
	if here, err := os.Stat(abs); err == nil {
		if there, err := os.Stat(copied); err == nil && os.SameFile(here, there) {
			return ""
		}
	}
	other, err := readProperties(copied)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		return fmt.Sprintf("%s is not read, and whether it equals %s is not known: %v", copied, path, err)
	}
	values := func(list []assignment) map[string]string {
		out := map[string]string{}
		for _, a := range list {
			out[a.key] = a.value
		}
		return out
	}
	mine, theirs := values(given), values(other)
	var differ []string
	for k, v := range mine {
		if o, there := theirs[k]; !there || o != v {
			differ = append(differ, k)
		}
	}
	for k := range theirs {
		if _, there := mine[k]; !there {
			differ = append(differ, k)
		}
	}
	if len(differ) == 0 {
		return ""
	}
	slices.Sort(differ)
	return fmt.Sprintf("%s differs from %s in %s: only %s is read; copy it over the other one, or remove that one", copied, path, strings.Join(differ, ", "), path)
}
