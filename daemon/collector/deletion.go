package collector

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/binlog"
	"omsync/rpc/omsyncpb"
)

// deletion sends a delete of the log phase, where deletes are asked for and it concerns index 0.
func (e *export) deletion(ctx context.Context, x *binlog.Entry) error {
	if !e.deletes {
		return nil
	}
	key, keyless, yes := e.rows.ix.Touches(x)
	if !yes {
		return nil
	}
	m := &omsyncpb.LogDelete{LogIndex: x.Index, Term: x.Term, ReadMs: e.clock().Now().UnixMilli()}
	if !keyless {
		m.Key = append([]byte{}, key...) // never nil: an empty key is one, too
	}
	if x.HasTS {
		m.StartTs = proto.Uint64(x.TS)
	}
	if x.EndTS != nil {
		m.EndTs = *x.EndTS
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the delete at log entry %d: %w", x.Index, err)
	}
	if err := e.out.room(ctx, protowire.SizeBytes(len(b))); err != nil {
		return err
	}
	e.out.remove(b, m.GetReadMs())
	return nil
}

// remove takes an encoded delete into the batch; room was called before. reach moves the point behind it.
func (x *sender) remove(b []byte, ms int64) {
	if x.count == 0 && x.deleted == 0 {
		x.oldest = ms
	}
	x.deletes = protowire.AppendBytes(x.deletes, b)
	x.deleted++
}
