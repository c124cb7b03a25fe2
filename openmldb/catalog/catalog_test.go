package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/nspb"
	"omsync/openmldb/zkconn"
	"omsync/testenv/memzk"
	"omsync/testenv/zkserver"
)

const root = "/openmldb_cluster"

func connect(t *testing.T, addr string) *zkconn.Conn {
	t.Helper()
	return connectAs(t, addr, "")
}

// connectAs connects with a credential, user:password.
func connectAs(t *testing.T, addr, cert string) *zkconn.Conn {
	t.Helper()
	c := zkconn.Open(zkconn.Options{Servers: []string{addr}, SessionTimeout: 1500 * time.Millisecond, AuthCert: cert})
	done := make(chan error, 1)
	go func() { done <- c.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return c
}

// nameserver writes what a name server writes.
type nameserver struct {
	t      *testing.T
	c      *zkconn.Conn
	ctx    context.Context
	silent bool // bumps no notify
}

func newNameserver(t *testing.T, addr string) *nameserver {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return &nameserver{t: t, c: connect(t, addr), ctx: ctx}
}

func (n *nameserver) put(rel string, value []byte) {
	n.t.Helper()
	must(n.t, n.c.MkdirAll(n.ctx, root+"/"+rel))
	_, err := n.c.Set(n.ctx, root+"/"+rel, value, -1)
	must(n.t, err)
}

func (n *nameserver) remove(rel string) {
	n.t.Helper()
	must(n.t, n.c.Delete(n.ctx, root+"/"+rel, -1))
}

func (n *nameserver) raw(tid string, value []byte) {
	n.t.Helper()
	n.put("table/db_table_data/"+tid, value)
	n.notify()
}

func (n *nameserver) table(info *nspb.TableInfo) {
	n.t.Helper()
	b, err := proto.Marshal(info)
	must(n.t, err)
	n.raw(strconv.Itoa(int(info.GetTid())), b)
}

func (n *nameserver) notify() {
	n.t.Helper()
	if !n.silent {
		n.put("table/notify", []byte(strconv.FormatInt(time.Now().UnixNano(), 10)))
	}
}

// follow runs a Catalog for the length of a test.
func follow(t *testing.T, zk ZK, o Options) *Catalog {
	t.Helper()
	c := Watch(zk, root, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-done) })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sees waits for a snapshot by its changes alone.
func sees(t *testing.T, c *Catalog, what string, f func(*Snapshot) bool) time.Duration {
	t.Helper()
	began, end := time.Now(), time.After(30*time.Second)
	for {
		next := c.Changed()
		if f(c.Snapshot()) {
			return time.Since(began)
		}
		select {
		case <-next:
		case <-end:
			t.Fatalf("%s did not come about: %+v", what, c.Snapshot())
		}
	}
}

func leaderIs(tid, pid uint32, want string) func(*Snapshot) bool {
	return func(s *Snapshot) bool { node, err := s.Leader(tid, pid); return err == nil && node == want }
}

func TestCatalogFollows(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ns := newNameserver(t, z.Addr())
	c := follow(t, connect(t, z.Proxy.Addr()), Options{Refresh: time.Hour, Unnotified: time.Hour})
	must(t, c.Ready(ns.ctx)) // an empty ZooKeeper is a cluster without anything

	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("a:1", true, true), replica("b:1", false, true)}))
	sees(t, c, "the table", leaderIs(7, 0, "a:1"))
	before := c.Snapshot()
	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("a:1", true, false), replica("b:1", true, true)}))
	if d := sees(t, c, "the failover", leaderIs(7, 0, "b:1")); d > 2*time.Second {
		t.Errorf("a failover is seen after %s", d)
	}
	if node, err := before.Leader(7, 0); err != nil || node != "a:1" {
		t.Errorf("a snapshot given out has changed: %q, %v", node, err)
	}

	for _, n := range []string{"a:1", "NLTABLET_b:1", "tablet0"} {
		_, err := ns.c.Create(ns.ctx, root+"/nodes/"+n, []byte(n), zkconn.Ephemeral)
		if errors.Is(err, zkconn.ErrNoNode) {
			must(t, ns.c.MkdirAll(ns.ctx, root+"/nodes"))
			_, err = ns.c.Create(ns.ctx, root+"/nodes/"+n, []byte(n), zkconn.Ephemeral)
		}
		must(t, err)
	}
	sees(t, c, "tablets", func(s *Snapshot) bool { return slices.Equal(s.Tablets, []string{"a:1", "b:1", "tablet0"}) })
	ns.put("map/names/tablet0", []byte("10.0.0.9:9527"))
	ns.put("map/sdkendpoints/tablet0", []byte("192.0.2.1:1")) // for clients outside
	sees(t, c, "the name", func(s *Snapshot) bool {
		return s.Resolve("tablet0") == "10.0.0.9:9527" && s.Host("tablet0") == "10.0.0.9"
	})
	// The server moves: same name, other address, registered anew.
	ns.remove("nodes/tablet0")
	sees(t, c, "the tablet's end", func(s *Snapshot) bool { return !s.Alive("tablet0") })
	ns.put("map/names/tablet0", []byte("10.0.0.10:9527"))
	_, err := ns.c.Create(ns.ctx, root+"/nodes/tablet0", nil, zkconn.Ephemeral)
	must(t, err)
	sees(t, c, "the moved tablet", func(s *Snapshot) bool { return s.Alive("tablet0") && s.Host("tablet0") == "10.0.0.10" })

	ns.put("db/shop", nil)
	ns.put("sync_tool/collector/a:9500", []byte("a:9500"))
	sees(t, c, "database and collector", func(s *Snapshot) bool {
		return slices.Equal(s.Databases, []string{"shop"}) && slices.Equal(s.Collectors, []string{"a:9500"})
	})

	// Through breaks of all kinds nothing is missed.
	z.Proxy.Cut()
	ns.table(table(8, "db", "u", []*nspb.PartitionMeta{replica("a:1", true, true)}))
	sees(t, c, "a table made behind a cut", leaderIs(8, 0, "a:1"))
	z.Proxy.Refuse(true)
	ns.remove("table/db_table_data/8")
	ns.notify()
	z.Proxy.Refuse(false)
	sees(t, c, "a table dropped behind a cut", func(s *Snapshot) bool { _, ok := s.ByTID(8); return !ok })
}

// TestCatalogWithoutNotify: where nobody bumps table/notify, the slow look finds changes; a table that comes or goes is seen at once.
func TestCatalogWithoutNotify(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ns := newNameserver(t, z.Addr())
	ns.silent = true
	c := follow(t, connect(t, z.Addr()), Options{Refresh: time.Hour, Unnotified: 300 * time.Millisecond})
	must(t, c.Ready(ns.ctx))
	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("a:1", true, true)}))
	sees(t, c, "the table", leaderIs(7, 0, "a:1"))
	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("b:1", true, true)}))
	if d := sees(t, c, "the new leader", leaderIs(7, 0, "b:1")); d > 3*time.Second {
		t.Errorf("seen after %s", d)
	}
}

// TestUnreadableTable: bytes that are no TableInfo make that table unreadable, with what was known of it; the rest goes on.
func TestUnreadableTable(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ns := newNameserver(t, z.Addr())
	ns.table(table(7, "db", "good", []*nspb.PartitionMeta{replica("a:1", true, true)}))
	ns.table(table(8, "db", "spoiled", []*nspb.PartitionMeta{replica("a:1", true, true)}))
	ns.raw("9", []byte("\xff\xff\xffgarbage"))
	ns.raw("ten", []byte("x"))
	ns.raw("11", mustBytes(t, table(12, "db", "misplaced")))
	ns.raw("13", nil)
	c := follow(t, connect(t, z.Addr()), Options{})
	must(t, c.Ready(ns.ctx))
	problems := func(s *Snapshot) string {
		var out []string
		for _, x := range s.Tables {
			if x.Problem != "" {
				out = append(out, fmt.Sprintf("%d", x.TID))
			}
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	sees(t, c, "the bad ones", func(s *Snapshot) bool { return problems(s) == "0 11 13 9" && len(s.Tables) == 6 })
	ns.raw("8", []byte{0xff})
	sees(t, c, "the spoiled one", func(s *Snapshot) bool { return problems(s) == "0 11 13 8 9" })
	s := c.Snapshot()
	if x, ok := s.Table("db", "spoiled"); !ok || x.Info == nil || x.Problem == "" {
		t.Errorf("a table that could be read once is lost: %+v", x)
	}
	if x, ok := s.ByTID(9); !ok || x.Info != nil {
		t.Errorf("a table that could never be read: %+v", x)
	}
	ns.table(table(7, "db", "good", []*nspb.PartitionMeta{replica("b:1", true, true)}))
	sees(t, c, "the rest going on", leaderIs(7, 0, "b:1"))
	ns.table(table(8, "db", "spoiled", []*nspb.PartitionMeta{replica("c:1", true, true)}))
	sees(t, c, "the mended one", func(s *Snapshot) bool { return problems(s) == "0 11 13 9" && leaderIs(8, 0, "c:1")(s) })
}

func mustBytes(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	must(t, err)
	return b
}

// TestReadsOnlyWhatChanged: of many tables the one that changed is read.
func TestReadsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	z, err := memzk.Start(memzk.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, z.Close()) })
	ns := newNameserver(t, z.Addr())
	const n = 200
	for tid := range uint32(n) {
		ns.silent = tid+1 < n
		ns.table(table(tid+1, "db", fmt.Sprintf("t%d", tid), []*nspb.PartitionMeta{replica("a:1", true, true)}))
	}
	c := follow(t, connect(t, z.Addr()), Options{Refresh: time.Hour})
	must(t, c.Ready(ns.ctx))
	sees(t, c, "all tables", func(s *Snapshot) bool { return len(s.Tables) == n })
	before := z.Served(memzk.OpGetData)
	ns.table(table(5, "db", "t4", []*nspb.PartitionMeta{replica("b:1", true, true)}))
	sees(t, c, "the change", leaderIs(5, 0, "b:1"))
	if reads := z.Served(memzk.OpGetData) - before; reads > 10 {
		t.Errorf("one change of %d tables cost %d reads", n, reads)
	}
}

// TestRefresh reads at once what no watch told.
func TestRefresh(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ns := newNameserver(t, z.Addr())
	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("a:1", true, true)}))
	c := follow(t, connect(t, z.Addr()), Options{Refresh: time.Hour})
	must(t, c.Ready(ns.ctx))
	ns.silent = true
	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("b:1", true, true)}))
	must(t, c.Refresh(ns.ctx))
	if node, err := c.Snapshot().Leader(7, 0); err != nil || node != "b:1" {
		t.Fatalf("leader %q, %v", node, err)
	}
	ctx, cancel := context.WithCancel(ns.ctx)
	cancel()
	if err := c.Refresh(ctx); err == nil {
		t.Fatal("a refresh with a context that has ended passes")
	}
}

// TestProtectedTable: a node another ZooKeeper user owns makes that table unreadable, with the remedy.
func TestProtectedTable(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ns := newNameserver(t, z.Addr())
	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("a:1", true, true)}))
	owner := connectAs(t, z.Addr(), "ns:secret")
	_, err := owner.Create(ns.ctx, root+"/table/db_table_data/8", mustBytes(t, table(8, "db", "u")), zkconn.Persistent)
	must(t, err)
	c := follow(t, connect(t, z.Addr()), Options{})
	must(t, c.Ready(ns.ctx))
	sees(t, c, "both", func(s *Snapshot) bool {
		x, ok := s.ByTID(8)
		return leaderIs(7, 0, "a:1")(s) && ok && strings.Contains(x.Problem, "zk_cert")
	})
}

// TestProtectedCluster: with the cluster's credential all that a name server keeps for itself is followed, also behind a break; without it nothing
// is read, and the log says why.
func TestProtectedCluster(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ns := newNameserver(t, z.Addr())
	ns.c = connectAs(t, z.Addr(), "ns:secret")
	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("tablet0", true, true)}))
	ns.put("nodes", nil)
	_, err := ns.c.Create(ns.ctx, root+"/nodes/tablet0", nil, zkconn.Ephemeral)
	must(t, err)
	ns.put("map/names/tablet0", []byte("10.0.0.9:9527"))
	c := follow(t, connectAs(t, z.Proxy.Addr(), "ns:secret"), Options{Refresh: time.Hour, Unnotified: time.Hour})
	must(t, c.Ready(ns.ctx))
	if s := c.Snapshot(); !leaderIs(7, 0, "tablet0")(s) || s.Resolve("tablet0") != "10.0.0.9:9527" || !s.Alive("tablet0") {
		t.Errorf("the protected cluster is read as %+v", s)
	}
	z.Proxy.Cut()
	ns.table(table(7, "db", "t", []*nspb.PartitionMeta{replica("tablet1", true, true)}))
	sees(t, c, "a failover behind a cut", leaderIs(7, 0, "tablet1"))

	var log syncBuffer
	stranger := follow(t, connectAs(t, z.Addr(), "ns:guess"), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for end := time.After(30 * time.Second); ; {
		next := log.written()
		if strings.Contains(log.String(), "check zk_cert") {
			break
		}
		select {
		case <-next:
		case <-end:
			t.Fatalf("the log of who has a wrong credential: %q", log.String())
		}
	}
	if s := stranger.Snapshot(); len(s.Tables) > 0 {
		t.Errorf("a stranger reads %+v", s.Tables)
	}
}

// syncBuffer is a log that a test waits on.
type syncBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// written is closed at the next write. Take it before String.
func (s *syncBuffer) written() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return s.more
}
