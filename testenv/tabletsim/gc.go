package tabletsim

import (
	"bytes"
	"fmt"
	"time"

	"omsync/openmldb/pb/typepb"
)

// GC removes expired rows from the store and logs nothing (formats.md §3.4). It returns the number of rows that went from index 0.
func (p *Partition) GC() (int, error) {
	leave, err := p.enter(false)
	if err != nil {
		return 0, fmt.Errorf("gc of %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	s, gone := p.Schema(), 0
	for i, ix := range s.Indexes {
		if ix.Deleted || (ix.AbsTTL == 0 && ix.LatTTL == 0) {
			continue
		}
		n, err := p.gcIndex(s, i)
		if err != nil {
			return gone, fmt.Errorf("gc of %d_%d: %w", p.TID, p.PID, err)
		}
		if i == 0 {
			gone = n
		}
	}
	return gone, nil
}

func (p *Partition) gcIndex(s *Schema, i int) (int, error) {
	type cut struct {
		pk string
		ts uint64
	}
	var (
		cuts []cut
		pk   []byte
		rank uint64
		have bool
		done bool
		gone int
	)
	now := p.opts.Now()
	// Versions of a pk come newest first: from the first expired one on all are.
	err := p.store.Scan(s.familyOf(i), func(key, _ []byte) bool {
		k, ts, ok := s.splitKey(i, key)
		if !ok {
			return true
		}
		if !have || string(pk) != k {
			pk, rank, have, done = append(pk[:0], k...), 0, true, false
		}
		rank++
		if ts > 0 && expired(s.Indexes[i], ts, rank, now) {
			gone++
			if !done {
				cuts = append(cuts, cut{string(bytes.Clone(pk)), ts})
				done = true
			}
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	for _, c := range cuts {
		if err := p.removeKey(s, i, c.pk, c.ts, 0); err != nil {
			return 0, err
		}
	}
	return gone, nil
}

// expired tells whether the rank-th newest version (from 1) of a pk is hidden; AbsTTL is in minutes, 0 means that part never expires a row.
func expired(ix Index, ts, rank uint64, now time.Time) bool {
	abs := ix.AbsTTL > 0 && ts <= uint64(max(0, now.UnixMilli()-int64(ix.AbsTTL)*60_000))
	lat := ix.LatTTL > 0 && rank > ix.LatTTL
	switch ix.TTLType {
	case typepb.TTLType_kLatestTime:
		return lat
	case typepb.TTLType_kAbsAndLat:
		return abs && lat
	case typepb.TTLType_kAbsOrLat:
		return abs || lat
	}
	return abs
}

// Truncate removes everything from the store of this replica, logs nothing and, as upstream does, forces a snapshot.
func (p *Partition) Truncate() (Checkpoint, error) {
	leave, err := p.enter(false)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("truncate %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	c, err := p.truncate()
	if err != nil {
		return c, fmt.Errorf("truncate %d_%d: %w", p.TID, p.PID, err)
	}
	return c, nil
}

func (p *Partition) truncate() (Checkpoint, error) {
	if !p.opts.Engine.Writes() {
		return Checkpoint{}, ErrNoStore
	}
	for _, f := range p.Schema().familyNames() {
		var first, last []byte
		if err := p.store.Scan(f, func(key, _ []byte) bool {
			if first == nil {
				first = bytes.Clone(key)
			}
			last = append(last[:0], key...)
			return true
		}); err != nil {
			return Checkpoint{}, err
		}
		if first == nil {
			continue
		}
		// The end is exclusive and sorts behind every version of the last pk.
		end := append(bytes.Clone(last[:len(last)-8]), 0)
		end = append(end, bytes.Repeat([]byte{0xFF}, 8)...)
		if err := p.store.DeleteRange(f, first, end); err != nil {
			return Checkpoint{}, err
		}
	}
	return p.snapshot()
}

// BuildIndex loads index i, which was added at runtime: rows whose new key lives here go into the store and only move the offset counter, the
// others are sent away and logged there as puts with that dimension only (formats.md §4.3).
func (p *Partition) BuildIndex(i int, send func(pid uint32, put Put) error) error {
	leave, err := p.enter(true)
	if err != nil {
		return fmt.Errorf("build index of %d_%d: %w", p.TID, p.PID, err)
	}
	defer leave()
	if err := p.buildIndex(i, send); err != nil {
		return fmt.Errorf("build index of %d_%d: %w", p.TID, p.PID, err)
	}
	return nil
}

func (p *Partition) buildIndex(i int, send func(pid uint32, put Put) error) error {
	s := p.Schema()
	type away struct {
		pid uint32
		put Put
	}
	var (
		rows []away
		bad  error
	)
	if err := p.store.Scan(s.familyOf(0), func(key, value []byte) bool {
		_, ts, ok := s.splitKey(0, key)
		if !ok {
			return true
		}
		row, err := s.plain(value)
		if err != nil {
			bad = err
			return false
		}
		row = bytes.Clone(row)
		values, err := s.DecodeRow(row)
		if err != nil {
			bad = err
			return false
		}
		k := s.Key(i, values)
		t := ts
		if s.Indexes[0].TsColumn != "" {
			t = uint64(p.opts.Now().UnixMilli())
		}
		rows = append(rows, away{PartitionOf(k, s.Partitions), Put{Time: t, Row: row, Dims: []Dim{{Idx: uint32(i), Key: k}}}})
		return true
	}); err != nil || bad != nil {
		if err == nil {
			err = bad
		}
		return err
	}
	for _, r := range rows {
		if r.pid != p.PID {
			if err := send(r.pid, r.put); err != nil {
				return err
			}
			continue
		}
		kvs, _, err := p.cells(s, r.put)
		if err != nil {
			return err
		}
		if err := p.store.Put(kvs); err != nil {
			return err
		}
		p.offset.Add(1)
	}
	return nil
}
