package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"omsync/openmldb/zkconn"
)

// finishedAge is how long the record of an ended task is kept.
const finishedAge = 7 * 24 * time.Hour

// partBytes bounds one node of a record; a table with very many partitions takes several.
const partBytes = 400_000

// finishedHead is the value of finished/<id>. With many states these lie in finished_parts/<id>.<n> instead, n = 0…Parts-1, written before it.
type finishedHead struct {
	FinishedRecord
	Parts int `json:"parts,omitempty"`
}

type finishedPart struct {
	Schema int                     `json:"schema"`
	States map[uint32]SubtaskState `json:"states"`
}

// Finish keeps a record of an ended task. An older one of the same id is replaced.
func (s *Store) Finish(ctx context.Context, id string, r FinishedRecord) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := s.zk.MkdirAll(ctx, s.paths.finished()); err != nil {
		return fmt.Errorf("keep the record of task %s: %w", id, err)
	}
	at := path.Join(s.paths.finished(), id)
	values, err := finishedValues(at, path.Join(s.paths.finishedParts(), id), r)
	if err != nil {
		return err
	}
	s.records.Lock() // prune takes parts without a head for rubbish
	defer s.records.Unlock()
	if len(values) > 1 {
		if err := s.zk.MkdirAll(ctx, s.paths.finishedParts()); err != nil {
			return fmt.Errorf("keep the record of task %s: %w", id, err)
		}
	}
	// The head is written last.
	for i := len(values) - 1; i >= 0; i-- {
		if err := s.put(ctx, values[i]); err != nil {
			return fmt.Errorf("keep the record of task %s: %w", id, err)
		}
	}
	return nil
}

// finishedValues spreads a record over nodes, the head first.
func finishedValues(at, partsAt string, r FinishedRecord) ([]write, error) {
	r.Schema, r.Spec.Schema = Schema, Schema
	states := map[uint32]SubtaskState{}
	part, size := finishedPart{Schema: Schema, States: map[uint32]SubtaskState{}}, 0
	var parts []finishedPart
	for _, pid := range slices.Sorted(maps.Keys(r.States)) {
		st := r.States[pid]
		b, err := encodeState(at, st)
		if err != nil {
			return nil, err
		}
		if size += len(b) + 16; size > partBytes && len(part.States) > 0 {
			parts = append(parts, part)
			part, size = finishedPart{Schema: Schema, States: map[uint32]SubtaskState{}}, len(b)
		}
		st.Schema = Schema
		st.Reason, st.Hint = clip(st.Reason), clip(st.Hint)
		part.States[pid], states[pid] = st, st
	}
	head := finishedHead{FinishedRecord: r}
	head.States = states
	if len(parts) > 0 {
		parts = append(parts, part)
		head.States, head.Parts = nil, len(parts)
	}
	b, err := encode(at, head)
	if err != nil {
		return nil, err
	}
	out := []write{{path: at, value: b}}
	for i, p := range parts {
		name := fmt.Sprintf("%s.%d", partsAt, i)
		if b, err = encode(name, p); err != nil {
			return nil, err
		}
		out = append(out, write{path: name, value: b})
	}
	return out, nil
}

// put creates a node or replaces its value, under the epoch.
func (s *Store) put(ctx context.Context, w write) error {
	for {
		w.create = true
		err := s.decide(ctx, []write{w})
		if !errors.Is(err, ErrStale) {
			return err
		}
		_, st, err := s.zk.Get(ctx, w.path)
		if errors.Is(err, zkconn.ErrNoNode) {
			continue
		}
		if err != nil {
			return err
		}
		w.create, w.version = false, st.Version
		if err := s.decide(ctx, []write{w}); !errors.Is(err, ErrStale) {
			return err
		}
	}
}

// Finished returns the records of the last 7 days, the newest first. Older ones are removed; what keeps that from happening is logged.
func (s *Store) Finished(ctx context.Context) ([]FinishedRecord, error) {
	names, err := s.children(ctx, s.paths.finished())
	if err != nil {
		return nil, fmt.Errorf("read the records of ended tasks: %w", err)
	}
	var out []FinishedRecord
	var old []string
	for _, name := range names {
		r, err := s.finishedRecord(ctx, name)
		switch {
		case errors.Is(err, zkconn.ErrNoNode): // removed or replaced this moment
		case err != nil:
			return nil, fmt.Errorf("read the records of ended tasks: %w", err)
		case s.now().Sub(time.UnixMilli(r.EndedMs)) > finishedAge:
			old = append(old, name)
		default:
			out = append(out, r)
		}
	}
	if err := s.prune(ctx, old); err != nil {
		s.log.Warn("remove old records of ended tasks", "err", err)
	}
	slices.SortFunc(out, func(a, b FinishedRecord) int { return cmp.Compare(b.EndedMs, a.EndedMs) })
	return out, nil
}

// children lists a node's children; a missing one has none.
func (s *Store) children(ctx context.Context, at string) ([]string, error) {
	names, _, err := s.zk.Children(ctx, at)
	if errors.Is(err, zkconn.ErrNoNode) {
		return nil, nil
	}
	return names, err
}

func (s *Store) finishedRecord(ctx context.Context, name string) (FinishedRecord, error) {
	at := path.Join(s.paths.finished(), name)
	b, _, err := s.zk.Get(ctx, at)
	if err != nil {
		return FinishedRecord{}, err
	}
	var head finishedHead
	if err := decode(at, b, &head); err != nil {
		return FinishedRecord{}, err
	}
	r := head.FinishedRecord
	for i := range head.Parts {
		if r.States == nil {
			r.States = map[uint32]SubtaskState{}
		}
		part := fmt.Sprintf("%s.%d", path.Join(s.paths.finishedParts(), name), i)
		b, _, err := s.zk.Get(ctx, part)
		if err != nil {
			return FinishedRecord{}, err
		}
		var p finishedPart
		if err := decode(part, b, &p); err != nil {
			return FinishedRecord{}, err
		}
		maps.Copy(r.States, p.States)
	}
	return r, nil
}

// prune removes old records, and parts that belong to none.
func (s *Store) prune(ctx context.Context, old []string) error {
	s.records.Lock()
	defer s.records.Unlock()
	for _, id := range old {
		if err := s.multi(ctx, []zkconn.Op{zkconn.DeleteOp(path.Join(s.paths.finished(), id), -1)}); err != nil && !moved(err) {
			return err
		}
	}
	parts, err := s.children(ctx, s.paths.finishedParts())
	if err != nil || len(parts) == 0 {
		return err
	}
	heads, err := s.children(ctx, s.paths.finished())
	if err != nil {
		return err
	}
	for _, name := range parts {
		if i := strings.LastIndexByte(name, '.'); i >= 0 && slices.Contains(heads, name[:i]) {
			continue
		}
		if err := s.multi(ctx, []zkconn.Op{zkconn.DeleteOp(path.Join(s.paths.finishedParts(), name), -1)}); err != nil && !moved(err) {
			return err
		}
	}
	return nil
}
