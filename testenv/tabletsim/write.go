package tabletsim

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
)

// Put is one row for one partition.
type Put struct {
	Time uint64 // ms, the client's; 0 = the host's clock
	Row  []byte // uncompressed
	Dims []Dim  // keys that live in this partition
}

// Ack tells what became of a call.
type Ack struct {
	Index, Term uint64 // of its log entry
	Time        uint64 // ms, the entry's ts
}

// Put stores a row, then logs it (formats.md §4.3). An error that wraps ErrDown leaves open what happened.
func (p *Partition) Put(ctx context.Context, put Put) (Ack, error) {
	leave, err := p.enter(true)
	if err != nil {
		return Ack{}, fmt.Errorf("put to %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	select {
	case p.flight <- struct{}{}:
		defer func() { <-p.flight }()
	case <-ctx.Done():
		return Ack{}, fmt.Errorf("put to %d_%d: %w", p.TID, p.PID, ctx.Err())
	}
	if put.Time == 0 {
		put.Time = uint64(p.opts.Now().UnixMilli())
	}
	s := p.Schema()
	kvs, keys, err := p.cells(s, put)
	if err != nil {
		return Ack{}, fmt.Errorf("put to %d_%d: %w", p.TID, p.PID, err)
	}
	defer p.locks.lockPut(keys)()
	if err := p.store.Put(kvs); err != nil {
		return Ack{}, fmt.Errorf("put to %d_%d: %w", p.TID, p.PID, err)
	}
	p.offset.Add(1)
	if err := p.linger(ctx); err != nil {
		return Ack{}, fmt.Errorf("put to %d_%d: %w: %w", p.TID, p.PID, ErrDown, err)
	}
	e := &apipb.LogEntry{Pk: proto.String(""), Value: s.stored(put.Row), Ts: &put.Time, Dimensions: dimensions(put.Dims)}
	a, err := p.append(e)
	if err != nil {
		return Ack{}, fmt.Errorf("put to %d_%d: %w", p.TID, p.PID, err)
	}
	return a, nil
}

func dimensions(ds []Dim) []*apipb.Dimension {
	out := make([]*apipb.Dimension, len(ds))
	for i, d := range ds {
		out[i] = &apipb.Dimension{Key: &d.Key, Idx: &d.Idx}
	}
	return out
}

func (p *Partition) cells(s *Schema, put Put) ([]KV, []keyTS, error) {
	var (
		kvs  []KV
		keys []keyTS
	)
	value := s.stored(put.Row)
	for _, d := range put.Dims {
		if int(d.Idx) >= len(s.Indexes) {
			return nil, nil, fmt.Errorf("no index %d", d.Idx)
		}
		ts, err := s.tsOf(int(d.Idx), put.Row, put.Time)
		if err != nil {
			return nil, nil, err
		}
		kvs = append(kvs, KV{Family: s.familyOf(int(d.Idx)), Key: s.storeKey(int(d.Idx), d.Key, ts), Value: value})
		keys = append(keys, keyTS{d.Idx, d.Key, ts})
	}
	return kvs, keys, nil
}

// append numbers and logs an entry and hands it to the followers.
func (p *Partition) append(e *apipb.LogEntry) (Ack, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.LogIndex, e.Term = proto.Uint64(p.last+1), proto.Uint64(p.term)
	if err := p.write(e); err != nil {
		return Ack{}, err
	}
	for _, l := range p.links {
		l.push(e)
	}
	return Ack{Index: p.last, Term: p.term, Time: e.GetTs()}, nil
}

// write needs p.mu.
func (p *Partition) write(e *apipb.LogEntry) error {
	if p.log == nil {
		return ErrDown
	}
	if err := p.log.Append(e); err != nil {
		return err
	}
	p.last = e.GetLogIndex()
	if n := p.log.File(); len(p.files) == 0 || p.files[len(p.files)-1].num != n {
		p.files = append(p.files, logFile{num: n, first: p.last})
	}
	return nil
}

// Delete is a logged delete of end < ts <= start (formats.md §3.4).
type Delete struct {
	Dim    *Dim // nil: every key of the indexes whose ts column is TsName
	TsName string
	Start  *uint64 // inclusive; nil: the latest
	End    *uint64 // exclusive; nil: 0
}

func (d Delete) bounds() (start, end uint64) {
	start, end = math.MaxUint64, 0
	if d.Start != nil {
		start = *d.Start
	}
	if d.End != nil {
		end = *d.End
	}
	return start, end
}

// Delete removes from the store, then logs. The offset counter grows by the number of keys touched, the log index by one (D24).
func (p *Partition) Delete(ctx context.Context, d Delete) (Ack, error) {
	leave, err := p.enter(true)
	if err != nil {
		return Ack{}, fmt.Errorf("delete from %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	if d.Dim != nil {
		defer p.locks.lockKey(d.Dim.Idx, d.Dim.Key)()
	} else {
		defer p.locks.lockAll()()
	}
	touched, err := p.remove(d)
	if err != nil {
		return Ack{}, fmt.Errorf("delete from %d_%d: %w", p.TID, p.PID, err)
	}
	p.offset.Add(touched)
	if err := p.linger(ctx); err != nil {
		return Ack{}, fmt.Errorf("delete from %d_%d: %w: %w", p.TID, p.PID, ErrDown, err)
	}
	e := &apipb.LogEntry{Pk: proto.String(""), MethodType: apipb.MethodType_kDelete.Enum(), Ts: d.Start, EndTs: d.End}
	if d.TsName != "" {
		e.TsName = &d.TsName
	}
	if d.Dim != nil {
		e.Dimensions = dimensions([]Dim{*d.Dim})
	}
	a, err := p.append(e)
	if err != nil {
		return Ack{}, fmt.Errorf("delete from %d_%d: %w", p.TID, p.PID, err)
	}
	return a, nil
}

// remove applies a delete to the store and counts the keys it touched.
func (p *Partition) remove(d Delete) (touched uint64, err error) {
	s := p.Schema()
	start, end := d.bounds()
	if d.Dim != nil {
		i := int(d.Dim.Idx)
		if i >= len(s.Indexes) {
			return 0, fmt.Errorf("no index %d", i)
		}
		return 1, p.removeKey(s, i, d.Dim.Key, start, end)
	}
	for i, ix := range s.Indexes {
		if ix.Deleted || ix.TsColumn != d.TsName {
			continue
		}
		pks, err := p.pks(s, i)
		if err != nil {
			return 0, err
		}
		for _, pk := range pks {
			if err := p.removeKey(s, i, pk, start, end); err != nil {
				return 0, err
			}
		}
		touched += uint64(len(pks))
	}
	return touched, nil
}

func (p *Partition) removeKey(s *Schema, i int, pk string, start, end uint64) error {
	return p.store.DeleteRange(s.familyOf(i), s.storeKey(i, pk, start), s.storeKey(i, pk, end))
}

// pks lists the keys of an index; none when the store forgets.
func (p *Partition) pks(s *Schema, i int) ([]string, error) {
	if !p.opts.Engine.Writes() {
		return nil, nil
	}
	var out []string
	err := p.store.Scan(s.familyOf(i), func(key, _ []byte) bool {
		if pk, _, ok := s.splitKey(i, key); ok && (len(out) == 0 || out[len(out)-1] != pk) {
			out = append(out, strings.Clone(pk))
		}
		return true
	})
	// Keys of two indexes of a family interleave.
	slices.Sort(out)
	return slices.Compact(out), err
}

// Apply is a follower's share of an entry: log first, then store.
func (p *Partition) Apply(e *apipb.LogEntry) error {
	leave, err := p.enter(false)
	if err != nil {
		return fmt.Errorf("replicate to %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	p.mu.Lock()
	if e.GetLogIndex() <= p.last {
		p.mu.Unlock()
		return nil
	}
	err = p.write(e)
	p.mu.Unlock()
	if err == nil {
		err = p.applyToStore(e)
	}
	if err != nil {
		return fmt.Errorf("replicate to %d_%d: %w", p.TID, p.PID, err)
	}
	return nil
}

// applyToStore does to the store what an entry says.
func (p *Partition) applyToStore(e *apipb.LogEntry) error {
	s := p.Schema()
	if !p.opts.Engine.Writes() {
		p.offset.Add(1)
		return nil
	}
	if e.GetMethodType() == apipb.MethodType_kDelete {
		d := Delete{TsName: e.GetTsName(), Start: e.Ts, End: e.EndTs}
		if ds := e.GetDimensions(); len(ds) > 0 {
			d.Dim = &Dim{Idx: ds[0].GetIdx(), Key: ds[0].GetKey()}
		}
		n, err := p.remove(d)
		p.offset.Add(n)
		return err
	}
	row, err := s.plain(e.GetValue())
	if err != nil {
		return err
	}
	put := Put{Time: e.GetTs(), Row: row}
	for _, d := range e.GetDimensions() {
		put.Dims = append(put.Dims, Dim{Idx: d.GetIdx(), Key: d.GetKey()})
	}
	p.offset.Add(1)
	kvs, _, err := p.cells(s, put)
	if err != nil {
		return err
	}
	return p.store.Put(kvs)
}
