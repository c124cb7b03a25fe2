package tablet_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/tablet"
	"omsync/rpc/baidustd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers as TabletServers do (formats.md §2.6), for table 7 partition 0.
type server struct {
	apipb.UnimplementedTabletServerServer
	code int32
}

func (s *server) GetTableStatus(_ context.Context, r *apipb.GetTableStatusRequest) (*apipb.GetTableStatusResponse, error) {
	out := &apipb.GetTableStatusResponse{Code: proto.Int32(s.code), Msg: proto.String("said so")}
	if (r.Tid == nil || r.GetTid() == 7) && (r.Pid == nil || r.GetPid() == 0) {
		out.AllTableStatus = append(out.AllTableStatus, good())
	}
	return out, nil
}

func (s *server) GetTableSchema(_ context.Context, r *apipb.GetTableSchemaRequest) (*apipb.GetTableSchemaResponse, error) {
	switch r.GetTid() {
	case 7:
		return &apipb.GetTableSchemaResponse{Code: proto.Int32(0), TableMeta: &apipb.TableMeta{Tid: proto.Int32(7), Name: proto.String("t")}}, nil
	case 8:
		return &apipb.GetTableSchemaResponse{Code: proto.Int32(0)}, nil
	case 9:
		return &apipb.GetTableSchemaResponse{Code: proto.Int32(-1), Msg: proto.String("broken")}, nil
	}
	return &apipb.GetTableSchemaResponse{Code: proto.Int32(100), Msg: proto.String("table is not exist")}, nil
}

func good() *apipb.TableStatus {
	return &apipb.TableStatus{
		Tid: proto.Uint32(7), Pid: proto.Uint32(0), Name: proto.String("t"), Offset: proto.Uint64(42),
		Mode: apipb.TableMode_kTableLeader.Enum(), State: apipb.TableState_kTableNormal.Enum(),
		StorageMode:  commonpb.StorageMode_kHDD.Enum(),
		SnapshotPath: proto.String("/data/7_0/snapshot/"), BinlogPath: proto.String("/data//7_0/binlog/"),
	}
}

func start(t *testing.T, impl *server, o baidustd.ServerOptions) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := baidustd.NewServer(o)
	apipb.RegisterTabletServerServer(s, impl)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func pool(t *testing.T) *tablet.Pool {
	p := tablet.NewPool(func(addr string) tablet.Conn {
		return baidustd.NewClient(addr, baidustd.ClientOptions{DialTimeout: time.Second})
	})
	t.Cleanup(func() { p.Close() })
	return p
}

func at(t *testing.T, p *tablet.Pool, addr string) *tablet.Client {
	t.Helper()
	c, err := p.At(addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStatusAndSchema(t *testing.T) {
	t.Parallel()
	// a tablet lets in only who brings a credential
	addr := start(t, &server{}, baidustd.ServerOptions{Auth: func(cred string, _ net.Addr) error {
		if cred != "sdefault" {
			return errors.New("who is that?")
		}
		return nil
	}})
	c := at(t, pool(t), addr)
	s, err := c.Status(t.Context(), 7, 0)
	if err != nil || s.GetOffset() != 42 || tablet.Ready(s) != nil || !tablet.Leader(s) {
		t.Errorf("Status: %v %v", s, err)
	}
	for _, q := range [][2]uint32{{7, 1}, {8, 0}} {
		if _, err := c.Status(t.Context(), q[0], q[1]); !errors.Is(err, tablet.ErrNoPartition) || tablet.Unreachable(err) {
			t.Errorf("Status(%v): %v", q, err)
		}
	}
	if all, err := c.Statuses(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("Statuses: %v %v", all, err)
	}
	if m, err := c.Schema(t.Context(), 7, 0); err != nil || m.GetName() != "t" {
		t.Errorf("Schema: %v %v", m, err)
	}
	var se *tablet.ServerError
	if _, err := c.Schema(t.Context(), 8, 0); !errors.As(err, &se) {
		t.Errorf("no meta: %v", err)
	}
	if _, err := c.Schema(t.Context(), 9, 0); !errors.As(err, &se) || se.Code != -1 || !strings.Contains(err.Error(), "broken") {
		t.Errorf("code -1: %v", err)
	}
	if _, err := c.Schema(t.Context(), 10, 0); !errors.Is(err, tablet.ErrNoTable) {
		t.Errorf("code 100: %v", err)
	}
}

func TestStatusWithACode(t *testing.T) {
	t.Parallel()
	c := at(t, pool(t), start(t, &server{code: -1}, baidustd.ServerOptions{}))
	var se *tablet.ServerError
	if _, err := c.Status(t.Context(), 7, 0); !errors.As(err, &se) || !strings.Contains(err.Error(), "said so") {
		t.Errorf("%v", err)
	}
	if _, err := c.Statuses(t.Context()); !errors.As(err, &se) {
		t.Errorf("%v", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = at(t, pool(t), l.Addr().String()).Status(t.Context(), 7, 0)
	if !tablet.Unreachable(err) || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "table 7 partition 0") {
		t.Errorf("%v", err)
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*apipb.TableStatus)
		want   error
	}{
		"as it is":        {func(s *apipb.TableStatus) {}, nil},
		"ssd":             {func(s *apipb.TableStatus) { s.StorageMode = commonpb.StorageMode_kSSD.Enum() }, nil},
		"making snapshot": {func(s *apipb.TableStatus) { s.State = apipb.TableState_kMakingSnapshot.Enum() }, nil},
		"paused":          {func(s *apipb.TableStatus) { s.State = apipb.TableState_kSnapshotPaused.Enum() }, nil},
		"memory":          {func(s *apipb.TableStatus) { s.StorageMode = commonpb.StorageMode_kMemory.Enum() }, tablet.ErrMemory},
		"no mode at all":  {func(s *apipb.TableStatus) { s.StorageMode = nil }, tablet.ErrMemory},
		"loading":         {func(s *apipb.TableStatus) { s.State = apipb.TableState_kTableLoading.Enum() }, tablet.ErrLoading},
		"no state":        {func(s *apipb.TableStatus) { s.State = nil }, tablet.ErrLoading},
		"no paths":        {func(s *apipb.TableStatus) { s.SnapshotPath, s.BinlogPath = nil, nil }, tablet.ErrTooOld},
		"not normal yet": {func(s *apipb.TableStatus) {
			s.SnapshotPath, s.BinlogPath, s.State = nil, nil, apipb.TableState_kMakingSnapshot.Enum()
		}, tablet.ErrLoading},
		"no log path": {func(s *apipb.TableStatus) { s.BinlogPath = proto.String("") }, tablet.ErrTooOld},
		"relative":    {func(s *apipb.TableStatus) { s.BinlogPath = proto.String("./db/7_0/binlog/") }, tablet.ErrPath},
	} {
		s := good()
		c.change(s)
		if err := tablet.Ready(s); !errors.Is(err, c.want) || c.want != nil && !strings.Contains(err.Error(), "table t (tid 7) partition 0") {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestPoolKeepsOneConnectionPerAddress(t *testing.T) {
	t.Parallel()
	var dialed []string
	closed := map[string]int{}
	p := tablet.NewPool(func(addr string) tablet.Conn {
		dialed = append(dialed, addr)
		return &fakeConn{close: func() error { closed[addr]++; return nil }}
	})
	for _, addr := range []string{"a:1", "b:1", "a:1", "c:1"} {
		at(t, p, addr)
	}
	if err := p.Keep(func(addr string) bool { return addr != "b:1" }); err != nil || closed["b:1"] != 1 || len(closed) != 1 {
		t.Errorf("Keep: %v, closed %v", err, closed)
	}
	at(t, p, "b:1")
	if err := p.Close(); err != nil || len(dialed) != 4 || closed["a:1"] != 1 || closed["b:1"] != 2 || closed["c:1"] != 1 {
		t.Errorf("dialed %v, closed %v, %v", dialed, closed, err)
	}
	if _, err := p.At("a:1"); !errors.Is(err, tablet.ErrClosed) {
		t.Errorf("At after Close: %v", err)
	}
}

type fakeConn struct {
	tablet.Conn
	close func() error
}

func (f *fakeConn) Close() error { return f.close() }
