package collector

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"omsync/rpc/omsyncpb"
	"omsync/testenv/ledger"
)

type jsonRow struct {
	Offset uint64
	Method string
	Ts     uint64 `json:"ts,string"`
	Dims   [][]any
	Sha8   string
	RowSha string `json:"row_sha8"`
}

func jsonRows(t *testing.T, path string) []jsonRow {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []jsonRow
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var r jsonRow
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func sha8(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// TestFixtures exports what a real tablet left, in mode 2: the scan gives exactly what OpenMLDB's own reader gives, in its order, and the whole is
// what the ledger says of the log and the snapshot.
func TestFixtures(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"101_0", "102_0", "102_1", "102_2", "102_3", "104_0", "105_0", "107_0", "108_0", "109_0", "110_0", "110_1", "111_0", "111_1", "111_2", "111_3",
		"112_0", "112_2", "112_7", "112_11", "114_0", "115_0", "117_0", "118_0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), name)
			copyFixture(t, name, dir)
			snap, log := jsonRows(t, filepath.Join(dir, "expected_snapshot.jsonl")), jsonRows(t, filepath.Join(dir, "expected_binlog.jsonl"))
			p := openFixture(t, dir)
			tab, tool := startTablet(t), newTool(t, 1)
			tab.serve(p)
			c := run(t, tool.options(endpoint, t.TempDir()), newFakeCluster(tool, tab.node()))
			c.ended()
			c.mustAdd(tool.assign(tab.assignment(p, 2)))
			last := uint64(0)
			for _, l := range log {
				last = max(last, l.Offset)
			}
			tool.until("the log is exported", func() bool {
				s := tool.subs[0]
				return s.point.GetPhase() == omsyncpb.Phase_PHASE_LOG && s.point.GetLogIndex() >= last
			})
			s := tool.sub(0)
			var got, want []string
			for _, r := range s.rows[:s.scanned] {
				got = append(got, sha8(r))
			}
			for _, r := range snap {
				want = append(want, r.Sha8)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the scan gives %d rows that are not the %d expected", len(got), len(want))
			}
			if p.Schema().Indexes[0].AbsTTL == 0 { // every put with index 0's key is exported or in the snapshot, or removed or rewritten before z
				seen := map[string]bool{}
				for _, r := range s.rows {
					seen[sha8(r)] = true
				}
				for _, l := range log {
					if sum := cmpOr(l.RowSha, l.Sha8); l.Method == "put" && seen[sum] && !hasKey0(l) && !slices.Contains(want, sum) {
						t.Errorf("entry %d, which has no key of index 0, is exported", l.Offset)
					}
				}
			}
			l := ledger.NewTable(ledger.Shape{Name: name, Columns: p.Schema().AllColumns(), Tag: -1, Index: p.Schema().Indexes[0]})
			if err := l.SeedFixture(0, "t", dir); err != nil {
				t.Logf("%s is not taken against the ledger: %v", name, err)
				tool.check()
				return
			}
			w := ledger.Window{Mode: 2, ZLo: s.plan.GetZ(), ZHi: s.plan.GetZ(), PinLo: s.plan.GetNowMs(), PinHi: s.plan.GetNowMs()}
			if s.plan.GetSnapshotName() != "" && len(snap) > 0 {
				w.Bases = []ledger.Base{{Name: "fixture"}}
			} else {
				w.Bases = []ledger.Base{{}}
			}
			rep, err := l.Verify(readBack(p.Schema(), 0, s.rows), map[uint32]ledger.Window{0: w})
			if err != nil {
				t.Fatal(err)
			}
			if err := rep.Err(); err != nil {
				t.Errorf("z %d backlog %d: %v", s.plan.GetZ(), s.plan.GetBacklogRows(), err)
			}
			tool.check()
		})
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func hasKey0(l jsonRow) bool {
	for _, d := range l.Dims {
		if n, ok := d[0].(float64); ok && n == 0 {
			return true
		}
	}
	return false
}

// TestBrokenFixtures: a log that is damaged or has lost files stops the subtask with the place.
func TestBrokenFixtures(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{"112_8": codeLogGap, "112_10": codeLogCorrupt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := fixture(t, name)
			tab, tool := startTablet(t), newTool(t, 1)
			tab.serve(p)
			c := run(t, tool.options(endpoint, t.TempDir()), newFakeCluster(tool, tab.node()))
			c.ended()
			c.mustAdd(tool.assign(tab.assignment(p, 2)))
			tool.until("a fault", func() bool { return len(tool.subs[0].faults) > 0 })
			f := tool.sub(0).faults[0]
			if f.GetRetry() || f.GetFault().GetCode() != code || f.GetFault().GetHint() == "" {
				t.Errorf("%v", f)
			}
			contains(t, f.GetFault().GetReason(), p.Schema().Name+" partition 0", ".log")
			until(t, "the state is failed", func() bool { return c.view(0).GetState() == "failed" })
			if len(tool.sub(0).rows) != 0 || bytes.Contains([]byte(f.GetFault().GetReason()), []byte("%!")) {
				t.Errorf("rows came, or the text is broken: %s", f.GetFault().GetReason())
			}
			tool.check()
		})
	}
}
