package collector

import (
	"context"
	"io"

	"omsync/daemon/collector/handoff"
	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/snapshot"
)

// base is what the planner must know of index 0.
type base struct {
	scan  snapshot.Index
	index handoff.Index0
	rows_ *rows
	ttlMs uint64
}

// openBase derives it from the table's meta and, if there is one, from the pinned checkpoint's families.
func openBase(meta *apipb.TableMeta, db *snapshot.DB) (*base, error) {
	r, err := newRows(meta)
	if err != nil {
		return nil, err
	}
	b := &base{rows_: r}
	if keys := meta.GetColumnKey(); len(keys) > 0 {
		b.ttlMs, b.index.TsName = handoff.AbsoluteTTL(keys[0]), keys[0].GetTsName()
	}
	if db != nil {
		b.scan, err = db.IndexOf(meta, 0)
	} else {
		b.scan, err = snapshot.IndexOf(meta, 0)
	}
	if err != nil {
		return nil, err
	}
	b.index.Key = func(dst, pk []byte) []byte {
		dst = b.scan.Key(dst, pk, 0)
		return dst[:len(dst)-8]
	}
	b.index.Row = func(value []byte) (ts uint64, hash [16]byte, err error) {
		p, schema, err := r.plain(value)
		if err != nil {
			return 0, hash, err
		}
		if r.ts >= 0 {
			if ts, err = schema.Ts(p, r.ts); err != nil {
				return 0, hash, err
			}
		}
		hash, err = r.set.Hash(p)
		return ts, hash, err
	}
	return b, nil
}

func (b *base) rows(ctx context.Context, db *snapshot.DB) (handoff.Rows, func() error, error) {
	it, err := db.Scan(snapshot.ScanOptions{Index: b.scan, Interrupt: func() error { return context.Cause(ctx) }})
	if err != nil {
		return nil, nil, err
	}
	return &baseRows{b, it}, it.Close, nil
}

// baseRows is handoff.Rows over a scan without TTL.
type baseRows struct {
	b  *base
	it *snapshot.Iter
}

func (r *baseRows) Next() (row handoff.Row, err error) {
	if !r.it.Next() {
		if err := r.it.Err(); err != nil {
			return row, err
		}
		return row, io.EOF
	}
	key := r.it.Key()
	row.Key, row.Ts = key[:len(key)-8], r.it.Ts()
	return row, nil
}

func (r *baseRows) Hash() (hash [16]byte, err error) {
	_, hash, err = r.b.index.Row(r.it.Value())
	return hash, err
}
