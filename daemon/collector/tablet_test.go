package collector

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
)

// noPaths is the answer of a tablet that does not tell where the data lies.
func noPaths(state apipb.TableState) func(*apipb.TableStatus) {
	return func(st *apipb.TableStatus) { st.SnapshotPath, st.BinlogPath, st.State = nil, nil, state.Enum() }
}

// TestRefusedTablets: what can never be exported is refused with its reason, and nothing of it stays.
func TestRefusedTablets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*apipb.TableStatus)
		err  error
		drop bool
		code string
		says []string
	}{
		"too old": {edit: noPaths(apipb.TableState_kTableNormal), code: codeTabletTooOld, says: []string{"too old", "0.7.3"}},
		"relative path": {
			edit: func(st *apipb.TableStatus) { p := "./db/7_0/binlog"; st.BinlogPath = &p }, code: codeTabletTooOld, says: []string{"not absolute", "ssd_root_path"},
		},
		"memory": {
			edit: func(st *apipb.TableStatus) { st.StorageMode = commonpb.StorageMode_kMemory.Enum() }, code: codeTableMemory, says: []string{"memory table"},
		},
		"error": {err: errors.New("the tablet is busy"), code: codeTabletUnreachable, says: []string{"the tablet is busy"}},
		"gone":  {drop: true, code: codeTableGone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil, nil)
			s.tab.set(c.edit, c.err)
			if c.drop {
				s.tab.drop(s.p.TID, s.p.PID)
			}
			f := refusalOf(t, s.c.add(s.tool.assign(s.tab.assignment(s.p, 2))))
			if f.GetCode() != c.code || f.GetHint() == "" {
				t.Errorf("%v, want %s and a hint", f, c.code)
			}
			contains(t, f.GetReason(), append(c.says, "db.words partition 0", s.tab.addr)...)
			if s.c.view(0) != nil {
				t.Error("there is a subtask")
			}
			if _, err := os.Stat(filepath.Join(s.c.c.o.DataDir, "7-0")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something of it stays: %v", err)
			}
		})
	}
}

// TestTabletThatIsNotReady: a partition that is not in state normal yet is taken and waited for, with or without paths.
func TestTabletThatIsNotReady(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]apipb.TableState{
		"loading": apipb.TableState_kTableLoading, "undefined": apipb.TableState_kTableUndefined, "snapshot at start": apipb.TableState_kMakingSnapshot,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil, nil)
			words, last := fill(t, s.p, 0, 5)
			s.tab.set(noPaths(state), nil)
			s.assign(2)
			s.tool.until("the synctool is told what is waited for", func() bool {
				return s.tool.subs[0].beat.GetWaitingFor() == "the tablet to load the partition"
			})
			if n := len(s.tool.sub(0).rows); n > 0 {
				t.Errorf("%d rows of a partition that is not ready", n)
			}
			s.tab.set(nil, nil)
			s.exported(last)
			if got := s.words(); !slices.Equal(got, words) {
				t.Errorf("%q", got)
			}
			s.unfailed()
		})
	}
}

// TestTabletTroubleIsRetried: errors of the tablet's RPC before the partition was ever seen are told and tried again; later they do not stop the log.
func TestTabletTroubleIsRetried(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	_, last := fill(t, s.p, 0, 5)
	s.tab.set(noPaths(apipb.TableState_kTableLoading), nil)
	s.assign(2)
	s.tool.until("it is attached", func() bool { return s.tool.subs[0].attach > 0 })
	s.tab.set(nil, errors.New("the tablet is busy"))
	s.tool.until("the trouble is told twice", func() bool { return len(s.tool.subs[0].faults) > 1 })
	for _, f := range s.tool.sub(0).faults {
		if !f.GetRetry() || f.GetFault().GetCode() != codeTabletUnreachable {
			t.Errorf("%v", f)
		}
		contains(t, f.GetFault().GetReason(), "the tablet is busy", "db.words partition 0", s.tab.addr)
	}
	s.tab.set(nil, nil)
	s.exported(last)
	until(t, "the fault is over", func() bool { return s.c.view(0).GetFault() == nil })

	s.tab.set(nil, errors.New("the tablet is busy again"))
	told := len(s.tool.sub(0).faults)
	s.c.cut() // the next attach asks in vain
	_, last = fill(t, s.p, 5, 5)
	s.exported(last)
	if n := len(s.tool.sub(0).faults); n != told {
		t.Errorf("%d faults more, though the links are enough to go on", n-told)
	}
}

// TestVanishedPartition: a tablet that has no such partition any more is believed after a while, and after all that is linked is exported.
func TestVanishedPartition(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, func(o *Options) { o.pace.gone = 50 * time.Millisecond })
	_, last := fill(t, s.p, 0, 3)
	s.assign(2)
	s.exported(last)
	words, last := fill(t, s.p, 3, 50)
	s.tab.drop(s.p.TID, s.p.PID)
	f := s.failed(codeTableGone)
	contains(t, f.GetReason(), s.tab.addr)
	contains(t, f.GetHint(), "delete the task if the table was dropped")
	s.exported(last)
	if got := s.words(); !slices.Equal(got[3:], words) {
		t.Errorf("%q", got)
	}
	until(t, "it is shown as failed", func() bool { return s.c.view(0).GetState() == "failed" })
}

// TestPartitionIsMissingForAWhile: moves and restarts look like a dropped table for a moment.
func TestPartitionIsMissingForAWhile(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, func(o *Options) { o.pace.gone = time.Hour })
	_, last := fill(t, s.p, 0, 3)
	s.assign(2)
	s.exported(last)
	s.tab.drop(s.p.TID, s.p.PID)
	until(t, "it is missing", func() bool { return s.sub().missing() != nil })
	s.tab.serve(s.p)
	until(t, "it is back", func() bool { return s.sub().missing() == nil })
	_, last = fill(t, s.p, 3, 3)
	s.exported(last)
	s.unfailed()
}
