package catalog

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"
)

// replica is one line of a partition: node, leader, alive.
func replica(node string, leader, alive bool) *nspb.PartitionMeta {
	return &nspb.PartitionMeta{Endpoint: proto.String(node), IsLeader: proto.Bool(leader), IsAlive: proto.Bool(alive)}
}

func table(tid uint32, db, name string, partitions ...[]*nspb.PartitionMeta) *nspb.TableInfo {
	t := &nspb.TableInfo{Tid: proto.Uint32(tid), Db: proto.String(db), Name: proto.String(name), StorageMode: commonpb.StorageMode_kSSD.Enum()}
	for pid, p := range partitions {
		t.TablePartition = append(t.TablePartition, &nspb.TablePartition{Pid: proto.Uint32(uint32(pid)), PartitionMeta: p})
	}
	return t
}

func TestLeader(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		replicas []*nspb.PartitionMeta
		node     string
		err      error
	}{
		{"one", []*nspb.PartitionMeta{replica("a:1", true, true)}, "a:1", nil},
		{"with followers", []*nspb.PartitionMeta{replica("a:1", false, true), replica("b:1", true, true), replica("c:1", false, false)}, "b:1", nil},
		{"after a failover the dead one is still flagged", []*nspb.PartitionMeta{replica("a:1", true, false), replica("b:1", true, true)}, "b:1", nil},
		{"dead", []*nspb.PartitionMeta{replica("a:1", true, false), replica("b:1", false, true)}, "", ErrNoLeader},
		{"nobody", nil, "", ErrNoLeader},
		{"two alive", []*nspb.PartitionMeta{replica("a:1", true, true), replica("b:1", true, true)}, "", ErrTwoLeaders},
		{"is_alive left out means alive", []*nspb.PartitionMeta{{Endpoint: proto.String("a:1"), IsLeader: proto.Bool(true)}}, "a:1", nil},
	} {
		x := &Table{DB: "db", Name: "t", Info: table(1, "db", "t", tc.replicas)}
		node, err := x.Leader(0)
		if node != tc.node || !errors.Is(err, tc.err) {
			t.Errorf("%s: %q, %v; want %q, %v", tc.name, node, err, tc.node, tc.err)
		}
		if err != nil && !strings.Contains(err.Error(), "db.t partition 0") {
			t.Errorf("%s: the error does not name the partition: %v", tc.name, err)
		}
	}
	// Partitions are found by number, wherever they are.
	info := table(1, "db", "t", []*nspb.PartitionMeta{replica("a:1", true, true)}, []*nspb.PartitionMeta{replica("b:1", true, true), replica("c:1", false, true)})
	slices.Reverse(info.TablePartition)
	x := &Table{Info: info}
	if node, err := x.Leader(1); node != "b:1" || err != nil {
		t.Errorf("partition 1: %q, %v", node, err)
	}
	if r := x.Replicas(1); !slices.Equal(r, []string{"b:1", "c:1"}) {
		t.Errorf("replicas %v", r)
	}
	if _, err := x.Leader(2); !errors.Is(err, ErrNoPartition) {
		t.Errorf("partition 2: %v", err)
	}
	unread := &Table{}
	if _, err := unread.Leader(0); !errors.Is(err, ErrNoPartition) || unread.OnDisk() || unread.Replicas(0) != nil {
		t.Errorf("a table that was never read: %v, %t", err, unread.OnDisk())
	}
}

func TestStorage(t *testing.T) {
	t.Parallel()
	for mode, want := range map[*commonpb.StorageMode]struct {
		name string
		disk bool
	}{
		nil:                                  {"MEMORY", false}, // the default of the proto
		commonpb.StorageMode_kMemory.Enum():  {"MEMORY", false},
		commonpb.StorageMode_kSSD.Enum():     {"SSD", true},
		commonpb.StorageMode_kHDD.Enum():     {"HDD", true},
		commonpb.StorageMode_kUnknown.Enum(): {"UNKNOWN", false},
	} {
		x := &Table{Info: &nspb.TableInfo{StorageMode: mode}}
		if x.Storage() != want.name || x.OnDisk() != want.disk {
			t.Errorf("%v: %s, on disk %t", mode, x.Storage(), x.OnDisk())
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := &Snapshot{Names: map[string]string{"tablet0": "10.0.0.1:9527", "odd": "nohost", "empty": ""}, Tablets: []string{"tablet0"}}
	for node, want := range map[string][2]string{
		"tablet0":       {"10.0.0.1:9527", "10.0.0.1"},
		"10.0.0.2:9527": {"10.0.0.2:9527", "10.0.0.2"},
		"host:1":        {"host:1", "host"},
		"[::1]:9527":    {"[::1]:9527", "::1"},
		"odd":           {"nohost", "nohost"},
		"empty":         {"empty", "empty"},
	} {
		if got := [2]string{s.Resolve(node), s.Host(node)}; got != want {
			t.Errorf("%s: %v, want %v", node, got, want)
		}
	}
	if !s.Alive("tablet0") || s.Alive("tablet1") {
		t.Error("alive")
	}
	if tabletNode("NLTABLET_10.0.0.1:9527") != "10.0.0.1:9527" || tabletNode("10.0.0.1:9527") != "10.0.0.1:9527" {
		t.Error("near-line mark")
	}
	if !System("__INTERNAL_DB") || System("db") {
		t.Error("system databases")
	}
}

func TestSnapshotLookups(t *testing.T) {
	t.Parallel()
	s := &Snapshot{Tables: []*Table{
		{TID: 9, DB: "db", Name: "t", Info: table(9, "db", "t", []*nspb.PartitionMeta{replica("a:1", true, true)})},
		{TID: 5, DB: "db", Name: "t", Info: table(5, "db", "t")},
		{TID: 7, DB: "a", Name: "T", Info: table(7, "a", "T")},
		{TID: 3, Name: "table 3", Problem: "bad"},
	}}
	s.index()
	if x, ok := s.Table("db", "t"); !ok || x.TID != 9 {
		t.Errorf("of two tables of one name %v is found", x)
	}
	if _, ok := s.Table("A", "T"); ok {
		t.Error("names are not case-sensitive")
	}
	if _, ok := s.Table("", "table 3"); ok {
		t.Error("an unreadable table is found by its stand-in name")
	}
	if x, ok := s.ByTID(3); !ok || x.Problem == "" {
		t.Errorf("unreadable table: %v", x)
	}
	if node, err := s.Leader(9, 0); node != "a:1" || err != nil {
		t.Errorf("leader %q, %v", node, err)
	}
	if _, err := s.Leader(8, 0); !errors.Is(err, ErrNoTable) || !strings.Contains(err.Error(), "table 8") {
		t.Errorf("leader of no table: %v", err)
	}
}

func FuzzParseTable(f *testing.F) {
	b, err := proto.Marshal(table(7, "db", "t", []*nspb.PartitionMeta{replica("a:1", true, true)}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("7", b)
	f.Add("7", b[:len(b)-3])
	f.Add("x", []byte{})
	f.Add("4294967296", []byte{0xff})
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		info, err := parseTable(name, value)
		if err != nil {
			return
		}
		x := &Table{Info: info}
		for _, p := range info.GetTablePartition() {
			if node, err := x.Leader(p.GetPid()); err == nil && !slices.Contains(x.Replicas(p.GetPid()), node) {
				t.Fatalf("leader %q is not among the living replicas", node)
			}
		}
	})
}
