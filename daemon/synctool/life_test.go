package synctool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
)

// one is a kit with one table of one partition in mode 2, with rows flowing.
func one(t *testing.T, rows int) (*kit, simTable, *simCollector) {
	k := newKit(t)
	data := simTable{0: newSimData(0, rows, 10)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	c := k.collector("h1:9", data)
	k.create(modeFullContinuous)
	return k, data, c
}

// TestEmptyPartitionLeavesInit: a collector's first message counts, rows or not.
func TestEmptyPartitionLeavesInit(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	k.collector("h1:9", simTable{0: newSimData(0, 0, 0)})
	k.create(modeFullContinuous)
	k.status(0, "RUNNING")
	k.eventually("the empty generation is published", func() bool { return k.z.state(0).PublishDone })
	if s := k.z.state(0); s.Seq != 0 || s.Files != 0 {
		t.Errorf("an empty snapshot made %d files", s.Files)
	}
}

// TestWriteErrorsAreRetried: whatever fails at the destination for a while, all rows arrive once, and the state stays RUNNING.
func TestWriteErrorsAreRetried(t *testing.T) {
	for _, remote := range []bool{false, true} {
		for _, op := range []string{"create", "write", "stat", "rename", "writefile", "read"} {
			t.Run(fmt.Sprintf("remote=%t/%s", remote, op), func(t *testing.T) {
				t.Parallel()
				k := newKit(t)
				k.remote = remote
				data := simTable{0: newSimData(0, 300, 30)}
				k.z.table("db", "t", 7, "h1:1")
				k.tool()
				k.collector("h1:9", data)
				var n atomic.Int32
				trouble := func() {
					k.inject.set(func(o, name string) error {
						if o == op && (op != "writefile" || strings.HasPrefix(name, stateDir)) && n.Add(1) <= 4 {
							return syscall.ENOSPC
						}
						return nil
					})
				}
				if op == "writefile" { // there is one plan only
					trouble()
				}
				k.create(modeFullContinuous)
				if op != "writefile" {
					trouble()
				}
				data[0].grow(0, 200)
				k.eventually("the trouble was met", func() bool {
					return n.Load() > 3 || op == "read"
				})
				if op == "read" { // the plan is read at an attach
					k.sims["h1:9"].stop()
					k.sims["h1:9"].start()
				}
				k.holds(data, true)
				if s := k.z.state(0); s.Status != coord.Running {
					t.Errorf("%s: %s", s.Status, s.Reason)
				}
			})
		}
	}
}

// TestStalledIsShown: while the destination is down the subtask stays RUNNING, stalled, with the reason.
func TestStalledIsShown(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 100)
	k.holds(data, true)
	k.inject.set(func(op, name string) error {
		if op == "create" || op == "write" {
			return fmt.Errorf("NameNode is in safe mode")
		}
		return nil
	})
	data[0].grow(0, 50)
	api := k.api()
	k.eventually("stalled with the reason", func() bool {
		l, err := api.List(t.Context(), &omsyncpb.ListRequest{})
		if err != nil {
			t.Fatal(err)
		}
		s := l.GetTasks()[0].GetSubtasks()[0]
		return s.GetStalled() && s.GetState() == "RUNNING" && strings.Contains(s.GetFault().GetReason(), "safe mode")
	})
	k.inject.set(nil)
	k.holds(data, true)
}

// TestPermissionIsForOperators: FAILED with a code and what to do; recover goes on from the last commit.
func TestPermissionIsForOperators(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 100)
	k.holds(data, true)
	k.inject.set(failing("create", os.ErrPermission))
	data[0].grow(0, 50)
	k.status(0, "FAILED")
	if s := k.z.state(0); s.Code != codeNoPermission || s.Hint == "" {
		t.Errorf("failed as %q: %q", s.Code, s.Reason)
	}
	k.inject.set(nil)
	k.recover(&omsyncpb.RecoverRequest{}, 1)
	k.holds(data, true)
	k.status(0, "RUNNING")
}

func (k *kit) recover(r *omsyncpb.RecoverRequest, want uint32) {
	k.t.Helper()
	r.Db, r.Table = "db", "t"
	a, err := k.api().Recover(k.t.Context(), r)
	if err != nil || a.GetRecovered() != want {
		k.t.Fatalf("recovered %d, want %d: %v", a.GetRecovered(), want, err)
	}
}

// TestCollectorFault: a fault that does not pass makes the subtask FAILED with the collector's words; rows before it are committed. Recover
// with --skip-bad-blocks tells the collector.
func TestCollectorFault(t *testing.T) {
	t.Parallel()
	k, data, c := one(t, 100)
	k.holds(data, true)
	c.mu.Lock()
	c.fault[0] = &omsyncpb.SubtaskFault{Fault: &omsyncpb.Fault{Code: "log-corrupt", Reason: "bad record in 7.log", Hint: "recover --skip-bad-blocks"}}
	c.mu.Unlock()
	k.status(0, "FAILED")
	if s := k.z.state(0); s.Code != "log-corrupt" || s.Reason != "bad record in 7.log" {
		t.Errorf("failed as %q: %q", s.Code, s.Reason)
	}
	k.recover(&omsyncpb.RecoverRequest{SkipBadBlocks: true, Pids: []uint32{0}}, 1)
	k.status(0, "RUNNING")
	c.mu.Lock()
	if !c.tasks[0].GetSkipBadBlocks() {
		t.Error("the collector is not told to skip bad blocks")
	}
	c.mu.Unlock()
	_, err := k.api().Recover(t.Context(), &omsyncpb.RecoverRequest{Db: "db", Table: "t", Pids: []uint32{0}})
	wantFault(t, err, "FailedPrecondition", "not-failed")
}

// TestRetryingFaultIsStalled: a fault that the collector retries by itself is shown and nothing else.
func TestRetryingFaultIsStalled(t *testing.T) {
	t.Parallel()
	k, data, c := one(t, 20)
	k.holds(data, true)
	c.mu.Lock()
	c.fault[0] = &omsyncpb.SubtaskFault{Retry: true, Fault: &omsyncpb.Fault{Code: "tablet-unreachable", Reason: "no route"}}
	c.mu.Unlock()
	api := k.api()
	k.eventually("stalled", func() bool {
		l, err := api.List(t.Context(), &omsyncpb.ListRequest{})
		return err == nil && l.GetTasks()[0].GetSubtasks()[0].GetFault().GetReason() == "no route" && l.GetTasks()[0].GetState() == "RUNNING"
	})
}

// TestSilentCollectorIsReplaced: no word for three check periods, and the subtask goes to whoever is there.
func TestSilentCollectorIsReplaced(t *testing.T) {
	t.Parallel()
	k, data, c := one(t, 50)
	k.holds(data, true)
	c.mu.Lock()
	c.silent = true
	before := c.added
	c.mu.Unlock()
	k.eventually("it is assigned again", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.added > before
	})
	c.mu.Lock()
	c.silent = false
	c.mu.Unlock()
	data[0].grow(0, 50)
	k.holds(data, true)
}

// TestLeaderMoves: in the log phase the subtask follows the leader when the old host's log is finished, and keeps its generation.
func TestLeaderMoves(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 50)
	data[0].grow(0, 20)
	k.holds(data, true)
	generation := k.z.state(0).Generation
	k.eventually("all is committed", func() bool { return k.z.state(0).Point.Index == 30 })
	k.collector("h2:9", data)
	k.z.edit(func() {
		k.z.tables[0] = proto.Clone(k.z.tables[0]).(*nspb.TableInfo)
		k.z.tables[0].TablePartition[0].PartitionMeta = []*nspb.PartitionMeta{
			{Endpoint: proto.String("h1:1"), IsLeader: proto.Bool(true), IsAlive: proto.Bool(false)}, // formats.md §1.2: the dead one keeps the flag
			{Endpoint: proto.String("h2:1"), IsLeader: proto.Bool(true)},
		}
	})
	k.eventually("the new host's collector has it", func() bool { return k.z.state(0).Collector == "h2:9" })
	data[0].grow(0, 40)
	k.holds(data, true)
	if g := k.z.state(0).Generation; g != generation {
		t.Errorf("a published generation was begun anew")
	}
}

// TestUnpublishedGenerationIsDiscarded: another collector, or a lost pin, can not go on with an unpublished generation.
func TestUnpublishedGenerationIsDiscarded(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"host lost", "pin lost"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			k, data, c := heldBeforePublication(t)
			generation := k.z.state(0).Generation
			switch how {
			case "host lost":
				c.stop()
				k.z.edit(func() { k.z.collectors = nil })
				k.collector("h1:8", data)
			case "pin lost":
				c.stop()
				c.mu.Lock()
				c.lost[0] = true
				c.mu.Unlock()
				c.start()
			}
			k.eventually("a new generation", func() bool { return k.z.state(0).Generation != generation })
			k.inject.set(nil)
			k.holds(data, true)
			k.eventually("the old generation's directory is swept", func() bool {
				_, err := os.Stat(filepath.Join(k.dest("out"), generationDir(generation)))
				return os.IsNotExist(err) || k.sweepNow() != nil
			})
		})
	}
}

// sweepNow runs a sweep, as the hourly one would.
func (k *kit) sweepNow() error {
	t := k.leader().term.Load()
	for _, x := range t.all() {
		if files := x.ours(); files != nil {
			if _, err := sweep(t.ctx, files, t.o.Cluster, x.spec.ID, t.epoch, x.prove, x.states); err != nil {
				return err
			}
		}
	}
	return nil
}

// heldBeforePublication is one with the scan committed and the plan not storable.
func heldBeforePublication(t *testing.T) (*kit, simTable, *simCollector) {
	k := newKit(t)
	data := simTable{0: newSimData(0, 500, 10)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	k.inject.set(func(op, name string) error {
		if op == "writefile" && strings.HasPrefix(name, stateDir) {
			return syscall.ENOSPC
		}
		return nil
	})
	c := k.collector("h1:9", data)
	k.create(modeFullContinuous)
	k.eventually("segments are committed", func() bool { return k.z.state(0).Seq > 1 })
	return k, data, c
}

// TestNoPublicationBeforeScanAndPlan: until both are decided, readers see nothing.
func TestNoPublicationBeforeScanAndPlan(t *testing.T) {
	t.Parallel()
	k, data, _ := heldBeforePublication(t)
	k.eventually("the scan is committed", func() bool { return k.z.state(0).SnapshotDone })
	if got, err := exported(k.dest("out")); len(got) != 0 || err != nil {
		t.Fatalf("readers see %d rows before the publication: %v", len(got), err)
	}
	if st := k.z.state(0); st.Published || st.Plan != nil {
		t.Fatalf("published without a plan: %+v", st)
	}
	k.inject.set(nil)
	k.holds(data, true)
}

// TestNoCollectorTimesOut: REASSIGNING, then FAILED with the host, only while ZooKeeper is connected; a restart tries again by itself.
func TestNoCollectorTimesOut(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.AssignTimeout = 500 * time.Millisecond }
	data := simTable{0: newSimData(0, 30, 0)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	c := k.collector("h1:9", data)
	k.create(modeFullContinuous)
	k.holds(data, true)
	c.stop()
	infos := k.z.collectors
	k.z.edit(func() { k.z.collectors = nil })
	k.status(0, "REASSIGNING")
	k.status(0, "FAILED")
	if s := k.z.state(0); s.Code != codeNoCollector || !strings.Contains(s.Reason, "h1") || !strings.Contains(s.Hint, "data_collector") {
		t.Errorf("failed as %q: %q, %q", s.Code, s.Reason, s.Hint)
	}
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	k.z.edit(func() { k.z.collectors = infos })
	c.start()
	data[0].grow(0, 10)
	k.tool()
	k.holds(data, true)
	k.status(0, "RUNNING")
}

// TestAssignTimeoutWaitsForZooKeeper: time without ZooKeeper does not count.
func TestAssignTimeoutWaitsForZooKeeper(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.AssignTimeout = 300 * time.Millisecond }
	data := simTable{0: newSimData(0, 30, 0)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	c := k.collector("h1:9", data)
	k.create(modeFullContinuous)
	k.holds(data, true)
	c.stop()
	infos := k.z.collectors
	k.z.edit(func() { k.z.collectors = nil })
	k.status(0, "REASSIGNING")
	k.z.edit(func() { k.z.down = true })
	time.Sleep(time.Second) // longer than the time-out: the point is that nothing happens
	if s := k.z.state(0); s.Status != coord.Reassigning {
		t.Errorf("%s while ZooKeeper was away", s.Status)
	}
	k.z.edit(func() { k.z.down, k.z.collectors = false, infos })
	c.start()
	k.status(0, "RUNNING")
}

// TestCollectorRefusal: a lasting fault of AddTask fails at once with its words, one that may pass is tried again.
func TestCollectorRefusal(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{codeCrossDevice: "FAILED", "tablet-unreachable": "RUNNING"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			data := simTable{0: newSimData(0, 30, 0)}
			k.z.table("db", "t", 7, "h1:1")
			k.tool()
			c := k.collector("h1:9", data)
			n := 0
			c.refuse = func(*omsyncpb.Assignment) error {
				if n++; n > 3 {
					return nil
				}
				return fault.New(codes.FailedPrecondition, code, "Invalid cross-device link", "move collector_datadir")
			}
			k.create(modeFullContinuous)
			k.status(0, want)
			if s := k.z.state(0); want == "FAILED" && (s.Code != code || s.Hint != "move collector_datadir") {
				t.Errorf("failed as %q: %q", s.Code, s.Reason)
			}
		})
	}
}

// TestReexport: a new generation into the same destination; what the former one wrote stays, so rows repeat as the operator accepted.
func TestReexport(t *testing.T) {
	t.Parallel()
	k, data, c := one(t, 60)
	data[0].grow(0, 20)
	k.holds(data, true)
	c.mu.Lock()
	c.fault[0] = &omsyncpb.SubtaskFault{Fault: &omsyncpb.Fault{Code: "log-gap", Reason: "12..40 are gone"}}
	c.mu.Unlock()
	k.status(0, "FAILED")
	generation := k.z.state(0).Generation
	k.recover(&omsyncpb.RecoverRequest{Reexport: true}, 1)
	k.eventually("every row is there twice", func() bool {
		got, err := exported(k.dest("out"))
		if err != nil {
			t.Fatal(err)
		}
		twice := 0
		for _, n := range got {
			if n == 2 {
				twice++
			}
		}
		return twice == 90 && len(got) == 90
	})
	if k.z.state(0).Generation == generation {
		t.Error("the generation is the same")
	}
}

// TestSchemaChangeRolls: rows of a version the catalog does not show yet wait for it; a file has rows of one target only.
func TestSchemaChangeRolls(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 30)
	k.holds(data, true)
	files := k.z.state(0).Files
	data[0].mu.Lock()
	data[0].version = 2
	data[0].mu.Unlock()
	data[0].grow(0, 30)
	api := k.api()
	k.eventually("it waits for the schema", func() bool {
		l, err := api.List(t.Context(), &omsyncpb.ListRequest{})
		return err == nil && l.GetTasks()[0].GetSubtasks()[0].GetFault().GetCode() == codeSchemaUnknown
	})
	if n := k.z.state(0).Files; n != files {
		t.Errorf("%d files were made of rows with an unknown schema", n-files)
	}
	k.z.edit(func() {
		k.z.tables[0] = proto.Clone(k.z.tables[0]).(*nspb.TableInfo)
		k.z.tables[0].SchemaVersions = []*commonpb.VersionPair{{Id: proto.Int32(2), FieldCount: proto.Int32(3)}}
	})
	k.holds(data, true)
}

// TestUnknownSchemaFails: a version that never comes is a fault, not a wait for ever.
func TestUnknownSchemaFails(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 30)
	k.holds(data, true)
	data[0].mu.Lock()
	data[0].version = 9
	data[0].mu.Unlock()
	data[0].grow(0, 3)
	k.status(0, "FAILED")
	if s := k.z.state(0); s.Code != codeSchemaUnknown || !strings.Contains(s.Reason, "version 9") {
		t.Errorf("failed as %q: %q", s.Code, s.Reason)
	}
}

// TestDelete: the task's nodes go, its collectors are told, data stays, a new task may follow.
func TestDelete(t *testing.T) {
	t.Parallel()
	k, data, c := one(t, 80)
	k.holds(data, true)
	if _, err := k.api().Delete(t.Context(), &omsyncpb.DeleteRequest{Db: "db", Table: "t"}); err != nil {
		t.Fatal(err)
	}
	if n := k.taskCount(); n != 0 {
		t.Errorf("%d tasks after the deletion", n)
	}
	k.eventually("the collector is told", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.tasks) == 0
	})
	k.holds(data, true)
	_, err := k.api().Delete(t.Context(), &omsyncpb.DeleteRequest{Db: "db", Table: "t"})
	wantFault(t, err, "NotFound", "task-unknown")
	k.eventually("the destination is free again", func() bool {
		_, err := os.Stat(filepath.Join(k.dest("out"), ownerFile))
		return errors.Is(err, os.ErrNotExist)
	})
	if _, err := k.api().Create(t.Context(), &omsyncpb.CreateRequest{Db: "db", Table: "t", Mode: proto.Int32(2), Dest: k.dest("again")}); err != nil {
		t.Error(err)
	}
}

// TestDestinationIsTakenOver: a new task may have the destination before the old one's remains are tidied away; its owner.json stays.
func TestDestinationIsTakenOver(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 20)
	k.holds(data, true)
	tidying, goOn := make(chan struct{}, 8), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(release)
	k.inject.set(func(op, name string) error {
		if op == "list" && name == stageDir {
			tidying <- struct{}{}
			<-goOn
		}
		return nil
	})
	if _, err := k.api().Delete(t.Context(), &omsyncpb.DeleteRequest{Db: "db", Table: "t"}); err != nil {
		t.Fatal(err)
	}
	<-tidying
	r := &omsyncpb.CreateRequest{Db: "db", Table: "t", Mode: proto.Int32(modeFullContinuous), Dest: k.dest("out"), AllowNonempty: true}
	a, err := k.api().Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	release()
	k.status(0, "RUNNING")
	if err := k.leader().stop(); err != nil { // waits for the tidying too
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(k.dest("out"), ownerFile))
	if err != nil || !strings.Contains(string(b), a.GetTaskId()) {
		t.Errorf("owner.json of the new task: %s, %v", b, err)
	}
}

// TestDeletionGoesOn: a task marked for deletion is deleted by whoever leads next, and never exported.
func TestDeletionGoesOn(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 20)
	k.holds(data, true)
	if err := k.leader().stop(); err != nil {
		t.Fatal(err)
	}
	k.z.edit(func() {
		for _, x := range k.z.tasks {
			x.Spec.Deleting = true
		}
	})
	k.tool()
	k.eventually("the nodes are gone", func() bool { return k.taskCount() == 0 })
}
