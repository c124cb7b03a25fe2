package handoff

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Op says what a log entry does to base index 0.
type Op uint8

const (
	Put       Op = iota // of a row of base index 0
	Delete              // of one key of base index 0
	DeleteAll           // of all keys of base index 0
)

// Entry is a log entry that concerns base index 0; others do not reach the planner.
type Entry struct {
	Index uint64
	Op    Op
	Key   []byte // in the snapshot's key order: the user key without its ts (formats.md §3.4)
	// Put
	Ts    uint64   // value of index 0's ts column, or the put time where it has none
	Hash  [16]byte // of the row's value, equal for rows that differ in stale bytes only
	PutMs uint64   // the put time by the client's clock; math.MaxUint64 = not known
	// Delete, DeleteAll: EndTs < ts ≤ StartTs are deleted
	StartTs uint64
	EndTs   uint64
}

// Log is the retained log from its start up to z, in ascending index.
type Log interface {
	Next() (Entry, error) // Key is valid until the next call; io.EOF behind the last entry ≤ z
}

// Row is a physical row of base index 0 in the checkpoint.
type Row struct {
	Key []byte // as Entry.Key
	Ts  uint64
}

// Rows is all rows of base index 0 in the checkpoint, expired ones too, by key ascending, then ts descending.
type Rows interface {
	Next() (Row, error) // Key is valid until the next call; io.EOF behind the last row
	// Hash is as Entry.Hash, of the row that Next returned last. It is asked for only where the log has a put with the row's key and ts: most
	// rows of a large checkpoint are never decoded.
	Hash() ([16]byte, error)
}

// Input is what a plan is made from.
type Input struct {
	Log            Log
	Rows           Rows   // nil: there is no checkpoint at all
	ManifestOffset uint64 // M
	CheckpointMs   int64  // mtime of the checkpoint
	NowMs          int64  // the pin time
	TTLMs          uint64 // absolute part of index 0's TTL, 0 = none (AbsoluteTTL)
}

// Options of Compute. The zero value is what the collector uses, with TempDir added.
type Options struct {
	TempDir        string               // for sorted batches that do not fit into memory
	Batch          int                  // bytes of log keys held in memory; 0 = 8 MiB
	FanIn          int                  // temporary files merged at once; 0 = 64
	Near           uint64               // log indexes by which p and M may be off; 0 = 1,000
	ClockTolerance time.Duration        // by which clients' clocks may be off; 0 = 5 min
	Temp           func() (Temp, error) // instead of TempDir
}

// Defaults of Options; handoff.clock_tolerance sets the second.
const (
	DefaultNear           = 1000
	DefaultClockTolerance = 5 * time.Minute
	defaultBatch          = 8 << 20
	defaultFanIn          = 64
)

// Plan is the hand-off of one generation.
type Plan struct {
	Backlog  *Set   // E
	Vanished uint64 // puts left out because only an unlogged TRUNCATE explains that S lacks them
	Expired  uint64 // puts left out for TTL
	Oldest   uint64 // p; math.MaxUint64 = no bound
	Puts     uint64 // of base index 0 in the retained log ≤ z
	Deletes  uint64 // that concern base index 0
	Spilled  int    // temporary files written
}

// Compute makes the plan of design.md §5.1, step 3. It holds a batch of log keys, the deletes of one key, the deletes without a key and one or
// two bits per log entry in memory, whatever the size of log and checkpoint.
func Compute(ctx context.Context, in Input, opts Options) (_ *Plan, err error) {
	if opts.Batch == 0 {
		opts.Batch = defaultBatch
	}
	if opts.Batch > 1<<30 {
		return nil, fmt.Errorf("plan hand-off: a batch of %d bytes is over 1 GiB", opts.Batch)
	}
	if opts.FanIn == 0 {
		opts.FanIn = defaultFanIn
	}
	if opts.FanIn < 2 {
		return nil, fmt.Errorf("plan hand-off: cannot merge %d files at once", opts.FanIn)
	}
	if opts.Near == 0 {
		opts.Near = DefaultNear
	}
	if opts.ClockTolerance == 0 {
		opts.ClockTolerance = DefaultClockTolerance
	}
	if opts.Temp == nil {
		opts.Temp = tempIn(opts.TempDir)
	}
	p := planner{in: in, opts: opts, sort: sorter{temp: opts.Temp, limit: opts.Batch, fanIn: opts.FanIn}}
	p.plan = Plan{Backlog: &Set{}, Oldest: math.MaxUint64}
	defer func() {
		if e := p.sort.close(); e != nil && err == nil {
			err = fmt.Errorf("plan hand-off: %w", e)
		}
	}()
	if err := p.readLog(ctx); err != nil {
		return nil, fmt.Errorf("plan hand-off: %w", err)
	}
	if err := p.join(ctx); err != nil {
		return nil, fmt.Errorf("plan hand-off: %w", err)
	}
	p.settle()
	p.plan.Spilled = p.sort.spill
	return &p.plan, nil
}

type planner struct {
	in   Input
	opts Options
	sort sorter
	plan Plan

	everyKey []del // deletes without a key
	all      cover // of everyKey
	doubtful Set   // puts that belong to E unless p says that they vanished

	row     Row // current row of S
	key     []byte
	haveRow bool
	matched bool      // a retained put of the current row was seen
	hash    *[16]byte // of the current row, once asked for
}

// tail of a sorted item. Numbers are inverted so that larger ones come first; the deletes of a key come before its puts.
//
//	0: 0, ^start, ^index, end, 16 unused bytes
//	1: 1, ^ts, ^index, put ms, hash
const (
	kindDelete = 0
	kindPut    = 1
)

func (p *planner) readLog(ctx context.Context) error {
	last := uint64(0)
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e, err := p.in.Log.Next()
		if errors.Is(err, io.EOF) {
			p.all = coverOf(p.everyKey)
			return nil
		}
		if err != nil {
			return err
		}
		if e.Index <= last {
			return fmt.Errorf("log entry %d comes after %d", e.Index, last)
		}
		last = e.Index
		var t [tailSize]byte
		binary.BigEndian.PutUint64(t[9:], ^e.Index)
		switch e.Op {
		case DeleteAll:
			p.plan.Deletes++
			p.everyKey = append(p.everyKey, del{e.StartTs, e.EndTs, e.Index})
			continue
		case Delete:
			p.plan.Deletes++
			t[0] = kindDelete
			binary.BigEndian.PutUint64(t[1:], ^e.StartTs)
			binary.BigEndian.PutUint64(t[17:], e.EndTs)
		default:
			p.plan.Puts++
			t[0] = kindPut
			binary.BigEndian.PutUint64(t[1:], ^e.Ts)
			binary.BigEndian.PutUint64(t[17:], e.PutMs)
			copy(t[25:], e.Hash[:])
		}
		if err := p.sort.add(ctx, e.Key, &t); err != nil {
			return err
		}
	}
}

// join merges the log's keys with S.
func (p *planner) join(ctx context.Context) error {
	items, err := p.sort.sorted()
	if err != nil {
		return err
	}
	if err := p.nextRow(); err != nil {
		return err
	}
	var (
		key     []byte // of the current group
		ts      uint64
		begun   bool // a group was begun
		puts    bool // of this key
		dels    []del
		touched cover
	)
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		k, tail, err := items.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		newKey := !begun || !bytes.Equal(k, key)
		if newKey {
			begun, puts = true, false
			key = append(key[:0], k...)
			dels = dels[:0]
		}
		a, index, c := ^binary.BigEndian.Uint64(tail[1:]), ^binary.BigEndian.Uint64(tail[9:]), binary.BigEndian.Uint64(tail[17:])
		if tail[0] == kindDelete {
			dels = append(dels, del{start: a, end: c, index: index})
			continue
		}
		newest := !puts || a != ts // the last put of its (key, ts)
		if !puts {
			touched = coverOf(dels)
		}
		puts, ts = true, a
		if newest {
			if err := p.rowsBefore(key, ts); err != nil {
				return err
			}
		}
		same, err := p.isRow(key, ts, tail[25:])
		if err != nil {
			return err
		}
		if same && !p.matched {
			p.matched = true
			p.plan.Oldest = min(p.plan.Oldest, index)
		}
		if newest && !same && max(touched.lastAt(ts), p.all.lastAt(ts)) < index {
			p.candidate(index, ts, c)
		}
	}
	for p.haveRow && p.plan.Oldest > 0 { // nothing lowers it further
		if err := p.passRow(); err != nil {
			return err
		}
	}
	return nil
}

// isRow tells whether the current row of S is this put's.
func (p *planner) isRow(key []byte, ts uint64, hash []byte) (bool, error) {
	if !p.haveRow || p.row.Ts != ts || !bytes.Equal(p.row.Key, key) {
		return false, nil
	}
	if p.hash == nil {
		h, err := p.in.Rows.Hash()
		if err != nil {
			return false, err
		}
		p.hash = &h
	}
	return bytes.Equal(p.hash[:], hash), nil
}

// candidate takes a put that S lacks and nothing touches.
func (p *planner) candidate(index, ts, putMs uint64) {
	switch {
	case p.expired(ts):
		p.plan.Expired++
	case p.in.Rows != nil && index <= add(p.in.ManifestOffset, p.opts.Near) && p.beforeCheckpoint(putMs):
		p.doubtful.Add(index) // p is not known before S is read
	default:
		p.plan.Backlog.Add(index)
	}
}

// settle decides the doubtful puts by p.
func (p *planner) settle() {
	for index := range p.doubtful.All() {
		if index <= add(p.plan.Oldest, p.opts.Near) {
			p.plan.Vanished++
		} else {
			p.plan.Backlog.Add(index)
		}
	}
}

func (p *planner) expired(ts uint64) bool {
	now := uint64(max(p.in.NowMs, 0))
	return p.in.TTLMs > 0 && now >= p.in.TTLMs && ts <= now-p.in.TTLMs
}

// beforeCheckpoint: the put is older than the checkpoint, whatever the clients' clocks say within the tolerance.
func (p *planner) beforeCheckpoint(putMs uint64) bool {
	limit := p.in.CheckpointMs - p.opts.ClockTolerance.Milliseconds()
	return limit > 0 && putMs < uint64(limit)
}

// rowsBefore passes the rows of S that stand before (key, ts): the retained log has no put of them.
func (p *planner) rowsBefore(key []byte, ts uint64) error {
	for p.haveRow {
		c := bytes.Compare(p.row.Key, key)
		if c > 0 || c == 0 && p.row.Ts <= ts {
			return nil
		}
		if err := p.passRow(); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) passRow() error {
	if !p.matched {
		p.plan.Oldest = 0
	}
	return p.nextRow()
}

func (p *planner) nextRow() error {
	p.matched, p.hash = false, nil
	if p.in.Rows == nil {
		return nil
	}
	ts := p.row.Ts
	p.key = append(p.key[:0], p.row.Key...)
	row, err := p.in.Rows.Next()
	if errors.Is(err, io.EOF) {
		p.haveRow = false
		return nil
	}
	if err != nil {
		return err
	}
	if p.haveRow {
		if c := bytes.Compare(row.Key, p.key); c < 0 || c == 0 && row.Ts >= ts {
			return fmt.Errorf("snapshot row (%q, %d) comes after (%q, %d)", row.Key, row.Ts, p.key, ts)
		}
	}
	p.row, p.haveRow = row, true
	return nil
}

func add(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
