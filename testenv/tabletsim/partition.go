package tabletsim

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/testenv/binlogw"
)

// Errors of a partition's calls.
var (
	ErrDown      = errors.New("tablet is down")                    // whether the call had an effect is open
	ErrNotBegun  = fmt.Errorf("%w before the call began", ErrDown) // it had none
	ErrNotLeader = errors.New("partition is no leader here")
	ErrNotReady  = errors.New("partition is loading")
	ErrTrimmed   = errors.New("the log no longer reaches back to the follower: seed it")
)

// maxFlight is how many puts of a partition can be between store and log.
const maxFlight = 16

// PartitionOptions shape a Partition.
type PartitionOptions struct {
	Engine Engine
	Now    func() time.Time // clock of the host; default time.Now
	// LogBytes is when a log file ends; 0 = 1 GiB.
	LogBytes int64
	// Jitter is the longest time a put stays between store and log; 0 leaves the order to the scheduler.
	Jitter time.Duration
	// Hooks run at places a test wants to be at.
	Hooks  Hooks
	Logger *slog.Logger
}

// Hooks of a partition. Nil ones are left out.
type Hooks struct {
	AfterOffset  func() // the snapshot's offset is read, nothing is flushed yet
	BeforeDelete func() // the new MANIFEST is there, the old snapshot too
}

// Partition is one replica of one partition. Its methods are safe for concurrent use.
type Partition struct {
	TID, PID uint32
	dir      string
	endpoint string // of the tablet it is on
	opts     PartitionOptions
	schema   atomic.Pointer[Schema]
	locks    keyLocks
	flight   chan struct{}
	offset   atomic.Uint64 // the counter of formats.md §3.2, not the log index

	life sync.RWMutex // held shared by everything under way, alone by Kill
	dead bool

	mu    sync.Mutex // log
	log   *binlogw.Writer
	last  uint64 // log index
	term  uint64
	files []logFile
	links []*link
	mode  apipb.TableMode
	state apipb.TableState

	snapMu  sync.Mutex // one snapshot at a time
	snapped uint64     // offset of the last snapshot since this process began, 0 none
	store   Store
}

// OpenPartition starts a replica on dir (<root>/<tid>_<pid>), which is made if it is missing, as a tablet's start does: data/ is made again of the
// last snapshot and the log behind it (formats.md §3.1).
func OpenPartition(dir string, s *Schema, pid uint32, mode apipb.TableMode, term uint64, o PartitionOptions) (*Partition, error) {
	if o.Engine == nil {
		o.Engine = NoEngine{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Partition{
		TID: s.TID, PID: pid, dir: dir, opts: o, flight: make(chan struct{}, maxFlight), term: term, mode: mode, state: apipb.TableState_kTableNormal,
	}
	p.locks.seed = maphash.MakeSeed()
	p.schema.Store(s)
	for _, d := range []string{p.SnapshotDir(), p.BinlogDir()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("open partition %d_%d: %w", p.TID, pid, err)
		}
	}
	if err := p.writeMeta(); err != nil {
		return nil, err
	}
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("open partition %d_%d: %w", p.TID, pid, err)
	}
	return p, nil
}

// Endpoint is that of the tablet the replica is on.
func (p *Partition) Endpoint() string { return p.endpoint }

// Dir is the partition's directory.
func (p *Partition) Dir() string { return p.dir }

// SnapshotDir holds MANIFEST and the checkpoints.
func (p *Partition) SnapshotDir() string { return filepath.Join(p.dir, "snapshot") }

// BinlogDir holds the log files.
func (p *Partition) BinlogDir() string { return filepath.Join(p.dir, "binlog") }

func (p *Partition) dataDir() string { return filepath.Join(p.dir, "data") }

// Schema is the table as this replica sees it.
func (p *Partition) Schema() *Schema { return p.schema.Load() }

// SetSchema is what an ALTER does to a replica.
func (p *Partition) SetSchema(s *Schema) error {
	p.life.RLock()
	defer p.life.RUnlock()
	if p.dead {
		return ErrDown
	}
	for _, f := range s.familyNames()[len(p.Schema().families):] {
		if err := p.store.AddFamily(f); err != nil {
			return fmt.Errorf("alter %d_%d: %w", p.TID, p.PID, err)
		}
	}
	p.schema.Store(s)
	return p.writeMeta()
}

func (p *Partition) writeMeta() error {
	path := filepath.Join(p.dir, "table_meta.txt")
	if _, err := os.Stat(path); err == nil {
		if err := os.Rename(path, path+p.opts.Now().Format(".20060102150405")); err != nil {
			return fmt.Errorf("write table meta: %w", err)
		}
	}
	b, err := prototext.MarshalOptions{Multiline: true}.Marshal(p.Meta())
	if err != nil {
		return fmt.Errorf("write table meta: %w", err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("write table meta: %w", err)
	}
	return nil
}

// Meta is what GetTableSchema answers.
func (p *Partition) Meta() *apipb.TableMeta {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Schema().Meta(p.PID, p.mode, p.term)
}

// Lead makes the replica the leader of a term.
func (p *Partition) Lead(term uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode, p.term = apipb.TableMode_kTableLeader, term
}

// Follow makes the replica a follower.
func (p *Partition) Follow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = apipb.TableMode_kTableFollower
}

// SetState is what GetTableStatus says from now on; kTableLoading also hides the paths and refuses puts.
func (p *Partition) SetState(s apipb.TableState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
}

// Last is the index of the last log entry.
func (p *Partition) Last() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Term is the leader's term.
func (p *Partition) Term() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.term
}

// Leads tells whether this replica takes puts.
func (p *Partition) Leads() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode == apipb.TableMode_kTableLeader
}

// Status is the partition's entry of GetTableStatus, nil when it is down. oldPaths leaves the paths out, as tablets up to 0.7.3 do.
func (p *Partition) Status(oldPaths bool) *apipb.TableStatus {
	leave, err := p.enter(false)
	if err != nil {
		return nil
	}
	defer leave()
	s, count := p.Schema(), p.keys()
	p.mu.Lock()
	last, mode, state := p.last, p.mode, p.state
	p.mu.Unlock()
	st := &apipb.TableStatus{
		Tid: &p.TID, Pid: &p.PID, Offset: &last, Mode: mode.Enum(), State: state.Enum(), RecordCnt: &count, Name: &s.Name,
		CompressType: s.compress(), StorageMode: s.Storage.Enum(),
	}
	if s.Storage != commonpb.StorageMode_kMemory && !oldPaths && state != apipb.TableState_kTableLoading {
		snap, bin := p.SnapshotDir()+"/", p.dir+"/./binlog/"
		st.SnapshotPath, st.BinlogPath = &snap, &bin
	}
	return st
}

// keys is for calls between enter and leave.
func (p *Partition) keys() uint64 { return p.store.Keys(p.Schema().familyOf(0)) }

// enter begins a call that must not outlive Kill.
func (p *Partition) enter(leader bool) (leave func(), err error) {
	p.life.RLock()
	if p.dead {
		p.life.RUnlock()
		return nil, ErrNotBegun
	}
	p.mu.Lock()
	mode, state := p.mode, p.state
	p.mu.Unlock()
	switch {
	case leader && mode != apipb.TableMode_kTableLeader:
		err = ErrNotLeader
	case leader && state == apipb.TableState_kTableLoading:
		err = ErrNotReady
	}
	if err != nil {
		p.life.RUnlock()
		return nil, err
	}
	return p.life.RUnlock, nil
}

func (p *Partition) linger(ctx context.Context) error {
	if p.opts.Jitter <= 0 {
		return nil
	}
	t := time.NewTimer(rand.N(p.opts.Jitter))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
