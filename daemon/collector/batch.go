package collector

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/failpoint"
	"omsync/rpc/omsyncpb"
)

// sender makes batches of one attach. Rows are added as they are read and go out when the next one would not fit, or when the reader has nothing
// more just now; never on a timer while there is data. It holds one batch.
type sender struct {
	s     *subtask
	a     *attach
	limit int
	seq   uint64

	rows    []byte
	count   uint32
	deletes []byte // LogDelete messages, each after its length
	deleted uint32 // how many
	version uint32
	oldest  int64 // wall ms of the first row or delete
	delta   omsyncpb.Counters
	to      *omsyncpb.Point   // of what was consumed
	mark    *omsyncpb.LogMark // of the last log entry consumed
	moved   bool              // to is further than what was sent
	empty   time.Time         // last batch without rows, or any
}

// leastPack keeps batches from becoming tiny when the credit is.
const leastPack = 64 << 10

func newSender(s *subtask, a *attach) *sender {
	a.mu.Lock()
	window := a.window
	a.mu.Unlock()
	// Half the credit, so that one batch is encoded while the next is read.
	limit := min(s.c.o.MaxPack, max(window/2, leastPack))
	return &sender{s: s, a: a, limit: int(limit), empty: s.c.o.Clock.Now()}
}

// room sends what is held if n more bytes do not fit. The point stands before the row that is to be added.
func (x *sender) room(ctx context.Context, n int) error {
	held := len(x.rows) + len(x.deletes)
	if held == 0 || held+n <= x.limit {
		return nil
	}
	return x.flush(ctx, nil)
}

// add takes a row into the batch; room was called before. reset moves the point behind it.
func (x *sender) add(row []byte, version uint8) {
	if x.count == 0 && x.deleted == 0 {
		x.oldest = x.s.c.o.Clock.Now().UnixMilli()
	}
	x.rows = append(x.rows, row...)
	x.count++
	x.version = max(x.version, uint32(version))
}

// reach moves the point. key is copied.
func (x *sender) reach(phase omsyncpb.Phase, key []byte, index uint64) {
	if x.to == nil {
		x.to = &omsyncpb.Point{}
	}
	x.to.Phase, x.to.LogIndex = phase, index
	x.to.Key = append(x.to.Key[:0], key...)
	x.moved = true
}

// idle sends what is held, or the moved point if none was sent for a while. It is called when there is nothing more to read just now.
func (x *sender) idle(ctx context.Context) error {
	if x.count == 0 && x.deleted == 0 && (!x.moved || x.s.c.o.Clock.Now().Sub(x.empty) < x.s.c.o.pace.empty) {
		return nil
	}
	if err := x.flush(ctx, nil); err != nil {
		return err
	}
	if cap(x.rows) > leastPack { // an idle subtask holds no buffers
		x.rows = nil
	}
	x.deletes = nil
	return nil
}

// advance sends what is held and the moved point if nothing was sent for a while: rows that are left out must not keep them back.
func (x *sender) advance(ctx context.Context) error {
	if x.s.c.o.Clock.Now().Sub(x.empty) < x.s.c.o.pace.empty {
		return nil
	}
	return x.flush(ctx, nil)
}

// places are hit before a batch is sent.
var places = map[omsyncpb.Phase]string{
	omsyncpb.Phase_PHASE_SNAPSHOT: "collector/row", omsyncpb.Phase_PHASE_BACKLOG: "collector/backlog", omsyncpb.Phase_PHASE_LOG: "collector/log",
}

// flush sends one batch, whatever it holds, once there is credit for it.
func (x *sender) flush(ctx context.Context, edit func(*omsyncpb.Batch)) error {
	if err := x.await(ctx); err != nil {
		return err
	}
	if name, ok := places[x.to.GetPhase()]; ok {
		if err := failpoint.Hit(name); err != nil {
			return err
		}
	}
	x.seq++
	x.delta.Rows, x.delta.Bytes = uint64(x.count), uint64(len(x.rows))
	b := &omsyncpb.Batch{
		Key: x.a.key(), AttachId: x.a.id, Seq: x.seq, To: x.to, Rows: x.rows, RowCount: x.count, Delta: &x.delta, Mark: x.mark,
		MaxSchemaVersion: x.version, OldestMs: x.oldest, Deletes: x.deletes, DeleteCount: x.deleted,
	}
	if edit != nil {
		edit(b)
	}
	if err := x.a.link.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{Batch: b}}); err != nil {
		return err
	}
	x.s.sentBatch(x.to, &x.delta)
	proto.Reset(&x.delta)
	x.rows, x.count, x.version, x.oldest, x.moved = x.rows[:0], 0, 0, 0, false
	x.deletes, x.deleted = x.deletes[:0], 0
	x.empty = x.s.c.o.Clock.Now()
	return nil
}

// await waits for credit.
func (x *sender) await(ctx context.Context) error {
	n := int64(len(x.rows) + len(x.deletes))
	if n == 0 || x.a.take(n) {
		return nil
	}
	defer x.s.waits("the synctool to take rows")()
	ok := false
	for !ok {
		err := x.a.until(ctx, func() bool { return x.a.credit >= n || x.a.credit >= x.a.window })
		if err != nil {
			return err
		}
		ok = x.a.take(n)
	}
	return nil
}

// checkSize refuses a row that can not travel.
func checkSize(s *subtask, n int, key []byte, where string) error {
	if n <= maxRow {
		return nil
	}
	return troubled(operator, codeRowTooLarge, "delete the row or make it smaller on the tablet, then recover",
		"%s: the row with key %q (%s) has %d bytes, the most that can be sent is %d", partitionName(s.a), shorten(key), where, n, maxRow)
}

// shorten keeps keys in messages readable.
func shorten(key []byte) string {
	const most = 128
	if len(key) <= most {
		return string(key)
	}
	return fmt.Sprintf("%s… (%d bytes)", key[:most], len(key))
}
