package collector

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestRestart: a collector goes on by itself with what its data directory says. Links that no task owns are swept; those of a record that can not be
// read are kept and told of, until the partition is assigned again.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := newScene(t, newWords(t, "ts", 2000), nil)
	words, last := fill(t, s.p, 0, 3)
	s.assign(2)
	s.exported(last)
	if err := s.c.stop(); err != nil {
		t.Fatal(err)
	}
	dir := s.c.c.o.DataDir
	restart := func() {
		t.Helper()
		s.c = run(t, s.tool.options(endpoint, dir), s.fake)
		s.c.ended()
	}
	for _, d := range []string{"7-8/log-1", "7-9/log-1"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	damaged := filepath.Join(dir, "7-9", assignmentName)
	if err := os.WriteFile(damaged, []byte("omsync-assignment-1 00000000\n{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	more, last := fill(t, s.p, 3, 50)
	restart()
	s.exported(last)
	if got := s.words(); !slices.Equal(got, append(words, more...)) {
		t.Errorf("%q", got)
	}
	s.c.ill("assignment of 7-9", "damaged", damaged)
	if _, err := os.Stat(filepath.Join(dir, "7-8")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("links without a task: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "7-9", "log-1")); err != nil {
		t.Errorf("links of a damaged record: %v", err)
	}

	other := openWords(t, filepath.Join(t.TempDir(), "7_9"), "ts", 0, 1)
	other.PID = 9
	fill(t, other, 0, 1)
	s.tab.serve(other)
	s.c.mustAdd(s.tool.assign(s.tab.assignment(other, 2)))
	s.c.well()
	s.tool.until("the other is exported", func() bool { return len(s.tool.subs[9].rows) == 1 })
}
