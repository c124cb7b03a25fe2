package synctool

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/openmldb/pb/nspb"
	"omsync/rpc/omsyncpb"
)

// replicas adds followers to partition 0 of a table.
func (z *fakeZK) replicas(t *nspb.TableInfo, followers ...string) {
	z.edit(func() {
		p := t.TablePartition[0]
		for _, f := range followers {
			p.PartitionMeta = append(p.PartitionMeta, &nspb.PartitionMeta{Endpoint: proto.String(f), IsLeader: proto.Bool(false)})
		}
	})
}

// holds is what a collector was told last, and how often it was told.
func (c *simCollector) holds() ([]*omsyncpb.StandbyHold, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.GetHolds(), c.keeps
}

// toldAgain waits for calls that began after now.
func (k *kit) toldAgain(c *simCollector) {
	k.t.Helper()
	_, before := c.holds()
	k.eventually(c.endpoint+" is told again", func() bool { _, n := c.holds(); return n >= before+2 })
}

// TestStandbyHoldsAreTold: the collectors of followers' hosts hold the log, with the committed point; the one that serves the subtask does not, nor does
// any when the task is gone.
func TestStandbyHoldsAreTold(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.CheckPeriod = 100 * time.Millisecond }
	data := simTable{0: newSimData(0, 20, 10)}
	k.z.replicas(k.z.table("db", "t", 7, "h1:1"), "h2:1", "h3:1", "h4:1")
	k.tool()
	first, second, idle := k.collector("h1:9", data), k.collector("h2:9", data), k.collector("h4:9", data)
	k.z.edit(func() { k.z.collectors[2].State = coord.Standby })
	k.create(modeFullContinuous)
	for _, n := range []int{30, 30} {
		data[0].grow(0, n)
		k.holds(data, true)
		last := k.z.state(0).Point.Index
		k.eventually("the follower's collector is told the committed point", func() bool {
			holds, _ := second.holds()
			return len(holds) == 1 && holds[0].GetCommitted() == last
		})
	}
	holds, _ := second.holds()
	h := holds[0]
	if h.GetKey().GetTid() != 7 || h.GetKey().GetPid() != 0 || h.GetTabletEndpoint() != "h2:1" || h.GetTabletAddress() != "h2:1" || h.GetDb() != "db" || h.GetTable() != "t" {
		t.Errorf("%v", h)
	}
	for _, c := range []*simCollector{first, idle} {
		k.toldAgain(c)
		if holds, _ := c.holds(); len(holds) > 0 {
			t.Errorf("%s is told %v", c.endpoint, holds)
		}
	}
	if _, err := k.api().Delete(t.Context(), &omsyncpb.DeleteRequest{Db: "db", Table: "t"}); err != nil {
		t.Fatal(err)
	}
	k.eventually("it is released", func() bool { holds, _ := second.holds(); return len(holds) == 0 })
}

// TestStandbyHoldIsKeptUntilItIsTakenOver: a collector that the subtask is assigned to, and that does not take it yet, must not let go of its links.
func TestStandbyHoldIsKeptUntilItIsTakenOver(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.CheckPeriod, o.AssignTimeout = 50*time.Millisecond, time.Minute }
	data := simTable{0: newSimData(0, 20, 10)}
	table := k.z.table("db", "t", 7, "h1:1")
	k.z.replicas(table, "h2:1")
	k.tool()
	first, second := k.collector("h1:9", data), k.collector("h2:9", data)
	second.refuse = func(*omsyncpb.Assignment) error { return errors.New("not now") }
	k.create(modeFullContinuous)
	data[0].grow(0, 30)
	k.holds(data, true)
	first.stop()
	k.z.edit(func() {
		k.z.collectors = k.z.collectors[1:]
		old := k.z.tables[0].TablePartition[0].PartitionMeta
		k.z.tables[0] = proto.Clone(table).(*nspb.TableInfo)
		p := k.z.tables[0].TablePartition[0]
		p.PartitionMeta = []*nspb.PartitionMeta{
			{Endpoint: old[0].Endpoint, IsLeader: proto.Bool(false)}, {Endpoint: old[1].Endpoint, IsLeader: proto.Bool(true)},
		}
	})
	k.eventually("it is assigned to the other", func() bool { return k.z.state(0).Collector == "h2:9" })
	k.toldAgain(second)
	if holds, _ := second.holds(); len(holds) != 1 {
		t.Errorf("told %v", holds)
	}
}

// TestForeignSubtasksAreDropped: a collector that has a subtask which another one serves, or which is of no task, is told to drop it; while nobody
// serves it, it is left.
func TestForeignSubtasksAreDropped(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.CheckPeriod, o.AssignTimeout = 50*time.Millisecond, time.Minute }
	data := simTable{0: newSimData(0, 20, 10)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	first := k.collector("h1:9", data)
	first.mu.Lock()
	first.silent = true // assigned and never attached
	first.mu.Unlock()
	first.stop()
	k.create(modeFullContinuous)
	var task string
	k.eventually("it is assigned", func() bool {
		first.mu.Lock()
		defer first.mu.Unlock()
		task = first.tasks[0].GetKey().GetTaskId()
		return task != ""
	})
	other := newSimCollector(k.z, "h2:9", data, nil) // opens no stream
	assignment := func(id string, pid uint32, epoch uint64) *omsyncpb.Assignment {
		return &omsyncpb.Assignment{Key: &omsyncpb.SubtaskKey{TaskId: id, Tid: 7, Pid: pid}, Token: "00112233445566778899", Epoch: epoch}
	}
	other.tasks[0], other.tasks[1], other.tasks[2] = assignment(task, 0, 1), assignment("no such task", 1, 1), assignment("a later synctool's", 2, 99)
	k.add(other)
	has := func(pid uint32) bool {
		other.mu.Lock()
		defer other.mu.Unlock()
		return other.tasks[pid] != nil
	}
	k.eventually("that of no task is dropped", func() bool { return !has(1) })
	k.toldAgain(other)
	if !has(0) {
		t.Error("links that may be the only ones are dropped")
	}
	first.mu.Lock()
	first.silent = false
	first.mu.Unlock()
	first.start()
	k.eventually("what another serves is dropped", func() bool { return !has(0) })
	k.toldAgain(other)
	if !has(2) {
		t.Error("what a later synctool assigned is dropped")
	}
}
