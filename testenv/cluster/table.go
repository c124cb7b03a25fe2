package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/nspb"
	"omsync/testenv/ledger"
	"omsync/testenv/tabletsim"
)

// Table is one table of a Cluster.
type Table struct {
	c      *Cluster
	ledger *ledger.Table
	schema atomic.Pointer[tabletsim.Schema]
	// parts[pid]; the slice is fixed, what it points to is changed under Cluster.mu only and read through leader.
	parts []*placement
}

// placement says where the replicas of a partition are.
type placement struct {
	pid      uint32
	term     uint64
	leader   int          // seat
	old      map[int]bool // seats that died as leaders
	replicas []*replica
	leads    atomic.Pointer[tabletsim.Partition]
}

type replica struct {
	seat int
	dir  string // "" = the tablet's own place for it
	part *tabletsim.Partition
}

// CreateTable makes a table: partition p is led by tablet p mod n, its followers sit on the next ones. A TID of 0 takes the next free one.
func (c *Cluster) CreateTable(s tabletsim.Spec) (*Table, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.TID == 0 {
		c.tid++
		s.TID = c.tid
	}
	schema, err := tabletsim.NewSchema(s)
	if err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	if schema.Replicas > len(c.tablets) {
		return nil, fmt.Errorf("create table %s.%s: %d replicas on %d tablets", s.DB, s.Name, schema.Replicas, len(c.tablets))
	}
	t := c.newTable(schema)
	for pid := range uint32(s.Partitions) {
		p := &placement{pid: pid, term: 1, leader: int(pid) % len(c.tablets), old: map[int]bool{}}
		for r := range schema.Replicas {
			p.replicas = append(p.replicas, &replica{seat: (p.leader + r) % len(c.tablets)})
		}
		t.parts = append(t.parts, p)
	}
	return c.bring(t)
}

// Serve makes a table of finished partition directories, which the tablets take over as they are: partition p is dirs[p]. The schema is that of the
// first one's table_meta, under another name and tid.
func (c *Cluster) Serve(s *tabletsim.Schema, dirs []string) (*Table, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(dirs) != s.Partitions {
		return nil, fmt.Errorf("serve %s.%s: %d directories for %d partitions", s.DB, s.Name, len(dirs), s.Partitions)
	}
	t := c.newTable(s)
	for pid, dir := range dirs {
		seat := pid % len(c.tablets)
		t.parts = append(t.parts, &placement{pid: uint32(pid), term: 8, leader: seat, old: map[int]bool{}, replicas: []*replica{{seat: seat, dir: dir}}})
	}
	return c.bring(t)
}

func (c *Cluster) newTable(s *tabletsim.Schema) *Table {
	t := &Table{c: c}
	t.schema.Store(s)
	return t
}

// bring opens the replicas and tells ZooKeeper; it needs c.mu.
func (c *Cluster) bring(t *Table) (*Table, error) {
	s := t.Schema()
	if _, ok := c.tables[s.TID]; ok {
		return nil, fmt.Errorf("create table %s.%s: tid %d is taken", s.DB, s.Name, s.TID)
	}
	for _, p := range t.parts {
		if err := t.openAll(p); err != nil {
			return nil, fmt.Errorf("create table %s.%s: %w", s.DB, s.Name, err)
		}
	}
	if err := c.nodes.mkdir("db/" + s.DB); err != nil {
		return nil, fmt.Errorf("create table %s.%s: %w", s.DB, s.Name, err)
	}
	c.tables[s.TID] = t
	if err := t.publish(); err != nil {
		return nil, fmt.Errorf("create table %s.%s: %w", s.DB, s.Name, err)
	}
	return t, nil
}

func (t *Table) openAll(p *placement) error {
	for _, r := range p.replicas {
		mode := apipb.TableMode_kTableFollower
		if r.seat == p.leader {
			mode = apipb.TableMode_kTableLeader
		}
		if err := t.open(p, r, mode); err != nil {
			return err
		}
	}
	return t.attachAll(p)
}

func (t *Table) open(p *placement, r *replica, mode apipb.TableMode) error {
	tablet := t.c.tablets[r.seat].tablet
	if tablet == nil {
		return fmt.Errorf("tablet %d is down", r.seat)
	}
	var err error
	if r.dir == "" {
		r.part, err = tablet.Open(t.Schema(), p.pid, mode, p.term)
	} else {
		r.part, err = tablet.OpenDir(r.dir, t.Schema(), p.pid, mode, p.term)
	}
	return err
}

// attachAll makes the living replicas follow the leader.
func (t *Table) attachAll(p *placement) error {
	lead := p.at(p.leader).part
	p.leads.Store(lead)
	for _, r := range p.replicas {
		if r.seat == p.leader || r.part == nil || t.c.tablets[r.seat].tablet == nil {
			continue
		}
		if err := lead.Attach(r.part); err != nil {
			return err
		}
	}
	return nil
}

func (p *placement) at(seat int) *replica {
	i := slices.IndexFunc(p.replicas, func(r *replica) bool { return r.seat == seat })
	return p.replicas[i]
}

// publish writes TableInfo and bumps notify; it needs c.mu.
func (t *Table) publish() error {
	var parts []*nspb.TablePartition
	for _, p := range t.parts {
		tp := &nspb.TablePartition{Pid: &p.pid}
		for _, r := range p.replicas {
			lead := r.seat == p.leader || p.old[r.seat]
			tp.PartitionMeta = append(tp.PartitionMeta, &nspb.PartitionMeta{
				Endpoint: proto.String(t.c.endpoint(r.seat)), IsLeader: &lead, IsAlive: proto.Bool(t.c.tablets[r.seat].tablet != nil),
			})
		}
		tp.TermOffset = []*nspb.TermPair{{Term: &p.term, Offset: proto.Uint64(0)}}
		parts = append(parts, tp)
	}
	return t.c.nodes.setTable(t.Schema().Info(parts))
}

// Schema of the table now.
func (t *Table) Schema() *tabletsim.Schema { return t.schema.Load() }

// SetLedger makes the table tell l what happens to it from now on.
func (t *Table) SetLedger(l *ledger.Table) { t.ledger = l }

// Ledger of the table, nil without one.
func (t *Table) Ledger() *ledger.Table { return t.ledger }

// Leader is the partition's leading replica, dead or alive.
func (t *Table) Leader(pid uint32) *tabletsim.Partition { return t.parts[pid].leads.Load() }

// LeaderSeat is the number of the tablet that leads a partition.
func (t *Table) LeaderSeat(pid uint32) int {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.parts[pid].leader
}

// Replica is the partition's replica on a tablet, nil without one.
func (t *Table) Replica(pid uint32, seat int) *tabletsim.Partition {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	for _, r := range t.parts[pid].replicas {
		if r.seat == seat {
			return r.part
		}
	}
	return nil
}

// Put sends a row to every partition that holds one of its keys and returns the acknowledgement of index 0's. put time 0 = now. With an error it is
// open what was stored, unless it wraps ErrRefused.
func (t *Table) Put(ctx context.Context, putMs uint64, values []any) (tabletsim.Ack, error) {
	s := t.Schema()
	row, err := s.Encode(values)
	if err != nil {
		return tabletsim.Ack{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	var ack tabletsim.Ack
	first := true
	for pid, dims := range s.Route(values) {
		a, err := t.Leader(pid).Put(ctx, tabletsim.Put{Time: putMs, Row: row, Dims: dims})
		if err != nil {
			return ack, refused(err, first)
		}
		putMs = a.Time // one put time for all
		first = false
		if slices.ContainsFunc(dims, func(d tabletsim.Dim) bool { return d.Idx == 0 }) {
			ack = a
		}
	}
	return ack, nil
}

// ErrRefused marks calls that certainly had no effect.
var ErrRefused = errors.New("refused")

func refused(err error, nothingDone bool) error {
	if nothingDone && (errors.Is(err, tabletsim.ErrNotLeader) || errors.Is(err, tabletsim.ErrNotReady) || errors.Is(err, tabletsim.ErrNotBegun)) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// DeleteKey deletes end < ts <= start of a key of index 0, in its partition.
func (t *Table) DeleteKey(ctx context.Context, pk string, start, end *uint64) (tabletsim.Ack, error) {
	s := t.Schema()
	a, err := t.Leader(tabletsim.PartitionOf(pk, s.Partitions)).Delete(ctx, tabletsim.Delete{Dim: &tabletsim.Dim{Idx: 0, Key: pk}, Start: start, End: end})
	if err != nil {
		return a, refused(err, true)
	}
	return a, nil
}

// DeleteTimes deletes end < ts <= start of every key of one partition's indexes with index 0's ts column: a keyless delete, which makes the offset
// counter run ahead.
func (t *Table) DeleteTimes(ctx context.Context, pid uint32, start, end *uint64) (tabletsim.Ack, error) {
	a, err := t.Leader(pid).Delete(ctx, tabletsim.Delete{TsName: t.Schema().Indexes[0].TsColumn, Start: start, End: end})
	if err != nil {
		return a, refused(err, true)
	}
	return a, nil
}
