package inspect

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"unicode/utf8"

	"omsync/openmldb/snapshot"
)

// snapshotLine is a row of a checkpoint.
type snapshotLine struct {
	Index   string          `json:"index,omitempty"` // with --all
	Key     *string         `json:"key,omitempty"`
	KeyHex  *string         `json:"key_hex,omitempty"` // instead of key where that is not UTF-8
	Ts      string          `json:"ts"`
	Seq     uint64          `json:"seq"`
	Hidden  snapshot.Hidden `json:"hidden,omitempty"` // with --all: why an export leaves it out
	Row     []any           `json:"row,omitempty"`
	Value   any             `json:"value,omitempty"` // the stored bytes, where they are no row
	Problem string          `json:"problem,omitempty"`
}

// showSnapshot prints what an export would take from the checkpoint, or everything that is in it.
func showSnapshot(ctx context.Context, p *printer, at place, s *schema, nowMs int64, all bool) error {
	if err := at.open(); errors.Is(err, snapshot.ErrNoManifest) {
		p.note("the partition has no snapshot: all its rows are in the log, see inspect binlog")
		return nil
	} else if err != nil {
		return failed("%v", err)
	}
	db, err := snapshot.Open(snapshot.OS(), at.checkpoint, snapshot.Options{})
	if err != nil {
		return failed("%v", err)
	}
	defer db.Close() // read only: nothing can be lost by it
	if all {
		return showAll(ctx, p, db, s, nowMs)
	}
	ix, err := db.IndexOf(s.meta, 0)
	if err != nil {
		return failed("%v", err)
	}
	it, err := db.Scan(snapshot.ScanOptions{Index: ix, NowMs: nowMs})
	if err != nil {
		return failed("%v", err)
	}
	err = p.rows(ctx, it, "", func() snapshot.Hidden { return snapshot.Shown })
	if n := it.Expired(); err == nil && n > 0 {
		p.note("rows hidden by the TTL: %d, see --all", n)
	}
	return err
}

// showAll prints every index, then the column families that belong to none.
func showAll(ctx context.Context, p *printer, db *snapshot.DB, s *schema, nowMs int64) error {
	type part struct {
		name string
		ix   snapshot.Index
	}
	var parts []part
	there, taken := map[string]bool{}, map[string]bool{}
	for _, f := range db.Families() {
		there[f.Name] = true
	}
	for i := range max(1, len(s.meta.GetColumnKey())) {
		ix, err := db.IndexOf(s.meta, i)
		if err != nil {
			return failed("%v", err)
		}
		name := ix.Family
		if keys := s.meta.GetColumnKey(); i < len(keys) {
			name = keys[i].GetIndexName()
		}
		if !there[ix.Family] {
			p.note("index %s is not in this checkpoint: it was added after it, or dropped", name)
			continue
		}
		taken[ix.Family] = true
		parts = append(parts, part{name, ix})
	}
	for _, f := range db.Families() {
		if !taken[f.Name] && f.Files > 0 {
			p.note("column family %s belongs to no index of the table's description", f.Name)
			parts = append(parts, part{f.Name, snapshot.Index{Family: f.Name}})
		}
	}
	for _, one := range parts {
		it, err := db.Entries(one.ix, nowMs)
		if err != nil {
			return failed("%v", err)
		}
		if err := p.rows(ctx, it, one.name, it.Hidden); err != nil {
			return err
		}
	}
	return nil
}

// rows is an iterator of rows.
type rows interface {
	Next() bool
	PK() []byte
	Ts() uint64
	Seq() uint64
	Value() []byte
	Err() error
	Close() error
}

func (p *printer) rows(ctx context.Context, it rows, index string, hidden func() snapshot.Hidden) error {
	defer it.Close() // read only: nothing can be lost by it
	for n := 0; it.Next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return interrupted()
		}
		l := snapshotLine{Index: index, Ts: strconv.FormatUint(it.Ts(), 10), Seq: it.Seq(), Hidden: hidden()}
		if pk := it.PK(); utf8.Valid(pk) {
			key := string(pk)
			l.Key = &key
		} else {
			key := hex.EncodeToString(pk)
			l.KeyHex = &key
		}
		if l.Row, l.Problem = p.row(it.Value()); l.Problem != "" {
			l.Value = text(it.Value())
			p.problem("the row of key %q, ts %s: %s", it.PK(), l.Ts, l.Problem)
		}
		if err := p.line(l); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil {
		return failed("%v", err)
	}
	return nil
}
