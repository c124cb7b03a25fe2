package synctool

import (
	"testing"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

func TestBehind(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		v    *omsyncpb.SubtaskView
		want bool
	}{
		"not begun":        {&omsyncpb.SubtaskView{State: "INIT"}, true},
		"snapshot":         {&omsyncpb.SubtaskView{State: "RUNNING", Point: &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_SNAPSHOT}}, true},
		"backlog, FAILED":  {&omsyncpb.SubtaskView{State: "FAILED", Point: &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_BACKLOG}}, true},
		"log, all is in":   {&omsyncpb.SubtaskView{State: "RUNNING", Point: &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG}}, false},
		"log, unread":      {&omsyncpb.SubtaskView{State: "RUNNING", Point: &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG}, LagEntries: 1}, true},
		"log, uncommitted": {&omsyncpb.SubtaskView{State: "RUNNING", Point: &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG}, LagMs: 1}, true},
		"done":             {&omsyncpb.SubtaskView{State: "SUCCESS", Point: &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_DONE}}, false},
		"done, empty":      {&omsyncpb.SubtaskView{State: string(coord.Success)}, false},
	} {
		if got := behind(tc.v); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestStallsAreCounted: once when it begins or its code changes, not at every try.
func TestStallsAreCounted(t *testing.T) {
	t.Parallel()
	s := &subtask{term: &term{changes: newChanges()}}
	for i, step := range []struct {
		code, reason string
		want         uint64
	}{
		{codeDestWrite, "full", 1}, {codeDestWrite, "still full", 1}, {codeNoCollector, "gone", 2}, {"", "", 2}, {codeDestWrite, "full", 3},
	} {
		var f *omsyncpb.Fault
		if step.code != "" {
			f = &omsyncpb.Fault{Code: step.code, Reason: step.reason}
		}
		s.setStalled(f)
		if s.live.stalls != step.want {
			t.Errorf("step %d: %d stalls, want %d", i, s.live.stalls, step.want)
		}
	}
}
