package collector

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/tablet"
	"omsync/rpc/baidustd"
	"omsync/rpc/client"
	"omsync/rpc/omsyncpb"
	"omsync/testenv/ledger"
	"omsync/testenv/tabletsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitFor bounds every wait of a test.
const waitFor = 20 * time.Second

// quick is the pace of tests.
var quick = pace{
	beat: 20 * time.Millisecond, tail: time.Millisecond, tailMost: 10 * time.Millisecond, keep: 10 * time.Millisecond, ask: 30 * time.Millisecond,
	refused: 5 * time.Millisecond, trouble: 10 * time.Millisecond, empty: 20 * time.Millisecond, leaderLag: 200 * time.Millisecond, gone: 30 * time.Second,
	budget: 10 * time.Millisecond, checks: 200 * time.Millisecond, reconnect: 2 * time.Millisecond, detachWait: time.Second,
}

// process is one life of a collector.
type process struct {
	t      testing.TB
	c      *Collector
	fs     *crashFS
	cancel context.CancelFunc
	done   chan error
	addr   string

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	deaf  bool
}

// options of a collector in tests.
func (f *fakeTool) options(endpoint, dir string) Options {
	level := slog.LevelError + 1
	if os.Getenv("COLLECTOR_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return Options{
		Endpoint: endpoint, Listen: "127.0.0.1:0", DataDir: dir, Version: "test",
		Logger:         slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
		RequestTimeout: 2 * time.Second, ClockTolerance: 5 * time.Minute, pace: quick,
		DialTablet: func(addr string) tablet.Conn {
			return baidustd.NewClient(addr, baidustd.ClientOptions{DialTimeout: time.Second})
		},
	}
}

// run starts a collector and waits until its port is open.
func run(t testing.TB, o Options, cluster Cluster) *process {
	t.Helper()
	p := &process{t: t, conns: map[net.Conn]struct{}{}, done: make(chan error, 1)}
	if p.fs, _ = o.Files.(*crashFS); p.fs == nil {
		p.fs = &crashFS{FS: OS()}
		o.Files = p.fs
	}
	o.DialSynctool = func(addr string) (SynctoolConn, error) {
		return client.Dial(addr, client.Options{Dial: p.dial})
	}
	c, err := New(o, cluster)
	if err != nil {
		t.Fatal(err)
	}
	p.c = c
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.done <- c.Run(ctx) }() // ended by stop
	wait, over := context.WithTimeout(ctx, waitFor)
	defer over()
	go func() {
		select {
		case err := <-p.done:
			p.done <- err
			over()
		case <-wait.Done():
		}
	}()
	if p.addr, err = c.Addr(wait); err != nil {
		cancel()
		t.Fatalf("collector does not start: %v, %v", err, <-p.done)
	}
	return p
}

func (p *process) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	deaf := p.deaf
	p.mu.Unlock()
	if deaf {
		return nil, errors.New("cut")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err == nil {
		p.mu.Lock()
		p.conns[c] = struct{}{}
		p.mu.Unlock()
	}
	return c, err
}

// cut breaks the connections to the synctool.
func (p *process) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
		delete(p.conns, c)
	}
}

// stop is SIGTERM.
func (p *process) stop() error {
	p.cancel()
	err := <-p.done
	p.done <- err
	return err
}

// kill is kill -9: nothing more reaches disk or wire.
func (p *process) kill() {
	p.fs.crash()
	p.mu.Lock()
	p.deaf = true
	p.mu.Unlock()
	p.cut()
	_ = p.stop() // whatever a dying process says
}

// ended stops the collector with the test and fails it on an error.
func (p *process) ended() {
	p.t.Cleanup(func() {
		if err := p.stop(); err != nil {
			p.t.Errorf("collector: %v", err)
		}
	})
}

// client calls the collector.
func (p *process) client() omsyncpb.CollectorClient {
	cc, err := client.Dial(p.addr, client.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { cc.Close() })
	return omsyncpb.NewCollectorClient(cc)
}

// add hands out an assignment.
func (p *process) add(a *omsyncpb.Assignment) error {
	cc, err := client.Dial(p.addr, client.Options{})
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), waitFor)
	defer cancel()
	for { // a collector that is just starting is asked again, as the synctool does
		_, err = omsyncpb.NewCollectorClient(cc).AddTask(ctx, &omsyncpb.AddTaskRequest{Assignment: a}, grpc.WaitForReady(true))
		if status.Code(err) != codes.Unavailable || p.fs.gone() {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (p *process) mustAdd(a *omsyncpb.Assignment) {
	p.t.Helper()
	if err := p.add(a); err != nil {
		p.t.Fatal(err)
	}
}

// view is a subtask as Status shows it.
func (p *process) view(pid uint32) *omsyncpb.CollectorSubtask {
	for _, s := range p.c.reg.all() {
		if s.a.GetKey().GetPid() == pid {
			return s.view()
		}
	}
	return nil
}

// until waits for a condition that has no signal of its own.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(waitFor); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not seen", what)
		}
	}
}

// oneTablet is a tablet that serves given partitions, without ZooKeeper.
type oneTablet struct {
	apipb.UnimplementedTabletServerServer
	addr string

	mu    sync.Mutex
	parts map[[2]uint32]*tabletsim.Partition
	edit  func(*apipb.TableStatus)
	err   error
}

func startTablet(t testing.TB) *oneTablet {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &oneTablet{addr: l.Addr().String(), parts: map[[2]uint32]*tabletsim.Partition{}}
	s := baidustd.NewServer(baidustd.ServerOptions{})
	apipb.RegisterTabletServerServer(s, x)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }() // ended by cancel
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return x
}

func (x *oneTablet) node() Tablet {
	return Tablet{Node: x.addr, Address: x.addr, Host: "127.0.0.1"}
}

func (x *oneTablet) serve(p *tabletsim.Partition) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.parts[[2]uint32{p.TID, p.PID}] = p
}

func (x *oneTablet) drop(tid, pid uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.parts, [2]uint32{tid, pid})
}

// set changes what it says: edit of every status, err instead of any answer.
func (x *oneTablet) set(edit func(*apipb.TableStatus), err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.edit, x.err = edit, err
}

func (x *oneTablet) GetTableStatus(_ context.Context, q *apipb.GetTableStatusRequest) (*apipb.GetTableStatusResponse, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return nil, x.err
	}
	out := &apipb.GetTableStatusResponse{Code: proto.Int32(0)}
	for k, p := range x.parts {
		if q.Tid != nil && q.GetTid() != k[0] || q.Pid != nil && q.GetPid() != k[1] {
			continue
		}
		if st := p.Status(false); st != nil {
			if x.edit != nil {
				x.edit(st)
			}
			out.AllTableStatus = append(out.AllTableStatus, st)
		}
	}
	return out, nil
}

func (x *oneTablet) GetTableSchema(_ context.Context, q *apipb.GetTableSchemaRequest) (*apipb.GetTableSchemaResponse, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return nil, x.err
	}
	p := x.parts[[2]uint32{uint32(q.GetTid()), uint32(q.GetPid())}]
	if p == nil {
		return &apipb.GetTableSchemaResponse{Code: proto.Int32(100), Msg: proto.String("table is not exist")}, nil
	}
	return &apipb.GetTableSchemaResponse{Code: proto.Int32(0), TableMeta: p.Meta()}, nil
}

// assignment of a partition on this tablet.
func (x *oneTablet) assignment(p *tabletsim.Partition, mode int32) *omsyncpb.Assignment {
	s := p.Schema()
	return &omsyncpb.Assignment{
		Key: &omsyncpb.SubtaskKey{TaskId: "task", Tid: p.TID, Pid: p.PID}, Db: s.DB, Table: s.Name, Mode: mode, TabletEndpoint: x.addr, TabletAddress: x.addr,
		Replicas: 1,
	}
}

// endpoint of collectors in tests: its host is the tablet's.
const endpoint = "127.0.0.1:1"

// fixture copies a partition a real tablet left, and opens it as partition 0 of its table.
func fixture(t testing.TB, name string) *tabletsim.Partition {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	copyFixture(t, name, dir)
	return openFixture(t, dir)
}

// copyFixture copies a partition's directory. Its rows' put times lie in 2020; a checkpoint of today would make a TRUNCATE the only explanation for
// entries it lacks, so it gets the age of the rows.
func copyFixture(t testing.TB, name, dir string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../../testdata/disk", name))); err != nil {
		t.Fatal(err)
	}
	currents, err := filepath.Glob(filepath.Join(dir, "snapshot", "*", "CURRENT"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range currents {
		if err := os.Chtimes(f, time.Time{}, time.UnixMilli(1577836800000)); err != nil {
			t.Fatal(err)
		}
	}
}

func openFixture(t testing.TB, dir string) *tabletsim.Partition {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "table_meta.pb"))
	if err != nil {
		t.Fatal(err)
	}
	m := &apipb.TableMeta{}
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	s, err := tabletsim.SchemaOf(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := tabletsim.OpenPartition(dir, s, 0, apipb.TableMode_kTableLeader, 9, tabletsim.PartitionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill(false) }) // a partition that is killed already says so
	return p
}

// readBack gives committed rows to the ledger, read by tabletsim's own code.
func readBack(s *tabletsim.Schema, pid uint32, rows [][]byte) iter.Seq2[ledger.Row, error] {
	return func(yield func(ledger.Row, error) bool) {
		for i, raw := range rows {
			values, err := s.DecodeRow(raw)
			if !yield(ledger.Row{File: "committed", Line: i, PID: int(pid), Values: values}, err) {
				return
			}
		}
	}
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
}
