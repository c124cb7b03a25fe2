package collector

import (
	"os"
	"path/filepath"
	"testing"

	"omsync/rpc/omsyncpb"
)

// TestHoldBudget: at 80 % of the budget /health warns; over it the partition that holds most fails with the range, its links go, and others go on.
func TestHoldBudget(t *testing.T) {
	t.Parallel()
	const budget = 40_000
	s := newScene(t, newWords(t, "ts", 2000), func(o *Options) { o.HoldBudget = budget })
	small := openWords(t, filepath.Join(t.TempDir(), "7_1"), "ts", 2000, 1)
	small.PID = 1
	s.tab.serve(small)
	_, last := fill(t, s.p, 0, 3)
	fill(t, small, 0, 3)
	s.assign(2)
	s.c.mustAdd(s.tool.assign(s.tab.assignment(small, 2)))
	s.exported(last)
	s.tool.until("the other, too", func() bool { return s.tool.subs[1].point.GetLogIndex() == 3 })
	committed := s.tool.sub(0).point.GetLogIndex()
	s.hold()
	fill(t, s.p, 3, 1000)
	files := logsOf(t, s.p.BinlogDir())
	until(t, "all is linked", func() bool {
		u, err := s.sub0().hold.usage()
		return err == nil && u.logFiles >= len(files)
	})

	kept := int64(0)
	for files = files[:len(files)-1]; kept < budget*85/100; files = files[1:] { // the tablet trims
		kept += remove(t, files[0])
	}
	if kept > budget {
		t.Fatalf("one file is too large a step: %d bytes", kept)
	}
	s.c.ill("links keep", "the budget is 40000 (hold_budget_bytes)", "the most is held for db.words partition 0")
	s.unfailed()
	for ; kept <= budget; files = files[1:] {
		kept += remove(t, files[0])
	}
	f := s.failed(codeHoldOverBudget)
	contains(t, f.GetReason(), "over the budget of 40000", "log entries 4 to 1003 may be gone")
	contains(t, f.GetHint(), "raise hold_budget_bytes", "recover --reexport")
	if committed != 3 {
		t.Fatalf("committed %d", committed)
	}
	s.c.well()
	holds, err := s.c.client().Holds(ask(t), &omsyncpb.HoldsRequest{})
	if err != nil || holds.GetHolds()[0].GetLogFiles() != 0 || holds.GetHolds()[1].GetLogFiles() == 0 {
		t.Errorf("%v, %v", holds, err)
	}
	s.release()
	_, last = fill(t, small, 3, 5)
	s.tool.until("the other goes on", func() bool { return s.tool.subs[1].point.GetLogIndex() == last })

	// Recovered, it says what is missing.
	s.tool.mu.Lock()
	s.tool.subs[0].faults = nil
	s.tool.mu.Unlock()
	s.reassign(s.c, nil)
	contains(t, s.failed(codeLogTrimmed).GetReason(), "log entry 3 is gone")
}

// sub0 is the subtask of partition 0.
func (s *scene) sub0() *subtask { return s.c.c.reg.all()[0] }

func remove(t *testing.T, file string) int64 {
	t.Helper()
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}
