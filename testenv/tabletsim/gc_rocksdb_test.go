//go:build rocksdb

package tabletsim

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
)

func TestGCAndTruncateLeaveNoTrace(t *testing.T) {
	t.Parallel()
	sp := spec(1)
	sp.Indexes = []Index{{Name: "i0", Columns: []string{"k"}, TsColumn: "ts", AbsTTL: 1}}
	now := time.UnixMilli(1_000_000)
	p := open(t, t.TempDir(), schema(t, sp), 0, PartitionOptions{Engine: RocksEngine{}, Now: func() time.Time { return now }})
	for _, ts := range []int64{999_999, 940_001, 940_000, 5, 0} {
		putRow(t, p, "k", ts, nil, nil)
	}
	last := p.Last()
	if n, err := p.GC(); err != nil || n != 2 {
		t.Error(n, err)
	}
	want(t, "after gc", stored(t, p, 0), "k/999999", "k/940001", "k/0")
	c, err := p.Truncate()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "after truncate", stored(t, p, 0))
	if p.Last() != last || checkpointRows(t, filepath.Join(p.SnapshotDir(), c.Name), p.Schema()) != 0 {
		t.Error("truncate left a trace, or its snapshot is not empty")
	}
	putRow(t, p, "k", int64(999_999), nil, nil)
	want(t, "put again", stored(t, p, 0), "k/999999")
}

func TestLatestTTL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind     typepb.TTLType
		abs, lat uint64
		left     string
	}{
		{typepb.TTLType_kLatestTime, 0, 2, "k/999999 k/5"}, {typepb.TTLType_kAbsOrLat, 1, 3, "k/999999"}, {typepb.TTLType_kAbsAndLat, 1, 2, "k/999999 k/5"},
		{typepb.TTLType_kAbsAndLat, 1, 0, "k/999999 k/5 k/4 k/3"},
	} {
		sp := spec(1)
		sp.Indexes = []Index{{Name: "i0", Columns: []string{"k"}, TsColumn: "ts", TTLType: c.kind, AbsTTL: c.abs, LatTTL: c.lat}}
		p := open(t, t.TempDir(), schema(t, sp), 0, PartitionOptions{Engine: RocksEngine{}, Now: func() time.Time { return time.UnixMilli(1_000_000) }})
		for _, ts := range []int64{999_999, 3, 4, 5} {
			putRow(t, p, "k", ts, nil, nil)
		}
		if _, err := p.GC(); err != nil {
			t.Fatal(err)
		}
		want(t, c.kind.String(), stored(t, p, 0), strings.Fields(c.left)...)
	}
}

func TestBuildIndex(t *testing.T) {
	t.Parallel()
	s := schema(t, spec(1))
	p := open(t, t.TempDir(), s, PartitionOf("a", 4), PartitionOptions{Engine: RocksEngine{}})
	for i := range 20 {
		putRow(t, p, "a", int64(i+1), int64(i), "x")
	}
	next, err := s.WithIndex(Index{Name: "i3", Columns: []string{"k2", "k"}, TsColumn: "ts"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetSchema(next); err != nil {
		t.Fatal(err)
	}
	sent := 0
	before := p.offset.Load()
	if err := p.BuildIndex(3, func(pid uint32, put Put) error {
		if pid == p.PID || len(put.Dims) != 1 || put.Dims[0].Idx != 3 || PartitionOf(put.Dims[0].Key, 4) != pid {
			t.Errorf("%d %v", pid, put.Dims)
		}
		sent++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	own := len(stored(t, p, 3))
	if own+sent != 20 || own == 0 || sent == 0 || p.offset.Load() != before+uint64(own) || p.Last() != 20 {
		t.Errorf("own %d, sent %d, offset %d -> %d, last %d", own, sent, before, p.offset.Load(), p.Last())
	}
}

func TestHDDAndSnappyTables(t *testing.T) {
	t.Parallel()
	sp := spec(1)
	sp.Snappy, sp.Storage = true, commonpb.StorageMode_kHDD
	dir := t.TempDir()
	p := open(t, dir, schema(t, sp), 0, PartitionOptions{Engine: RocksEngine{}})
	putRow(t, p, "a", int64(1), nil, strings.Repeat("big", 1<<20))
	if err := p.store.Scan("i0", func(_, value []byte) bool {
		if len(value) > 1<<20 {
			t.Errorf("%d bytes: not compressed", len(value))
		}
		row, err := p.Schema().plain(value)
		if err != nil || len(row) < 3<<20 {
			t.Error(len(row), err)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if st := p.Status(false); st.GetStorageMode() != commonpb.StorageMode_kHDD || st.GetCompressType() != typepb.CompressType_kSnappy || st.GetRecordCnt() != 1 {
		t.Error(st)
	}
}
