//go:build rocksdb

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/typepb"
	"omsync/testenv/binlogw"
	"omsync/testenv/rocks"
	"omsync/testenv/tabletsim"
)

// spec is a table of 12 mixed columns, rows of 200 bytes.
func spec(partitions int) tabletsim.Spec {
	return tabletsim.Spec{
		DB: "bench", Name: "orders", TID: 77, Partitions: partitions,
		Columns: []tabletsim.Column{
			{Name: "user", Type: typepb.DataType_kString, NotNull: true}, {Name: "ts", Type: typepb.DataType_kTimestamp, NotNull: true},
			{Name: "paid", Type: typepb.DataType_kBool}, {Name: "kind", Type: typepb.DataType_kSmallInt}, {Name: "items", Type: typepb.DataType_kInt},
			{Name: "id", Type: typepb.DataType_kBigInt}, {Name: "weight", Type: typepb.DataType_kFloat}, {Name: "price", Type: typepb.DataType_kDouble},
			{Name: "day", Type: typepb.DataType_kDate}, {Name: "city", Type: typepb.DataType_kString}, {Name: "street", Type: typepb.DataType_kVarchar},
			{Name: "note", Type: typepb.DataType_kString},
		},
		Indexes: []tabletsim.Index{{Name: "by_user", Columns: []string{"user"}, TsColumn: "ts"}},
	}
}

// table is what a tablet would leave: a checkpoint with all rows, and a log that was trimmed behind it.
type table struct {
	schema *tabletsim.Schema
	dirs   []string // by pid
	bytes  int64    // of rows
}

// make writes rows rows, evenly over the partitions.
func makeTable(dir string, rows, partitions int) (*table, error) {
	schema, err := tabletsim.NewSchema(spec(partitions))
	if err != nil {
		return nil, err
	}
	t := &table{schema: schema}
	for pid := range partitions {
		d := filepath.Join(dir, fmt.Sprintf("77_%d", pid))
		n := rows / partitions
		if pid < rows%partitions {
			n++
		}
		size, err := makePartition(schema, d, uint32(pid), n)
		if err != nil {
			return nil, fmt.Errorf("make partition %d: %w", pid, err)
		}
		t.dirs = append(t.dirs, d)
		t.bytes += size
	}
	return t, nil
}

// settled is how long ago the checkpoint was taken: longer than any collector waits for it to settle.
const settled = 10 * time.Minute

func makePartition(s *tabletsim.Schema, dir string, pid uint32, rows int) (size int64, err error) {
	meta, err := prototext.Marshal(s.Meta(pid, apipb.TableMode_kTableLeader, 1))
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "snapshot"), 0o755); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "table_meta.txt"), meta, 0o644); err != nil {
		return 0, err
	}
	const name = "202601010000"
	if size, err = fill(s, filepath.Join(dir, "data"), filepath.Join(dir, "snapshot", name), pid, rows); err != nil {
		return 0, err
	}
	at := time.Now().Add(-settled)
	if err := os.Chtimes(filepath.Join(dir, "snapshot", name, "CURRENT"), at, at); err != nil {
		return 0, err
	}
	manifest := fmt.Sprintf("offset: %d\nname: %q\ncount: %d\nterm: 1\n", rows, name, rows)
	if err := os.WriteFile(filepath.Join(dir, "snapshot", "MANIFEST"), []byte(manifest), 0o644); err != nil {
		return 0, err
	}
	// One entry of the log is left: a delete of nothing, behind all rows.
	w, err := binlogw.Open(filepath.Join(dir, "binlog"), binlogw.Options{})
	if err != nil {
		return 0, err
	}
	method := apipb.MethodType_kDelete
	err = w.Append(&apipb.LogEntry{
		Term: proto.Uint64(1), LogIndex: proto.Uint64(uint64(rows) + 1), MethodType: &method, Ts: proto.Uint64(uint64(time.Now().UnixMilli())),
		Dimensions: []*apipb.Dimension{{Key: proto.String("nobody"), Idx: proto.Uint32(0)}},
	})
	if err != nil {
		return 0, err
	}
	return size, w.Close()
}

// fill writes the rows with RocksDB and takes a checkpoint; what RocksDB worked in is removed.
func fill(s *tabletsim.Schema, work, checkpoint string, pid uint32, rows int) (size int64, err error) {
	o := rocks.Tablet()
	o.AutoCompact = true
	db, err := rocks.Open(work, []string{s.Indexes[0].Name}, o)
	if err != nil {
		return 0, err
	}
	defer func() {
		db.Close()
		if e := os.RemoveAll(work); err == nil {
			err = e
		}
	}()
	if size, err = put(db, s, pid, rows); err != nil {
		return 0, err
	}
	return size, db.Checkpoint(checkpoint)
}

// put writes rows of one partition and returns their bytes.
func put(db *rocks.DB, s *tabletsim.Schema, pid uint32, rows int) (size int64, err error) {
	rng := rand.New(rand.NewPCG(uint64(pid), 11))
	const users = 50_000
	now := time.Now().UnixMilli()
	var batch []rocks.KV
	for i := range rows {
		user := fmt.Sprintf("user-%02d-%08d", pid, rng.IntN(users))
		ts := now - int64(rows-i)
		raw, err := s.Encode(values(rng, user, ts, int64(i)))
		if err != nil {
			return 0, err
		}
		size += int64(len(raw))
		batch = append(batch, rocks.KV{Key: binary.LittleEndian.AppendUint64([]byte(user), uint64(ts)), Value: raw})
		if len(batch) == 1000 || i == rows-1 {
			if err := db.PutAll(s.Indexes[0].Name, batch); err != nil {
				return 0, err
			}
			batch = batch[:0]
		}
	}
	return size, nil
}

var words = strings.Fields("north south harbour mill church station bridge market garden river hill lake forest castle square tower")

// values of one row, of about 200 bytes encoded.
func values(rng *rand.Rand, user string, ts, id int64) []any {
	text := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString(words[rng.IntN(len(words))])
			b.WriteByte(' ')
		}
		return b.String()[:n]
	}
	return []any{
		user, ts, rng.IntN(2) == 1, rng.Int64N(1000), rng.Int64N(100_000), id, float64(rng.IntN(100_000)) / 100, float64(rng.IntN(10_000_000)) / 100,
		int64(126<<16 | rng.IntN(12)<<8 | (1 + rng.IntN(28))), text(20), text(30), text(83),
	}
}
