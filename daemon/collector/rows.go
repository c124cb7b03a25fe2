package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"omsync/daemon/collector/handoff"
	"omsync/openmldb/binlog"
	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/row"
)

// rows reads stored values of one table as the tablet's schema says. It is for one goroutine.
type rows struct {
	set *row.Set
	ts  int            // column of index 0's ts, -1: the index has none, and a row's ts is its put time
	ix  handoff.Index0 // its TsName alone
	buf []byte
}

func newRows(meta *apipb.TableMeta) (*rows, error) {
	set, err := row.SetOfMeta(meta)
	if err != nil {
		return nil, fmt.Errorf("schema of %s.%s: %w", meta.GetDb(), meta.GetName(), err)
	}
	r := &rows{set: set, ts: -1}
	if keys := meta.GetColumnKey(); len(keys) > 0 && keys[0].GetTsName() != "" {
		r.ix.TsName = keys[0].GetTsName()
		columns := slices.Concat(meta.GetColumnDesc(), meta.GetAddedColumnDesc())
		for i, c := range columns {
			if c.GetName() == keys[0].GetTsName() {
				r.ts = i
			}
		}
		if r.ts < 0 {
			return nil, fmt.Errorf("schema of %s.%s: there is no column %s, which index %s takes its ts from", meta.GetDb(), meta.GetName(), keys[0].GetTsName(), keys[0].GetIndexName())
		}
	}
	return r, nil
}

// plain is the row of a stored value, checked. It is valid until the next call.
func (r *rows) plain(value []byte) ([]byte, *row.Schema, error) {
	p, err := r.set.Plain(r.buf[:0], value)
	if err != nil {
		return nil, nil, err
	}
	if len(p) > 0 && (len(value) == 0 || &p[0] != &value[0]) {
		r.buf = p
	}
	schema, err := r.set.Check(p)
	return p, schema, err
}

// tsOf is the row's ts on index 0's clock; e is its log entry.
func (r *rows) tsOf(plain []byte, schema *row.Schema, e *binlog.Entry) (uint64, error) {
	if r.ts < 0 {
		return e.TS, nil
	}
	return schema.Ts(plain, r.ts)
}

// decode reads a stored value. A row of a schema version that is newer than what was asked of the tablet makes the schema be asked for again.
func (e *export) decode(ctx context.Context, value []byte, where func() string) ([]byte, *row.Schema, error) {
	p, schema, err := e.rows.plain(value)
	if err == nil {
		return p, schema, nil
	}
	var newer *row.VersionError
	if errors.As(err, &newer) {
		if rerr := e.s.refresh(ctx); rerr != nil {
			return nil, nil, classify(partitionName(e.s.a)+" on "+e.s.a.GetTabletEndpoint()+": ask for the schema", rerr)
		}
		if rerr := e.reread(); rerr != nil {
			return nil, nil, rerr
		}
		if p, schema, err = e.rows.plain(value); err == nil {
			return p, schema, nil
		}
	}
	if errors.As(err, &newer) {
		return nil, nil, troubled(operator, codeSchemaUnknown, "check the table's schema on the tablet (GetTableSchema), then recover",
			"%s, %s: %w", partitionName(e.s.a), where(), err)
	}
	return nil, nil, troubled(operator, codeRowCorrupt, "look at the row on the tablet, then recover", "%s, %s: %w", partitionName(e.s.a), where(), err)
}

// reread takes over the schema as last asked for.
func (e *export) reread() error {
	src := e.s.src()
	if src == nil {
		return errors.New("the tablet's schema is not known")
	}
	r, err := newRows(src.Meta)
	if err != nil {
		return troubled(operator, codeSchemaUnknown, "check the table's schema on the tablet (GetTableSchema), then recover", "%s: %w", partitionName(e.s.a), err)
	}
	e.rows = r
	return nil
}
