package collector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/openmldb/pb/apipb"
	"omsync/rpc/omsyncpb"
	"omsync/testenv/tabletsim"
)

// keeps tells a collector which logs to hold; one that is just starting is told again, as the synctool does.
func (p *process) keeps(round uint64, holds ...*omsyncpb.StandbyHold) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), waitFor)
	defer cancel()
	c := p.client()
	for {
		_, err := c.Keep(ctx, &omsyncpb.KeepRequest{Epoch: 1, Round: round, Holds: holds}, grpc.WaitForReady(true))
		if status.Code(err) != codes.Unavailable {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (p *process) mustKeep(round uint64, holds ...*omsyncpb.StandbyHold) {
	p.t.Helper()
	if err := p.keeps(round, holds...); err != nil {
		p.t.Fatal(err)
	}
}

// standby is a hold of a partition on this tablet.
func (x *oneTablet) standby(p *tabletsim.Partition, committed uint64) *omsyncpb.StandbyHold {
	a := x.assignment(p, 2)
	return &omsyncpb.StandbyHold{
		Key: a.GetKey(), Db: a.GetDb(), Table: a.GetTable(), TabletEndpoint: x.addr, TabletAddress: x.addr, Committed: committed,
	}
}

// linked waits until a collector's standby hold has as many log files as a partition has.
func (p *process) linked(of *tabletsim.Partition) {
	p.t.Helper()
	until(p.t, "the log is linked", func() bool {
		all := p.c.reg.standbys()
		if len(all) != 1 {
			return false
		}
		h, err := all[0].held()
		return err == nil && int(h.GetLogFiles()) >= len(logsOf(p.t, of.BinlogDir()))
	})
}

// follower is a replica of the scene's partition on a tablet of its own.
func (s *scene) follower() (*tabletsim.Partition, *oneTablet) {
	s.t.Helper()
	p, tab := openWords(s.t, s.t.TempDir(), "ts", 2000, apipb.TableMode_kTableFollower), startTablet(s.t)
	tab.serve(p)
	if err := s.p.Attach(p); err != nil {
		s.t.Fatal(err)
	}
	return p, tab
}

// trim removes a partition's log files but the newest two.
func trim(t *testing.T, p *tabletsim.Partition) {
	t.Helper()
	files := logsOf(t, p.BinlogDir())
	if len(files) < 4 {
		t.Fatalf("%d log files are too few to trim", len(files))
	}
	for _, f := range files[:len(files)-2] {
		remove(t, f)
	}
}

// TestStandbyHoldIsTakenOver: the leader moves to a tablet that has trimmed its log beyond the committed point. With a standby hold there, which
// outlives a kill -9, the export goes on without a gap; without it it fails naming what is gone.
func TestStandbyHoldIsTakenOver(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]bool{"held": true, "not held": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, newWords(t, "ts", 2000), nil)
			p, tab := s.follower()
			words, committed := fill(t, s.p, 0, 20)
			s.assign(2)
			s.exported(committed)
			dir := t.TempDir()
			next := run(t, s.tool.options(endpoint, dir), s.fake)
			if held {
				next.mustKeep(1, tab.standby(p, 0))
				next.linked(p)
				next.mustKeep(2, tab.standby(p, committed))
			}
			s.c.kill()
			more, last := fill(t, s.p, 20, 200)
			until(t, "the follower has everything", func() bool { return p.Last() == last })
			if held {
				next.linked(p)
			}
			next.kill()
			next = run(t, s.tool.options(endpoint, dir), s.fake)
			next.ended()
			trim(t, p)
			p.Lead(10)
			s.reassign(next, func(a *omsyncpb.Assignment) { a.TabletEndpoint, a.TabletAddress = tab.addr, tab.addr })
			if !held {
				contains(t, s.failed(codeLogTrimmed).GetReason(), fmt.Sprintf("log entry %d is gone", committed))
				return
			}
			s.exported(last)
			if got := s.words(); !slices.Equal(got, append(words, more...)) {
				t.Errorf("%q", got)
			}
			s.unfailed()
			if n := len(next.c.reg.standbys()); n != 0 {
				t.Errorf("%d standby holds beside the subtask", n)
			}
			if _, err := os.Stat(filepath.Join(dir, "7-0", standbyName)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its record stays: %v", err)
			}
		})
	}
}

// TestStandbyHoldFollowsTheCommittedPoint: what is committed goes, also of a former incarnation of the tablet's directory; what comes after stays.
func TestStandbyHoldFollowsTheCommittedPoint(t *testing.T) {
	t.Parallel()
	s := newScene(t, newWords(t, "ts", 2000), nil)
	_, last := fill(t, s.p, 0, 200)
	s.c.mustKeep(1, s.tab.standby(s.p, 0))
	s.c.linked(s.p)
	k := s.c.c.reg.standbys()[0]
	first := func() uint64 {
		n, err := k.hold.first()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if first() != 1 {
		t.Fatalf("it begins at %d", first())
	}
	s.c.mustKeep(2, s.tab.standby(s.p, 100))
	until(t, "it is pruned", func() bool { return first() > 1 })
	if first() > 100 {
		t.Errorf("it begins at %d, entry 100 must stay to be compared", first())
	}
	contains(t, k.text(), "standby hold of db.words partition 0 on "+s.tab.addr, "committed 100")

	// A replica that is made anew.
	if err := os.Rename(s.p.BinlogDir(), s.p.BinlogDir()+"-old"); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.p.BinlogDir(), os.DirFS(s.p.BinlogDir()+"-old")); err != nil {
		t.Fatal(err)
	}
	until(t, "there are two incarnations", func() bool { incs, err := k.hold.incarnations(); return err == nil && len(incs) == 2 })
	s.c.mustKeep(3, s.tab.standby(s.p, last))
	until(t, "the former one goes", func() bool { incs, err := k.hold.incarnations(); return err == nil && len(incs) == 1 })
	if first() > last {
		t.Errorf("it begins at %d", first())
	}
}

// TestKeep: a hold that is not named any more goes; a call that another one has overtaken changes nothing; what can not be is refused.
func TestKeep(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	fill(t, s.p, 0, 3)
	dir := filepath.Join(s.c.c.o.DataDir, "7-0")
	hold := s.tab.standby(s.p, 0)
	s.c.mustKeep(5, hold)
	s.c.linked(s.p)
	for _, round := range []uint64{5, 4} {
		if err := s.c.keeps(round); status.Code(err) != codes.Aborted {
			t.Errorf("round %d after 5: %v", round, err)
		}
	}
	if err := s.c.keeps(6, &omsyncpb.StandbyHold{Key: hold.GetKey()}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a hold without a tablet: %v", err)
	}
	holds, err := s.c.client().Holds(ask(t), &omsyncpb.HoldsRequest{})
	if err != nil || len(holds.GetHolds()) != 1 || !holds.GetHolds()[0].GetStandby() || holds.GetHolds()[0].GetFirstIndex() != 1 {
		t.Fatalf("%v, %v", holds, err)
	}
	s.c.mustKeep(6)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something of it stays: %v", err)
	}
}

// TestStandbyRecordThatIsDamaged: its links stay until the synctool tells whether they are wanted.
func TestStandbyRecordThatIsDamaged(t *testing.T) {
	t.Parallel()
	for name, wanted := range map[string]bool{"wanted": true, "not wanted": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, newWords(t, "ts", 2000), nil)
			fill(t, s.p, 0, 100)
			s.c.mustKeep(1, s.tab.standby(s.p, 0))
			s.c.linked(s.p)
			if err := s.c.stop(); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(s.c.c.o.DataDir, "7-0")
			if err := os.WriteFile(filepath.Join(dir, standbyName), []byte("nonsense"), 0o644); err != nil {
				t.Fatal(err)
			}
			trim(t, s.p)
			c := run(t, s.tool.options(endpoint, s.c.c.o.DataDir), s.fake)
			c.ended()
			until(t, "it is there", func() bool { return len(c.c.reg.standbys()) == 1 })
			if n, err := c.c.reg.standbys()[0].hold.first(); n != 1 || err != nil {
				t.Fatalf("it begins at %d, %v", n, err)
			}
			if !wanted {
				c.mustKeep(1)
				if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("something of it stays: %v", err)
				}
				return
			}
			c.mustKeep(1, s.tab.standby(s.p, 0))
			if _, _, err := readStandby(OS(), dir); err != nil {
				t.Error(err)
			}
			if n, err := c.c.reg.standbys()[0].hold.first(); n != 1 || err != nil {
				t.Errorf("it begins at %d, %v", n, err)
			}
		})
	}
}

// TestStandbyHoldOverBudget: a standby hold goes before any subtask fails, and comes back when what went is exported.
func TestStandbyHoldOverBudget(t *testing.T) {
	t.Parallel()
	s := newScene(t, newWords(t, "ts", 2000), func(o *Options) { o.HoldBudget = 10_000 })
	_, last := fill(t, s.p, 0, 3)
	s.assign(2)
	s.exported(last)
	other := openWords(t, t.TempDir(), "ts", 2000, apipb.TableMode_kTableFollower)
	other.PID = 1
	other.Lead(9)
	s.tab.serve(other)
	_, last = fill(t, other, 0, 500)
	s.c.mustKeep(1, s.tab.standby(other, 0))
	s.c.linked(other)
	trim(t, other)
	k := s.c.c.reg.standbys()[0]
	until(t, "it is dropped", func() bool { return strings.Contains(k.text(), "dropped over the budget") })
	contains(t, k.text(), fmt.Sprintf("made again when entry %d is exported", last), "0 log files")
	_, end := fill(t, s.p, 3, 3)
	s.exported(end)
	s.unfailed()
	s.c.mustKeep(2, s.tab.standby(other, last-1))
	if !strings.Contains(k.text(), "dropped") {
		t.Error("it is made again before that")
	}
	s.c.mustKeep(3, s.tab.standby(other, last))
	until(t, "it is made again", func() bool {
		h, err := k.held()
		return err == nil && h.GetLogFiles() > 0 && h.GetFirstIndex() <= last && !strings.Contains(k.text(), "dropped")
	})
	s.c.well()
}

// TestSubtaskThatMovedLeavesItsLinks: the log of a subtask that another collector serves by now stays where it is wanted. RemoveTask takes as much of
// the token as Status shows.
func TestSubtaskThatMovedLeavesItsLinks(t *testing.T) {
	t.Parallel()
	s := newScene(t, newWords(t, "ts", 2000), nil)
	_, last := fill(t, s.p, 0, 3)
	s.assign(2)
	s.exported(last)
	s.hold()
	fill(t, s.p, 3, 200)
	until(t, "all is linked", func() bool {
		u, err := s.sub().hold.usage()
		return err == nil && u.logFiles == len(logsOf(t, s.p.BinlogDir()))
	})
	links := len(logsOf(t, s.p.BinlogDir()))
	trim(t, s.p)
	s.c.mustKeep(1, s.tab.standby(s.p, last))
	if s.c.view(0) == nil || len(s.c.c.reg.standbys()) != 0 {
		t.Fatal("a subtask is no standby hold")
	}
	has, err := s.c.client().Status(ask(t), &omsyncpb.CollectorStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	a := has.GetSubtasks()[0].GetAssignment()
	if full := s.tool.sub(0).a.GetToken(); a.GetToken() == full {
		t.Fatalf("the token %q is shown", full)
	}
	if _, err := s.c.client().RemoveTask(ask(t), &omsyncpb.RemoveTaskRequest{Key: a.GetKey(), Token: a.GetToken()}); err != nil {
		t.Fatal(err)
	}
	if s.c.view(0) != nil {
		t.Fatal("the subtask is still there")
	}
	h, err := s.c.c.reg.standbys()[0].held()
	if err != nil || int(h.GetLogFiles()) != links || h.GetFirstIndex() > last {
		t.Errorf("%v, %v; there were %d links", h, err, links)
	}
	for _, name := range []string{assignmentName, pinName} {
		if _, err := os.Stat(filepath.Join(s.c.c.o.DataDir, "7-0", name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s stays: %v", name, err)
		}
	}
	s.release()
}
