package snapshot

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
)

func columnKey(name, ts string, cols ...string) *commonpb.ColumnKey {
	k := &commonpb.ColumnKey{IndexName: proto.String(name), ColName: cols}
	if ts != "" {
		k.TsName = proto.String(ts)
	}
	return k
}

func tableMeta(keys ...*commonpb.ColumnKey) *apipb.TableMeta {
	m := &apipb.TableMeta{Db: proto.String("db"), Name: proto.String("t"), ColumnKey: keys}
	for _, c := range []string{"a", "b", "ts1", "ts2"} {
		m.ColumnDesc = append(m.ColumnDesc, &commonpb.ColumnDesc{Name: proto.String(c)})
	}
	m.AddedColumnDesc = append(m.AddedColumnDesc, &commonpb.ColumnDesc{Name: proto.String("ts3")})
	return m
}

func TestIndexOf(t *testing.T) {
	t.Parallel()
	many := tableMeta(columnKey("i0", "ts1", "a"), columnKey("i1", "ts2", "b"), columnKey("i2", "ts3", "a"), columnKey("i3", "", "a"), columnKey("i4", "", "a", "b"), columnKey("i5", "", "b", "a"))
	for _, c := range []struct {
		meta     *apipb.TableMeta
		idx      int
		families []string // of the checkpoint
		want     string
	}{
		{tableMeta(), 0, nil, "idx0"},
		{tableMeta(), 1, nil, "no index 1"},
		{tableMeta(columnKey("only", "ts1", "a")), 0, nil, "only"},
		{many, 0, nil, "i0 2"},
		{many, 1, nil, "i1"},
		{many, 2, nil, "i0 4"},
		{many, 3, nil, "i0 4294967295"},
		{many, 4, nil, "i4"},
		{many, 5, nil, "i5"},
		{many, -1, nil, "no index -1"},
		{many, 6, nil, "6 indexes"},
		// without columns each index stands alone
		{tableMeta(columnKey("i0", "ts1"), columnKey("i1", "ts2")), 0, nil, "i0"},
		{tableMeta(columnKey("i0", "ts1"), columnKey("i1", "ts2")), 1, nil, "i1"},
		{tableMeta(columnKey("i0", "ts1", "a", "b"), columnKey("i1", "ts2", "a", "b")), 1, nil, "i0 3"},
		// added at runtime: families of their own
		{many, 0, []string{"default", "i0", "i1", "i2", "i4", "i5"}, "i0 2"},
		{many, 0, []string{"default", "i0", "i1", "i2", "i3", "i4", "i5"}, "i0"},
		{many, 2, []string{"default", "i0", "i2"}, "i2"},
		{many, 3, []string{"default", "i0", "i2"}, "i0 4294967295"},
		{tableMeta(columnKey("i0", "ts1", "a"), columnKey("i1", "gone", "a")), 1, nil, "no column gone"},
	} {
		db := &DB{families: map[string]*family{}}
		for _, f := range c.families {
			db.families[f] = &family{}
		}
		ix, err := db.IndexOf(c.meta, c.idx)
		got := ix.Family
		if ix.TsColID != nil {
			got = fmt.Sprint(ix.Family, " ", *ix.TsColID)
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("index %d with families %v: %s, want %s", c.idx, c.families, got, c.want)
		}
		if c.families == nil {
			plain, err2 := IndexOf(c.meta, c.idx)
			if (err == nil) != (err2 == nil) || plain.Family != ix.Family {
				t.Errorf("index %d: %v %v without a snapshot", c.idx, plain, err2)
			}
		}
	}
}

func TestTTLOf(t *testing.T) {
	t.Parallel()
	ttl := func(kind typepb.TTLType, abs, lat uint64) *commonpb.TTLSt {
		return &commonpb.TTLSt{TtlType: kind.Enum(), AbsTtl: proto.Uint64(abs), LatTtl: proto.Uint64(lat)}
	}
	if got, err := ttlOf(nil); err != nil || got.at(1<<50) != (expiry{}) {
		t.Errorf("no TTL: %+v, %v", got, err)
	}
	if got, err := ttlOf(ttl(typepb.TTLType_kAbsoluteTime, 3, 0)); err != nil || got.Abs != 180_000 {
		t.Errorf("3 minutes: %+v, %v", got, err)
	}
	if got, err := ttlOf(ttl(typepb.TTLType_kAbsoluteTime, math.MaxUint64/2, 0)); err != nil || got.Abs != 0 {
		t.Errorf("longer than time: %+v, %v", got, err)
	}
	if _, err := ttlOf(ttl(9, 1, 1)); err == nil || !strings.Contains(err.Error(), "TTL type 9") {
		t.Errorf("unknown kind: %v", err)
	}
}

// TestExpiry: formats.md §3.4, each kind at its edges.
func TestExpiry(t *testing.T) {
	t.Parallel()
	const now = 1_000_000
	for _, c := range []struct {
		kind     typepb.TTLType
		abs, lat uint64
		ts, rank uint64
		want     bool
	}{
		{typepb.TTLType_kAbsoluteTime, 1000, 5, now - 1000, 1, true},
		{typepb.TTLType_kAbsoluteTime, 1000, 5, now - 999, 99, false},
		{typepb.TTLType_kAbsoluteTime, 0, 5, 0, 99, false},
		{typepb.TTLType_kAbsoluteTime, now, 0, 0, 1, false},
		{typepb.TTLType_kAbsoluteTime, now + 1, 0, 0, 1, false},
		{typepb.TTLType_kRelativeTime, 1000, 5, now - 1000, 1, true},
		{typepb.TTLType_kLatestTime, 1000, 5, 0, 5, false},
		{typepb.TTLType_kLatestTime, 1000, 5, now, 6, true},
		{typepb.TTLType_kLatestTime, 1000, 0, 0, 1 << 40, false},
		{typepb.TTLType_kAbsAndLat, 1000, 5, now - 1000, 5, false},
		{typepb.TTLType_kAbsAndLat, 1000, 5, now - 999, 6, false},
		{typepb.TTLType_kAbsAndLat, 1000, 5, now - 1000, 6, true},
		{typepb.TTLType_kAbsAndLat, 0, 5, 0, 6, false},
		{typepb.TTLType_kAbsAndLat, 1000, 0, 0, 6, false},
		{typepb.TTLType_kAbsOrLat, 1000, 5, now - 1000, 1, true},
		{typepb.TTLType_kAbsOrLat, 1000, 5, now, 6, true},
		{typepb.TTLType_kAbsOrLat, 1000, 5, now, 5, false},
		{typepb.TTLType_kAbsOrLat, 0, 5, 0, 5, false},
		{typepb.TTLType_kAbsOrLat, 1000, 0, now, 99, false},
	} {
		e := (TTL{Kind: c.kind, Abs: c.abs, Lat: c.lat}).at(now)
		if got := e.hides(c.ts, c.rank); got != c.want {
			t.Errorf("%v abs %d lat %d hides ts %d rank %d: %v", c.kind, c.abs, c.lat, c.ts, c.rank, got)
		}
		if none := (TTL{Kind: c.kind, Abs: c.abs, Lat: c.lat}).at(0); none.hides(c.ts, c.rank) {
			t.Errorf("%v hides without a time", c.kind)
		}
	}
}
