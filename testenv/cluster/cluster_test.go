package cluster_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/nspb"
	"omsync/openmldb/pb/typepb"
	"omsync/testenv/cluster"
	"omsync/testenv/tabletsim"
)

func spec(partitions, replicas int) tabletsim.Spec {
	return tabletsim.Spec{
		DB: "db", Name: "t", Partitions: partitions, Replicas: replicas,
		Columns: []tabletsim.Column{{Name: "k", Type: typepb.DataType_kString}, {Name: "ts", Type: typepb.DataType_kBigInt}},
		Indexes: []tabletsim.Index{{Name: "i", Columns: []string{"k"}, TsColumn: "ts"}},
	}
}

type env struct {
	*cluster.Cluster
	t    *testing.T
	conn *zk.Conn
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func start(t *testing.T, o cluster.Options) env {
	t.Helper()
	o.Servers, o.Dir, o.SessionTimeout = []string{zooKeeper(t)}, t.TempDir(), time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := cluster.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := zk.Connect(o.Servers, 10*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return env{c, t, conn}
}

func (e env) get(path string) string {
	e.t.Helper()
	b, _, err := e.conn.Get("/openmldb/" + path)
	if err != nil {
		e.t.Fatalf("%s: %v", path, err)
	}
	return string(b)
}

func (e env) children(path string) []string {
	e.t.Helper()
	l, _, err := e.conn.Children("/openmldb/" + path)
	if err != nil {
		e.t.Fatalf("%s: %v", path, err)
	}
	slices.Sort(l)
	return l
}

func (e env) info(tid uint32) *nspb.TableInfo {
	e.t.Helper()
	i := &nspb.TableInfo{}
	if err := proto.Unmarshal([]byte(e.get("table/db_table_data/"+strconv.Itoa(int(tid)))), i); err != nil {
		e.t.Fatal(err)
	}
	return i
}

func (e env) notified() int {
	e.t.Helper()
	n, err := strconv.Atoi(e.get("table/notify"))
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

// flags tells of each replica of a partition whether it leads (L) and lives (a).
func flags(p *nspb.TablePartition) string {
	var out []string
	for _, m := range p.GetPartitionMeta() {
		s := ""
		if m.GetIsLeader() {
			s += "L"
		}
		if m.GetIsAlive() {
			s += "a"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestNodes(t *testing.T) {
	t.Parallel()
	e := start(t, cluster.Options{Tablets: 2})
	before := e.notified()
	tb, err := e.CreateTable(spec(3, 2))
	if err != nil {
		t.Fatal(err)
	}
	tid := tb.Schema().TID
	if e.notified() <= before {
		t.Error("notify stands still")
	}
	nodes := e.children("nodes")
	if len(nodes) != 2 || !strings.HasPrefix(nodes[0], "127.0.0.2:") || !strings.HasPrefix(nodes[1], "127.0.0.3:") || e.get("nodes/"+nodes[0]) != "startup_"+nodes[0] {
		t.Errorf("nodes %v", nodes)
	}
	if dbs := e.children("db"); !slices.Equal(dbs, []string{"db"}) {
		t.Errorf("databases %v", dbs)
	}
	i := e.info(tid)
	if i.GetTid() != tid || i.GetDb() != "db" || i.GetPartitionNum() != 3 || i.GetReplicaNum() != 2 || len(i.GetColumnDesc()) != 2 {
		t.Errorf("%v", i)
	}
	for pid, p := range i.GetTablePartition() {
		lead := p.GetPartitionMeta()[0].GetEndpoint()
		if flags(p) != "La a" || lead != nodes[pid%2] || e.Tablet(pid%2).Endpoint() != lead {
			t.Errorf("partition %d: %s at %s", pid, flags(p), lead)
		}
	}
	if _, err := e.CreateTable(spec(1, 3)); err == nil {
		t.Error("3 replicas on 2 tablets")
	}
	taken := spec(1, 1)
	taken.TID = tid
	if _, err := e.CreateTable(taken); err == nil {
		t.Error("a tid is given twice")
	}
	if err := tb.Drop(); err != nil {
		t.Fatal(err)
	}
	if l := e.children("table/db_table_data"); len(l) != 0 {
		t.Errorf("after the drop: %v", l)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	e := start(t, cluster.Options{Tablets: 2, UseNames: true})
	tb, err := e.CreateTable(spec(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if n := e.children("nodes"); !slices.Equal(n, []string{"tablet0", "tablet1"}) || e.get("map/names/tablet1") != e.Tablet(1).Addr() {
		t.Errorf("%v", n)
	}
	if ep := e.info(tb.Schema().TID).GetTablePartition()[0].GetPartitionMeta()[0].GetEndpoint(); ep != "tablet0" {
		t.Error(ep)
	}
}

func TestLeaderChanges(t *testing.T) {
	t.Parallel()
	e := start(t, cluster.Options{Tablets: 2})
	tb, err := e.CreateTable(spec(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	put := func(k string) {
		t.Helper()
		if _, err := tb.Put(t.Context(), 0, []any{k, int64(1)}); err != nil {
			t.Fatal(err)
		}
	}
	shape := func(want string, seat int, term uint64) {
		t.Helper()
		p := e.info(tb.Schema().TID).GetTablePartition()[0]
		if flags(p) != want || tb.LeaderSeat(0) != seat || tb.Leader(0).Term() != term {
			t.Errorf("%s, seat %d, term %d; want %s, %d, %d", flags(p), tb.LeaderSeat(0), tb.Leader(0).Term(), want, seat, term)
		}
	}
	put("a")
	shape("La a", 0, 1)
	old := tb.Leader(0)
	if err := tb.MoveLeader(t.Context(), 0, 1); err != nil {
		t.Fatal(err)
	}
	shape("a La", 1, 2)
	if _, err := old.Put(t.Context(), tabletsim.Put{}); !errors.Is(err, tabletsim.ErrNotLeader) {
		t.Error("the old leader says", err)
	}
	put("b")
	if err := tb.Leader(0).Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(1, true); err != nil {
		t.Fatal(err)
	}
	if _, err := tb.Put(t.Context(), 0, []any{"x", int64(1)}); !errors.Is(err, tabletsim.ErrDown) {
		t.Error("the dead leader says", err)
	}
	if err := e.Failover(1); err != nil {
		t.Fatal(err)
	}
	shape("La L", 0, 3) // the dead one keeps its flag (formats.md §1.2)
	put("c")
	// The ephemeral of the killed tablet goes with its session, not before.
	if err := e.Restart(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	shape("La a", 0, 3)
	put("d")
	if err := tb.Leader(0).Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := tb.Replica(0, 0), tb.Replica(0, 1)
	if a.Last() != 4 || b.Last() != 4 || tb.Replica(0, 5) != nil {
		t.Errorf("%d and %d entries", a.Last(), b.Last())
	}
	if err := tb.MoveLeader(t.Context(), 0, 5); err == nil {
		t.Error("a leader where no replica is")
	}
}

// TestAheadFollowerIsMadeAgain: what a dead leader had for itself is thrown away when it comes back as a follower.
func TestAheadFollowerIsMadeAgain(t *testing.T) {
	t.Parallel()
	e := start(t, cluster.Options{Tablets: 2})
	tb, err := e.CreateTable(spec(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if i == 5 {
			if err := tb.Leader(0).Synced(t.Context()); err != nil {
				t.Fatal(err)
			}
			tb.Leader(0).HoldReplication(true)
		}
		if _, err := tb.Put(t.Context(), 0, []any{strconv.Itoa(i), int64(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(e.Kill(0, false), e.Failover(0), e.Restart(t.Context(), 0)); err != nil {
		t.Fatal(err)
	}
	if err := tb.Leader(0).Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tb.Replica(0, 0).Last() != 5 || tb.LeaderSeat(0) != 1 {
		t.Errorf("follower has %d, leader %d is on %d", tb.Replica(0, 0).Last(), tb.Leader(0).Last(), tb.LeaderSeat(0))
	}
	bin, err := os.ReadDir(filepath.Join(filepath.Dir(tb.Replica(0, 0).Dir()), "recycle"))
	if err != nil || len(bin) != 1 {
		t.Error("the old directory is not in the recycle bin:", bin, err)
	}
}

func TestServesFixtureTables(t *testing.T) {
	t.Parallel()
	e := start(t, cluster.Options{Tablets: 2})
	served, err := cluster.CopyFixture("../../testdata/disk", t.TempDir(), "102_0", "102_1", "102_2", "102_3")
	if err != nil {
		t.Fatal(err)
	}
	s, err := served.Schema("db2", "copy", 777)
	if err != nil {
		t.Fatal(err)
	}
	tb, err := e.Serve(s, served.Dirs)
	if err != nil {
		t.Fatal(err)
	}
	i := e.info(777)
	if i.GetName() != "copy" || i.GetDb() != "db2" || len(i.GetTablePartition()) != 4 || len(i.GetColumnKey()) != 4 {
		t.Errorf("%v", i)
	}
	last := tb.Leader(2).Last()
	ack, err := tb.Put(t.Context(), 0, []any{"user_1", "card|2", int64(5), int64(6), 1.5, "new"})
	if err != nil {
		t.Fatal(err)
	}
	owner := tabletsim.PartitionOf("user_1", 4)
	if ack.Index != tb.Leader(owner).Last() || last == 0 {
		t.Errorf("%+v, %d", ack, last)
	}
	st := tb.Leader(1).Status(false)
	if st.GetMode() != apipb.TableMode_kTableLeader || !strings.HasPrefix(st.GetSnapshotPath(), "/") {
		t.Error(st)
	}
}
