package collector

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/baidustd"
	"omsync/rpc/omsyncpb"
)

func ask(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitFor)
	t.Cleanup(cancel)
	return ctx
}

// TestStatusAndHolds: both RPCs show what is there, during the scan and in the log phase.
func TestStatusAndHolds(t *testing.T) {
	t.Parallel()
	s := newScene(t, fixture(t, "101_0"), func(o *Options) { o.HoldBudget = 1 << 40 })
	m, err := s.p.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	s.tool.credit = 20_000
	s.hold()
	s.assign(2)
	s.tool.until("the scan waits for credit", func() bool { return s.tool.subs[0].beat.GetWaitingFor() == "the synctool to take rows" })
	client := s.c.client()
	st, err := client.Status(ask(t), &omsyncpb.CollectorStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if st.GetEndpoint() != endpoint || st.GetVersion() != "test" || !st.GetActive() || len(st.GetSubtasks()) != 1 {
		t.Fatalf("%v", st)
	}
	one, a := st.GetSubtasks()[0], s.tool.sub(0).a
	if one.GetAssignment().GetToken() != a.GetToken()[:8] || !proto.Equal(one.GetAssignment().GetKey(), a.GetKey()) || one.GetAssignment().GetTable() != a.GetTable() {
		t.Errorf("%v", one.GetAssignment())
	}
	if one.GetState() != "scanning" || one.GetCounters().GetRows() == 0 || one.GetWaitingFor() != "the synctool to take rows" ||
		len(one.GetSent().GetKey()) == 0 || len(one.GetCommitted().GetKey()) != 0 || one.GetTailIndex() != s.p.Last() {
		t.Errorf("%v", one)
	}
	holds, err := client.Holds(ask(t), &omsyncpb.HoldsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	links, err := os.ReadDir(filepath.Join(s.p.SnapshotDir(), m.GetName()))
	if err != nil {
		t.Fatal(err)
	}
	h := holds.GetHolds()[0]
	if h.GetSnapshotName() != m.GetName() || int(h.GetSnapshotFiles()) != len(links) || int(h.GetLogFiles()) != len(logsOf(t, s.p.BinlogDir())) || h.GetFirstIndex() != 1 ||
		h.GetBytes() != 0 || holds.GetBudgetBytes() != 1<<40 || !proto.Equal(h.GetKey(), a.GetKey()) {
		t.Errorf("%v", holds)
	}
	// What the tablet deletes is kept by our links alone.
	size := uint64(0)
	for _, de := range links {
		fi, err := de.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += uint64(fi.Size())
	}
	if err := os.RemoveAll(filepath.Join(s.p.SnapshotDir(), m.GetName())); err != nil {
		t.Fatal(err)
	}
	if holds, err = client.Holds(ask(t), &omsyncpb.HoldsRequest{}); err != nil || holds.GetHolds()[0].GetBytes() != size || holds.GetHeldBytes() != size {
		t.Errorf("%v, %v, want %d bytes", holds, err, size)
	}
	s.release()
	s.c.cut()
	s.exported(s.p.Last())
	until(t, "the checkpoint is let go of", func() bool {
		holds, err = client.Holds(ask(t), &omsyncpb.HoldsRequest{})
		return err == nil && holds.GetHolds()[0].GetSnapshotFiles() == 0 && holds.GetHolds()[0].GetSnapshotName() == "" && holds.GetHeldBytes() == 0
	})
	if st, err = client.Status(ask(t), &omsyncpb.CollectorStatusRequest{}); err != nil {
		t.Fatal(err)
	}
	if one = st.GetSubtasks()[0]; one.GetState() != "log" || one.GetSent().GetLogIndex() != s.p.Last() || one.GetFault() != nil {
		t.Errorf("%v", one)
	}
}

// TestBadAssignments: each is refused with what is wrong with it.
func TestBadAssignments(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	for name, edit := range map[string]func(*omsyncpb.Assignment){
		"names no task":     func(a *omsyncpb.Assignment) { a.Key.TaskId = "" },
		"has no token":      func(a *omsyncpb.Assignment) { a.Token = "" },
		"has no generation": func(a *omsyncpb.Assignment) { a.Generation = 0 },
		"mode 3 is unknown": func(a *omsyncpb.Assignment) { a.Mode = 3 },
		"names no tablet":   func(a *omsyncpb.Assignment) { a.TabletAddress = "" },
	} {
		a := s.tool.assign(s.tab.assignment(s.p, 2))
		edit(a)
		if _, err := s.c.client().AddTask(ask(t), &omsyncpb.AddTaskRequest{Assignment: a}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		} else {
			contains(t, err.Error(), name)
		}
	}
	if _, err := s.c.client().AddTask(ask(t), &omsyncpb.AddTaskRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nothing: %v", err)
	}
}

// TestReassignment: the same token changes nothing; another one takes the place when the former assignment has ended, so that the record on disk is the
// new one's; a synctool that has been replaced comes too late; a record that can not be written leaves the former one at work.
func TestReassignment(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	_, last := fill(t, s.p, 0, 3)
	a := s.tool.assign(s.tab.assignment(s.p, 2))
	a.Epoch = 5
	s.c.mustAdd(a)
	s.exported(last)
	first := s.sub()
	s.c.mustAdd(a)
	if s.sub() != first {
		t.Error("the same token began anew")
	}

	s.c.fs.mu.Lock()
	s.c.fs.fail = func(op, name string) error {
		if op == "write" && filepath.Base(name) == assignmentName {
			return errors.New("input/output error")
		}
		return nil
	}
	s.c.fs.mu.Unlock()
	next := proto.Clone(a).(*omsyncpb.Assignment)
	next.Token, next.Epoch = "token of the next", 6
	f := refusalOf(t, s.c.add(next))
	contains(t, f.GetReason(), "input/output error", "db.words partition 0")
	_, last = fill(t, s.p, 3, 3)
	s.exported(last)

	was := s.sub()
	s.c.fs.mu.Lock()
	s.c.fs.fail = func(op, name string) error {
		if op != "write" || filepath.Base(name) != assignmentName {
			return nil
		}
		select {
		case <-was.ended:
			return nil
		default:
			if s := was.c.reg.has(place{7, 0}); s.GetToken() == was.a.GetToken() && was.a.GetToken() != next.Token {
				t.Error("the record is written while the former assignment may write it, too")
			}
			return nil
		}
	}
	s.c.fs.mu.Unlock()
	s.reassign(s.c, func(a *omsyncpb.Assignment) { a.Epoch = 6 })
	s.c.fs.mu.Lock()
	s.c.fs.fail = nil
	s.c.fs.mu.Unlock()
	stale := proto.Clone(a).(*omsyncpb.Assignment)
	stale.Token = "token of the former"
	if err := s.c.add(stale); status.Code(err) != codes.Aborted {
		t.Errorf("an assignment of epoch 5 after one of epoch 6: %v", err)
	} else {
		contains(t, err.Error(), "epoch 6", "epoch 5", "db.words partition 0")
	}
	_, last = fill(t, s.p, 6, 3)
	s.exported(last)
	st, err := readStored(s.c.fs, filepath.Join(s.c.c.o.DataDir, "7-0"))
	if err != nil || st.Assignment.GetToken() != s.tool.sub(0).a.GetToken() {
		t.Errorf("%v, %v", st.Assignment, err)
	}
	s.unfailed()
}

// TestRemoveTask: a key and token that fit drop the links; others are left alone, and what is not there is fine.
func TestRemoveTask(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	_, last := fill(t, s.p, 0, 3)
	s.assign(2)
	s.exported(last)
	a := s.tool.sub(0).a
	other := proto.Clone(a.GetKey()).(*omsyncpb.SubtaskKey)
	other.TaskId = "another task"
	remove := func(k *omsyncpb.SubtaskKey, token string) {
		t.Helper()
		if _, err := s.c.client().RemoveTask(ask(t), &omsyncpb.RemoveTaskRequest{Key: k, Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	remove(a.GetKey(), "another token")
	remove(other, "")
	if s.c.view(0) == nil {
		t.Fatal("it is gone")
	}
	for range 2 {
		remove(a.GetKey(), a.GetToken())
		if _, err := os.Stat(filepath.Join(s.c.c.o.DataDir, "7-0")); s.c.view(0) != nil || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("something of it stays: %v", err)
		}
	}
}

// TestForeignSynctool: an upstream SyncTool is told that this collector is not for it.
func TestForeignSynctool(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	c := baidustd.NewClient(s.c.addr, baidustd.ClientOptions{})
	defer c.Close()
	r, err := datasyncpb.NewDataCollectorClient(c).AddSyncTask(ask(t), &datasyncpb.AddSyncTaskRequest{})
	if err != nil || r.GetCode() == 0 {
		t.Fatalf("%v, %v", r, err)
	}
	contains(t, r.GetMsg(), "serves omsync only: migrate the synctool first")
}
