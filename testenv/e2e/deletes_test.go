//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"omsync/testenv/ledger"
	"omsync/testenv/scene"
)

var deletesName = regexp.MustCompile(`^_deletes-g([0-9a-f]{16})-p(\d+)-\d{8}\.jsonl$`)

// checkDeletes takes a task's files of deletes against the ledger: every delete acknowledged after z is there once, and nothing else. A task that
// ignores them has no such file.
func (k *kit) checkDeletes(t *scene.Task, least int) {
	k.Helper()
	if t.Deletes == "log" {
		k.must(t.Settled(k.ctx))
	}
	files, err := filepath.Glob(filepath.Join(t.Dest, "_deletes*"))
	k.must(err)
	if t.Deletes != "log" {
		if len(files) > 0 {
			k.Errorf("%s: deletes are ignored, but there are %v", t.Name(), files)
		}
		return
	}
	v, err := t.View(k.ctx)
	k.must(err)
	got := map[uint32]map[uint64]ledger.Removal{}
	for _, s := range v.GetSubtasks() {
		got[s.GetPid()] = map[uint64]ledger.Removal{}
	}
	for _, file := range files {
		m := deletesName.FindStringSubmatch(filepath.Base(file))
		if m == nil {
			k.Errorf("%s: what is %s?", t.Name(), file)
			continue
		}
		pid, err := strconv.Atoi(m[2])
		k.must(err)
		k.readDeletes(file, got[uint32(pid)])
	}
	sum := 0
	for _, s := range v.GetSubtasks() {
		there := got[s.GetPid()]
		want, open := t.Table.Ledger().Removed(s.GetPid(), s.GetZ())
		for _, w := range want {
			d, ok := there[w.Index]
			same := ok && d.Start == w.Start && d.End == w.End && (d.Key == nil) == (w.Key == nil) && (w.Key == nil || *d.Key == *w.Key)
			if !same {
				k.Errorf("%s partition %d, z %d: the files have %+v (%t) for the delete %+v", t.Name(), s.GetPid(), s.GetZ(), d, ok, w)
			}
		}
		if len(there) < len(want) || len(there) > len(want)+open {
			k.Errorf("%s partition %d: %d deletes in the files, %d were acknowledged after z, %d not answered", t.Name(), s.GetPid(), len(there), len(want), open)
		}
		sum += len(want)
	}
	if sum < least {
		k.Errorf("%s: %d deletes after z, want at least %d", t.Name(), sum, least)
	}
	k.Logf("%s: deletes=%d in %d files", t.Name(), sum, len(files))
}

// readDeletes reads one file of deletes.
func (k *kit) readDeletes(file string, into map[uint64]ledger.Removal) {
	k.Helper()
	f, err := os.Open(file)
	k.must(err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		d := struct {
			Index uint64  `json:"log_index"`
			Term  uint64  `json:"term"`
			Key   *string `json:"key"`
			Start *uint64 `json:"start_ts"`
			End   uint64  `json:"end_ts"`
			Time  int64   `json:"time"`
		}{}
		k.must(json.Unmarshal(lines.Bytes(), &d))
		if _, twice := into[d.Index]; twice || d.Term == 0 || d.Time == 0 {
			k.Errorf("%s: %s: twice (%t), or without term or time", file, lines.Text(), twice)
		}
		r := ledger.Removal{Index: d.Index, Key: d.Key, Start: math.MaxUint64, End: d.End}
		if d.Start != nil {
			r.Start = *d.Start
		}
		into[d.Index] = r
	}
	k.must(lines.Err())
}
