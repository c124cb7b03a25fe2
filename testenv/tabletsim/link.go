package tabletsim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"omsync/openmldb/pb/apipb"
)

// link carries a leader's entries to one follower, behind the acknowledgement: a put is acknowledged before it is replicated.
type link struct {
	to   *Partition
	mu   sync.Mutex
	cond *sync.Cond
	todo []*apipb.LogEntry
	pos  uint64 // the follower has everything up to here
	end  bool
	held bool // nothing goes through
	err  error
	done chan struct{}
}

func newLink(to *Partition, pos uint64) *link {
	l := &link{to: to, pos: pos, done: make(chan struct{})}
	l.cond = sync.NewCond(&l.mu)
	go l.run()
	return l
}

func (l *link) push(e *apipb.LogEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && !l.end {
		l.todo = append(l.todo, e)
		l.cond.Broadcast()
	}
}

func (l *link) run() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for (len(l.todo) == 0 || l.held) && !l.end {
			l.cond.Wait()
		}
		if l.end {
			l.mu.Unlock()
			return
		}
		e := l.todo[0]
		l.mu.Unlock()
		err := l.to.Apply(e)
		l.mu.Lock()
		if l.err = err; err != nil {
			l.end = true
		} else {
			l.todo, l.pos = l.todo[1:], e.GetLogIndex()
		}
		l.cond.Broadcast()
		l.mu.Unlock()
	}
}

func (l *link) stop() {
	l.mu.Lock()
	l.end = true
	l.cond.Broadcast()
	l.mu.Unlock()
	<-l.done
}

func (l *link) hold(held bool) {
	l.mu.Lock()
	l.held = held
	l.cond.Broadcast()
	l.mu.Unlock()
}

func (l *link) position() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pos
}

// wait returns when the follower has everything pushed before, or never will have.
func (l *link) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cond.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.todo) > 0 && !l.end && ctx.Err() == nil {
		l.cond.Wait()
	}
	switch {
	case l.err != nil:
		return l.err
	case ctx.Err() != nil:
		return ctx.Err()
	case len(l.todo) > 0:
		return ErrDown
	}
	return nil
}

// Attach makes f a follower: it gets what it lacks (from the log, or a snapshot first when the log no longer reaches back), then every entry.
// Appends wait meanwhile.
func (p *Partition) Attach(f *Partition) error {
	leave, err := p.enter(true)
	if err != nil {
		return fmt.Errorf("attach follower of %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	p.mu.Lock()
	defer p.mu.Unlock()
	from := f.Last()
	if len(p.files) > 0 && p.files[0].first > from+1 {
		return fmt.Errorf("attach follower of %d_%d: log begins at %d, follower ends at %d: %w", p.TID, p.PID, p.files[0].first, from, ErrTrimmed)
	}
	err = replay(p.BinlogDir(), func(_ uint64, e *apipb.LogEntry) error {
		if e.GetLogIndex() <= from {
			return nil
		}
		return f.Apply(e)
	})
	if err != nil {
		return fmt.Errorf("attach follower of %d_%d: %w", p.TID, p.PID, err)
	}
	p.links = append(p.links, newLink(f, f.Last()))
	return nil
}

// Seed copies this replica's snapshot and its log files' entries behind it into an empty directory, the start of a follower that the log alone
// cannot bring up.
func (p *Partition) Seed(dir string) error {
	leave, err := p.enter(false)
	if err != nil {
		return fmt.Errorf("seed from %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	p.snapMu.Lock()
	defer p.snapMu.Unlock()
	m, err := readManifest(p.SnapshotDir())
	if err != nil || m == nil {
		return fmt.Errorf("seed from %d_%d: no snapshot: %w", p.TID, p.PID, os.ErrNotExist)
	}
	snap := filepath.Join(dir, "snapshot")
	if err := os.MkdirAll(snap, 0o755); err != nil {
		return fmt.Errorf("seed from %d_%d: %w", p.TID, p.PID, err)
	}
	if err := linkDir(filepath.Join(p.SnapshotDir(), m.GetName()), filepath.Join(snap, m.GetName())); err != nil {
		return fmt.Errorf("seed from %d_%d: %w", p.TID, p.PID, err)
	}
	return writeManifest(snap, m)
}

// Detach ends replication to f.
func (p *Partition) Detach(f *Partition) {
	p.mu.Lock()
	var gone []*link
	keep := p.links[:0:0]
	for _, l := range p.links {
		if l.to == f {
			gone = append(gone, l)
		} else {
			keep = append(keep, l)
		}
	}
	p.links = keep
	p.mu.Unlock()
	for _, l := range gone {
		l.stop()
	}
}

// Quiet waits until no call is under way any more (after Follow none begins) and the followers have everything.
func (p *Partition) Quiet(ctx context.Context) error {
	p.life.Lock()
	p.life.Unlock() //lint:ignore SA2001 the critical section is the wait itself
	return p.Synced(ctx)
}

// Synced waits until every follower has all that is in the log now.
func (p *Partition) Synced(ctx context.Context) error {
	p.mu.Lock()
	links := p.links
	p.mu.Unlock()
	for _, l := range links {
		if err := l.wait(ctx); err != nil {
			return fmt.Errorf("wait for followers of %d_%d: %w", p.TID, p.PID, err)
		}
	}
	return nil
}

// HoldReplication stops (or lets go on) what goes to the followers.
func (p *Partition) HoldReplication(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		l.hold(held)
	}
}

// Followers lists the indexes the followers have, by partition.
func (p *Partition) Followers() map[*Partition]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[*Partition]uint64{}
	for _, l := range p.links {
		out[l.to] = l.position()
	}
	return out
}
