package synctool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"omsync/daemon/coord"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"

	"google.golang.org/protobuf/proto"
)

// fakeZK is what several synctools share in these tests: an election, an epoch, tasks, tables and collectors.
type fakeZK struct {
	mu       sync.Mutex
	change   chan struct{}
	queue    []*fakeCluster // candidates; the first leads
	epoch    uint64
	tasks    map[string]*coord.Task
	versions map[string]int32
	finished []coord.FinishedRecord

	tables     []*nspb.TableInfo
	collectors []CollectorInfo
	down       bool
	refuse     error // every decision fails with it
	updates    int
}

func newFakeZK() *fakeZK {
	return &fakeZK{change: make(chan struct{}), tasks: map[string]*coord.Task{}, versions: map[string]int32{}}
}

// edit changes something and tells everybody.
func (z *fakeZK) edit(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
	close(z.change)
	z.change = make(chan struct{})
}

// table adds a table with its leaders, one per partition.
func (z *fakeZK) table(db, name string, tid uint32, leaders ...string) *nspb.TableInfo {
	t := &nspb.TableInfo{
		Db: proto.String(db), Name: proto.String(name), Tid: proto.Uint32(tid), StorageMode: commonpb.StorageMode_kSSD.Enum(),
	}
	for pid, l := range leaders {
		t.TablePartition = append(t.TablePartition, &nspb.TablePartition{Pid: proto.Uint32(uint32(pid)), PartitionMeta: []*nspb.PartitionMeta{
			{Endpoint: proto.String(l), IsLeader: proto.Bool(true)},
		}})
	}
	z.edit(func() { z.tables = append(z.tables, t) })
	return t
}

// state reads a subtask's node.
func (z *fakeZK) state(pid uint32) coord.SubtaskState {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, t := range z.tasks {
		return t.States[pid].State
	}
	return coord.SubtaskState{}
}

// read reads a subtask's node of one task.
func (z *fakeZK) read(id string, pid uint32) coord.SubtaskState {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.tasks[id].States[pid].State
}

// put overwrites a subtask's node, as a leader before would have left it.
func (z *fakeZK) put(pid uint32, f func(*coord.SubtaskState)) {
	z.edit(func() {
		for _, t := range z.tasks {
			v := t.States[pid]
			f(&v.State)
			v.Version++
			t.States[pid] = v
		}
	})
}

// fakeCluster is one process's view.
type fakeCluster struct {
	z    *fakeZK
	addr string
	lost chan struct{}

	begin chan struct{} // closed when addr is set
}

func (c *fakeCluster) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (c *fakeCluster) World() World { return c }

func (c *fakeCluster) LeaderAddress() string {
	c.z.mu.Lock()
	defer c.z.mu.Unlock()
	if len(c.z.queue) == 0 {
		return ""
	}
	return c.z.queue[0].addr
}

func (c *fakeCluster) Lead(ctx context.Context, serve func(context.Context, Lead) error) error {
	<-c.begin
	for ctx.Err() == nil {
		c.z.edit(func() { c.z.queue = append(c.z.queue, c); c.lost = make(chan struct{}) })
		leads := func() bool { return c.z.queue[0] == c }
		for {
			c.z.mu.Lock()
			ok, changed := slices.Contains(c.z.queue, c) && leads(), c.z.change
			c.z.mu.Unlock()
			if ok {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				c.leave()
				return ctx.Err()
			}
		}
		err := serve(ctx, Lead{Lost: c.lost, Begin: func(context.Context) (uint64, Ledger, error) {
			c.z.mu.Lock()
			defer c.z.mu.Unlock()
			c.z.epoch++
			return c.z.epoch, &fakeLedger{c.z, c.z.epoch}, nil
		}})
		c.leave()
		if ctx.Err() != nil {
			return err
		}
	}
	return ctx.Err()
}

func (c *fakeCluster) leave() {
	c.z.edit(func() { c.z.queue = slices.DeleteFunc(c.z.queue, func(o *fakeCluster) bool { return o == c }) })
}

// expire takes the lead away from whoever has it.
func (z *fakeZK) expire() {
	z.edit(func() {
		close(z.queue[0].lost)
		z.queue = z.queue[1:]
	})
}

func (c *fakeCluster) Table(db, name string) (*nspb.TableInfo, bool) {
	return c.tableBy(func(t *nspb.TableInfo) bool { return t.GetDb() == db && t.GetName() == name })
}

func (c *fakeCluster) TableByID(tid uint32) (*nspb.TableInfo, bool) {
	return c.tableBy(func(t *nspb.TableInfo) bool { return t.GetTid() == tid })
}

func (c *fakeCluster) tableBy(is func(*nspb.TableInfo) bool) (*nspb.TableInfo, bool) {
	c.z.mu.Lock()
	defer c.z.mu.Unlock()
	for _, t := range c.z.tables {
		if is(t) {
			return t, true
		}
	}
	return nil, false
}

func (c *fakeCluster) Leader(tid, pid uint32) (Leader, error) {
	t, ok := c.TableByID(tid)
	if !ok {
		return Leader{}, errNoLeader
	}
	for _, p := range t.GetTablePartition() {
		if p.GetPid() != pid {
			continue
		}
		for _, m := range p.GetPartitionMeta() {
			if m.GetIsLeader() && m.GetIsAlive() {
				host, _, _ := strings.Cut(m.GetEndpoint(), ":")
				return Leader{Node: m.GetEndpoint(), Address: m.GetEndpoint(), Host: host, Replicas: uint32(len(p.GetPartitionMeta()))}, nil
			}
		}
	}
	return Leader{}, fmt.Errorf("partition %d: %w", pid, errNoLeader)
}

func (c *fakeCluster) Replicas(tid, pid uint32) []Replica {
	c.z.mu.Lock()
	defer c.z.mu.Unlock()
	var out []Replica
	for _, t := range c.z.tables {
		for _, p := range t.GetTablePartition() {
			if t.GetTid() != tid || p.GetPid() != pid {
				continue
			}
			for _, m := range p.GetPartitionMeta() {
				host, _, _ := strings.Cut(m.GetEndpoint(), ":")
				out = append(out, Replica{Node: m.GetEndpoint(), Address: m.GetEndpoint(), Host: host})
			}
		}
	}
	return out
}

func (c *fakeCluster) Collector(host string) (string, bool) {
	c.z.mu.Lock()
	defer c.z.mu.Unlock()
	for _, i := range c.z.collectors {
		if i.Host == host && i.State == "active" {
			return i.Endpoint, true
		}
	}
	return "", false
}

func (c *fakeCluster) Alive(endpoint string) bool {
	c.z.mu.Lock()
	defer c.z.mu.Unlock()
	return slices.ContainsFunc(c.z.collectors, func(i CollectorInfo) bool { return i.Endpoint == endpoint && i.State == "active" })
}

func (c *fakeCluster) Collectors() []CollectorInfo {
	c.z.mu.Lock()
	defer c.z.mu.Unlock()
	return slices.Clone(c.z.collectors)
}

func (c *fakeCluster) Connected() bool {
	c.z.mu.Lock()
	defer c.z.mu.Unlock()
	return !c.z.down
}

func (c *fakeCluster) Refresh(context.Context) error { return nil }

func (c *fakeCluster) Changed() <-chan struct{} {
	c.z.mu.Lock()
	defer c.z.mu.Unlock()
	return c.z.change
}

// fakeLedger decides in one epoch.
type fakeLedger struct {
	z     *fakeZK
	epoch uint64
}

func (l *fakeLedger) check() error {
	if l.z.refuse != nil {
		return l.z.refuse
	}
	if l.z.down {
		return errors.New("zookeeper is down")
	}
	if l.epoch != l.z.epoch {
		return coord.ErrFenced
	}
	return nil
}

func (l *fakeLedger) Update(ctx context.Context, id string, pid uint32, version int32, s coord.SubtaskState) (int32, error) {
	v, err := l.UpdateMany(ctx, []coord.Change{{ID: id, PID: pid, Version: version, State: s}})
	if err != nil {
		return 0, err
	}
	return v[0], nil
}

func (l *fakeLedger) UpdateMany(_ context.Context, changes []coord.Change) ([]int32, error) {
	l.z.mu.Lock()
	defer l.z.mu.Unlock()
	if err := l.check(); err != nil {
		return nil, err
	}
	for _, c := range changes {
		t := l.z.tasks[c.ID]
		if t == nil || t.States[c.PID].Version != c.Version {
			return nil, coord.ErrStale
		}
	}
	var out []int32
	for _, c := range changes {
		l.z.updates++
		l.z.tasks[c.ID].States[c.PID] = coord.Versioned{State: c.State, Version: c.Version + 1}
		out = append(out, c.Version+1)
	}
	return out, nil
}

func (l *fakeLedger) Load(context.Context) ([]coord.Task, error) {
	l.z.mu.Lock()
	defer l.z.mu.Unlock()
	var out []coord.Task
	for _, t := range l.z.tasks {
		out = append(out, coord.Task{Spec: t.Spec, SpecVersion: t.SpecVersion, States: maps.Clone(t.States)})
	}
	return out, l.check()
}

func (l *fakeLedger) Create(_ context.Context, spec coord.TaskSpec, states map[uint32]coord.SubtaskState) error {
	l.z.mu.Lock()
	defer l.z.mu.Unlock()
	if err := l.check(); err != nil {
		return err
	}
	t := &coord.Task{Spec: spec, States: map[uint32]coord.Versioned{}}
	for pid, s := range states {
		t.States[pid] = coord.Versioned{State: s}
	}
	l.z.tasks[spec.ID] = t
	return nil
}

func (l *fakeLedger) SetSpec(_ context.Context, spec coord.TaskSpec, version int32) (int32, error) {
	l.z.mu.Lock()
	defer l.z.mu.Unlock()
	if err := l.check(); err != nil {
		return 0, err
	}
	t := l.z.tasks[spec.ID]
	if t == nil || t.SpecVersion != version {
		return 0, coord.ErrStale
	}
	t.Spec, t.SpecVersion = spec, version+1
	return version + 1, nil
}

func (l *fakeLedger) Remove(_ context.Context, id string) error {
	l.z.mu.Lock()
	defer l.z.mu.Unlock()
	if err := l.check(); err != nil {
		return err
	}
	delete(l.z.tasks, id)
	return nil
}

func (l *fakeLedger) Finish(_ context.Context, id string, r coord.FinishedRecord) error {
	l.z.mu.Lock()
	defer l.z.mu.Unlock()
	if err := l.check(); err != nil {
		return err
	}
	l.z.finished = slices.DeleteFunc(l.z.finished, func(o coord.FinishedRecord) bool { return reflect.DeepEqual(o.Spec, r.Spec) })
	l.z.finished = append(l.z.finished, r)
	return nil
}

func (l *fakeLedger) Finished(context.Context) ([]coord.FinishedRecord, error) {
	l.z.mu.Lock()
	defer l.z.mu.Unlock()
	return slices.Clone(l.z.finished), nil
}
