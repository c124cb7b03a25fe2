package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"omsync/openmldb/pb/apipb"
	"omsync/testenv/tabletsim"
)

// Snapshot makes a snapshot of a partition on its leader.
func (t *Table) Snapshot(pid uint32) (tabletsim.Checkpoint, error) {
	p := t.Leader(pid)
	return t.snapshot(p)
}

// SnapshotReplica makes one on another replica; each keeps its own.
func (t *Table) SnapshotReplica(pid uint32, seat int) (tabletsim.Checkpoint, error) {
	p := t.Replica(pid, seat)
	if p == nil {
		return tabletsim.Checkpoint{}, fmt.Errorf("snapshot of partition %d: no replica on tablet %d", pid, seat)
	}
	return t.snapshot(p)
}

func (t *Table) snapshot(p *tabletsim.Partition) (tabletsim.Checkpoint, error) {
	var begin uint64
	if t.ledger != nil {
		begin = t.ledger.Step()
	}
	c, err := p.Snapshot()
	if err != nil {
		return c, err
	}
	if t.ledger != nil {
		t.ledger.Snapshot(p.PID, p.Endpoint(), c, begin)
	}
	return c, nil
}

// Truncate empties a partition on all its replicas, without a trace in the log, and makes a snapshot of each.
func (t *Table) Truncate(pid uint32) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	var begin uint64
	if t.ledger != nil {
		begin = t.ledger.Step()
	}
	type made struct {
		p *tabletsim.Partition
		c tabletsim.Checkpoint
	}
	var all []made
	for _, r := range t.parts[pid].replicas {
		if t.c.tablets[r.seat].tablet == nil {
			continue
		}
		c, err := r.part.Truncate()
		if err != nil {
			return err
		}
		all = append(all, made{r.part, c})
	}
	if t.ledger != nil {
		t.ledger.Truncated(pid, begin)
		for _, m := range all {
			t.ledger.Snapshot(pid, m.p.Endpoint(), m.c, begin)
		}
	}
	return nil
}

// AddColumn is ALTER TABLE ADD COLUMN.
func (t *Table) AddColumn(col tabletsim.Column) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	s, err := t.Schema().WithColumn(col)
	if err != nil {
		return err
	}
	if t.ledger != nil {
		t.ledger.SetColumns(s.AllColumns())
	}
	return t.alter(s)
}

// AddIndex is ADD INDEX on a running table: the schema, then the load of the existing rows, which reaches other partitions through their logs.
func (t *Table) AddIndex(ctx context.Context, ix tabletsim.Index) error {
	s, err := t.Schema().WithIndex(ix)
	if err != nil {
		return err
	}
	t.c.mu.Lock()
	err = t.alter(s)
	t.c.mu.Unlock()
	if err != nil {
		return err
	}
	for pid := range t.parts {
		if err := t.Leader(uint32(pid)).BuildIndex(len(s.Indexes)-1, func(to uint32, put tabletsim.Put) error {
			_, err := t.Leader(to).Put(ctx, put)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// DropIndex sets the deleted flag of an index.
func (t *Table) DropIndex(i int) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	s, err := t.Schema().WithoutIndex(i)
	if err != nil {
		return err
	}
	return t.alter(s)
}

func (t *Table) alter(s *tabletsim.Schema) error {
	for _, p := range t.parts {
		for _, r := range p.replicas {
			if t.c.tablets[r.seat].tablet == nil {
				continue
			}
			if err := r.part.SetSchema(s); err != nil {
				return err
			}
		}
	}
	t.schema.Store(s)
	return t.publish()
}

// Drop removes the table; its directories go to the recycle bin.
func (t *Table) Drop() error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	tid := t.Schema().TID
	delete(t.c.tables, tid)
	errs := []error{t.c.nodes.remove(tableNode(tid)), t.c.nodes.notify()}
	for _, p := range t.parts {
		for _, r := range p.replicas {
			if tablet := t.c.tablets[r.seat].tablet; tablet != nil {
				errs = append(errs, tablet.Drop(tid, p.pid))
			}
		}
	}
	return errors.Join(errs...)
}

// MoveLeader makes the replica on another tablet the leader, as an operator's change-leader does: followers have everything by then, the old leader
// follows.
func (t *Table) MoveLeader(ctx context.Context, pid uint32, seat int) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	p := t.parts[pid]
	if seat == p.leader {
		return nil
	}
	var next *replica
	for _, r := range p.replicas {
		if r.seat == seat {
			next = r
		}
	}
	if next == nil {
		return fmt.Errorf("move leader of partition %d: no replica on tablet %d", pid, seat)
	}
	if t.c.tablets[seat].tablet == nil || t.c.tablets[p.leader].tablet == nil {
		return fmt.Errorf("move leader of partition %d: tablet %d or %d is down", pid, seat, p.leader)
	}
	old := p.at(p.leader).part
	old.Follow()
	if err := old.Quiet(ctx); err != nil {
		return fmt.Errorf("move leader of partition %d: %w", pid, err)
	}
	for f := range old.Followers() {
		old.Detach(f)
	}
	if err := t.lead(p, seat); err != nil {
		return fmt.Errorf("move leader of partition %d: %w", pid, err)
	}
	return t.publish()
}

// lead makes a replica the leader of a new term and the others follow it.
func (t *Table) lead(p *placement, seat int) error {
	p.term++
	p.leader = seat
	delete(p.old, seat)
	p.at(seat).part.Lead(p.term)
	return t.attachAll(p)
}

// forget makes the leaders give up the replicas on a tablet that died.
func (t *Table) forget(seat int) {
	for _, p := range t.parts {
		for _, r := range p.replicas {
			if r.seat == seat && p.leader != seat {
				p.leads.Load().Detach(r.part)
			}
		}
	}
}

// failover needs c.mu.
func (t *Table) failover(dead int) error {
	for _, p := range t.parts {
		if p.leader != dead {
			continue
		}
		best := -1
		for _, r := range p.replicas {
			if t.c.tablets[r.seat].tablet != nil && (best < 0 || r.part.Last() > p.at(best).part.Last()) {
				best = r.seat
			}
		}
		if best < 0 {
			continue
		}
		p.old[dead] = true
		if err := t.lead(p, best); err != nil {
			return err
		}
	}
	return nil
}

// comeBack opens the replicas of a tablet that was down; it needs c.mu.
func (t *Table) comeBack(seat int) error {
	for _, p := range t.parts {
		for _, r := range p.replicas {
			if r.seat != seat {
				continue
			}
			if seat == p.leader {
				if err := t.comeBackLeading(p, r); err != nil {
					return err
				}
				continue
			}
			delete(p.old, seat)
			if err := t.comeBackFollowing(p, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Table) comeBackLeading(p *placement, r *replica) error {
	if err := t.open(p, r, apipb.TableMode_kTableLeader); err != nil {
		return err
	}
	if t.ledger != nil {
		m, err := r.part.Manifest()
		if err != nil {
			return err
		}
		t.ledger.Restarted(p.pid, r.part.Endpoint(), m.GetOffset())
	}
	return t.attachAll(p)
}

// comeBackFollowing: a replica whose log has what the leader's lacks, or that the leader's log can no longer bring up, is made again from the
// leader's snapshot; its old directory goes to the recycle bin (formats.md §3.1).
func (t *Table) comeBackFollowing(p *placement, r *replica) error {
	if err := t.open(p, r, apipb.TableMode_kTableFollower); err != nil {
		return err
	}
	lead := p.leads.Load()
	if t.c.tablets[p.leader].tablet == nil {
		return nil
	}
	if r.part.Last() <= lead.Last() {
		err := lead.Attach(r.part)
		if err == nil || !errors.Is(err, tabletsim.ErrTrimmed) {
			return err
		}
	}
	dir := r.part.Dir()
	tablet := t.c.tablets[r.seat].tablet
	if err := tablet.Drop(t.Schema().TID, p.pid); err != nil {
		return err
	}
	if err := lead.Seed(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "binlog"), 0o755); err != nil {
		return err
	}
	if err := t.open(p, r, apipb.TableMode_kTableFollower); err != nil {
		return err
	}
	return lead.Attach(r.part)
}
