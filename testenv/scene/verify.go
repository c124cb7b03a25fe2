package scene

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"omsync/testenv/ledger"
)

// Verify takes the task's files against the table's ledger: what was acknowledged up to the call must be there. tolerance is the collectors'
// handoff_clock_tolerance_ms; 0 = its default. Where the subtask's state names its plan, the ledger is asked about exactly that.
func (t *Task) Verify(ctx context.Context, tolerance time.Duration) (ledger.Report, error) {
	states, err := t.states(ctx)
	if err != nil {
		return ledger.Report{}, err
	}
	now := t.Table.Ledger().Mark()
	windows := map[uint32]ledger.Window{}
	for pid, st := range states {
		if st.Plan == nil {
			return ledger.Report{}, fmt.Errorf("verify %s: partition %d has no hand-off plan yet: it is %s at %v", t.Name(), pid, st.Status, st.Point)
		}
		w := t.Table.Ledger().Between(pid, t.from, now, t.Mode, t.StartTS).Known(st.Plan.Z, st.Plan.Pin, st.Plan.NowMs)
		w.Tolerance = tolerance
		windows[pid] = w
	}
	rows := ledger.ReadCSV(cmp.Or(t.Files, t.Dest), t.Table.Schema().AllColumns(), t.Dialect, time.Local)
	return t.Table.Ledger().Verify(rows, windows)
}
