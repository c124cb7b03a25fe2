package synctool

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"omsync/daemon/dest"
	"omsync/rpc/client"
	"omsync/rpc/omsyncpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kit is a cluster for one test: ZooKeeper, synctools, collectors, a destination.
type kit struct {
	t      *testing.T
	z      *fakeZK
	dir    string
	inject *injector
	remote bool // the destination is not local: segments are spooled and copied
	opts   func(*Options)

	simsMu sync.Mutex
	sims   map[string]*simCollector
	tools  []*tool
}

func newKit(t *testing.T) *kit {
	k := &kit{t: t, z: newFakeZK(), dir: t.TempDir(), inject: &injector{}, sims: map[string]*simCollector{}}
	t.Cleanup(func() {
		for _, c := range k.sims {
			c.stop()
		}
		for _, o := range k.tools {
			o.stop()
		}
	})
	return k
}

// collector starts a simulated collector.
func (k *kit) collector(endpoint string, data simTable) *simCollector {
	c := newSimCollector(k.z, endpoint, data, func() string { return (&fakeCluster{z: k.z}).LeaderAddress() })
	k.add(c)
	c.start()
	return c
}

// add makes a collector one that synctools can dial.
func (k *kit) add(c *simCollector) {
	k.simsMu.Lock()
	defer k.simsMu.Unlock()
	k.sims[c.endpoint] = c
}

// tool is one synctool process.
type tool struct {
	*Synctool
	cluster *fakeCluster
	cancel  context.CancelFunc
	done    chan error
	spool   string
	stopped bool
}

// options are those of the n-th synctool.
func (k *kit) options(n int) Options {
	o := Options{
		Listen: "127.0.0.1:0", Version: "test", Cluster: "test", ProgressPath: filepath.Join(k.dir, "progress"),
		SpoolPath: filepath.Join(k.dir, fmt.Sprintf("spool%d", n)), SegmentBytes: 2000, SegmentAge: 50 * time.Millisecond,
		CheckPeriod: 200 * time.Millisecond, AssignTimeout: 5 * time.Second, StopGrace: 5 * time.Second, SubtaskCredit: 4000,
		OpenDest:    func(_ context.Context, d string) (dest.Dest, error) { return k.open(d) },
		CheckDest:   func(d string) error { return checkTestDest(d) },
		OverlapDest: func(a, b string) (bool, error) { return overlapTest(a, b), nil },
		DialCollector: func(endpoint string) (omsyncpb.CollectorClient, io.Closer, error) {
			k.simsMu.Lock()
			c := k.sims[endpoint]
			k.simsMu.Unlock()
			if c == nil {
				return nil, nil, fmt.Errorf("no collector %s", endpoint)
			}
			return simClient{c}, io.NopCloser(nil), nil
		},
		Rows: newSimRows, firstPause: 10 * time.Millisecond, firstSweep: 30 * time.Millisecond, schemaWait: 500 * time.Millisecond,
	}
	if os.Getenv("SYNCTOOL_TEST_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("tool", n)
	}
	o.Port.Grace = time.Second
	if k.opts != nil {
		k.opts(&o)
	}
	return o
}

// tool starts a synctool.
func (k *kit) tool() *tool {
	k.t.Helper()
	o, c := k.options(len(k.tools)), &fakeCluster{z: k.z}
	s, err := New(o, c)
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &tool{Synctool: s, cluster: c, cancel: cancel, done: make(chan error, 1), spool: o.SpoolPath}
	ready := make(chan struct{})
	c.begin = ready
	go func() { x.done <- s.Run(ctx) }()
	addr, err := s.Addr(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	c.addr = addr
	close(ready)
	k.tools = append(k.tools, x)
	return x
}

// stop ends a synctool in good order and returns Run's error.
func (x *tool) stop() error {
	if x.stopped {
		return nil
	}
	x.stopped = true
	x.cancel()
	return <-x.done
}

func (k *kit) open(d string) (dest.Dest, error) {
	if err := k.inject.hit("open", d); err != nil {
		return nil, err
	}
	return &diskDest{dir: d, local: !k.remote, inject: k.inject}, nil
}

func checkTestDest(d string) error {
	if !strings.HasPrefix(d, "/") {
		return fmt.Errorf("%q is relative: give an absolute path", d)
	}
	if strings.HasPrefix(d, "/etc") {
		return fmt.Errorf("%q is not allowed: it lies outside dest.allowed_prefixes", d)
	}
	return nil
}

func overlapTest(a, b string) bool {
	a, b = strings.TrimSuffix(a, "/")+"/", strings.TrimSuffix(b, "/")+"/"
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// api returns a client of the leader.
func (k *kit) api() omsyncpb.SyncToolClient {
	k.t.Helper()
	k.eventually("somebody leads", func() bool { return k.leader() != nil })
	addr, err := k.leader().Addr(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	return k.dial(addr)
}

func (k *kit) dial(addr string) omsyncpb.SyncToolClient {
	return omsyncpb.NewSyncToolClient(k.conn(k.t, addr))
}

func (k *kit) conn(t *testing.T, addr string) *grpc.ClientConn {
	cc, err := client.Dial(addr, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// leader is the tool whose term is ready.
func (k *kit) leader() *tool {
	for _, x := range k.tools {
		if t := x.term.Load(); !x.stopped && t != nil && t.ctx.Err() == nil {
			t.mu.Lock()
			ready := t.ready
			t.mu.Unlock()
			if ready {
				return x
			}
		}
	}
	return nil
}

func (k *kit) dest(name string) string { return filepath.Join(k.dir, name) }

// create makes the task db.t in mode to <dir>/out.
func (k *kit) create(mode int32) {
	k.t.Helper()
	_, err := k.api().Create(k.t.Context(), &omsyncpb.CreateRequest{Db: "db", Table: "t", Mode: proto.Int32(mode), Dest: k.dest("out")})
	if err != nil {
		k.t.Fatal(err)
	}
}

// eventually waits for a condition.
func (k *kit) eventually(what string, cond func() bool) {
	k.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			k.dump()
			k.t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (k *kit) dump() {
	if l := k.leader(); l != nil {
		var b strings.Builder
		l.statusPage(&b)
		k.t.Log(b.String())
	}
}

// holds waits until readers find exactly what is in data.
func (k *kit) holds(data simTable, logged bool) {
	k.t.Helper()
	want := map[string]int{}
	for _, d := range data {
		d.all(want, logged)
	}
	var got map[string]int
	k.eventually(fmt.Sprintf("%d rows", len(want)), func() bool {
		var err error
		got, err = exported(k.dest("out"))
		if err != nil {
			k.t.Fatal(err)
		}
		for row, n := range got {
			if n > 1 {
				k.t.Fatalf("row %s is there %d times", row, n)
			}
		}
		return len(got) >= len(want)
	})
	if !maps.Equal(got, want) {
		k.t.Fatalf("%d rows are there, want %d", len(got), len(want))
	}
}

// status waits for a subtask's status.
func (k *kit) status(pid uint32, want string) {
	k.t.Helper()
	k.eventually(fmt.Sprintf("partition %d is %s", pid, want), func() bool { return string(k.z.state(pid).Status) == want })
}
