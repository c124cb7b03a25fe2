package ctl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/client"
	"omsync/rpc/omsyncpb"
	"omsync/rpc/port"
	"omsync/tui/state"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"omsync-tui": func() { os.Exit(command()) }})
}

// command is omsync-tui as the scripts run it: a process of its own whose clock, terminal and ZooKeeper come from the environment.
func command() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return Main(ctx, os.Args[1:], Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: os.Getenv("FAKE_TERMINAL") != "",
		Now:       func() time.Time { return time.UnixMilli(1_795_313_021_000) },
		ConfFiles: []string{"conf/synctool.properties"},
		Dial:      func(addr string) (*grpc.ClientConn, error) { return client.Dial(addr, client.Options{}) },
		Cluster:   envCluster{},
		Version:   "omsync-tui test",
	})
}

// envCluster is a ZooKeeper out of environment variables.
type envCluster struct{}

func (envCluster) Leader(_ context.Context, zk ZooKeeper) (string, error) {
	if msg := os.Getenv("FAKE_ZK_ERROR"); msg != "" {
		return "", errors.New(msg)
	}
	if want := os.Getenv("FAKE_ZK_WANT"); want != "" && want != fmt.Sprintf("%s %s %s", strings.Join(zk.Servers, ","), zk.Root, zk.Cert) {
		return "", fmt.Errorf("asked %v", zk)
	}
	return os.Getenv("FAKE_LEADER"), nil
}

func (envCluster) Tables(ctx context.Context, zk ZooKeeper) ([]state.Table, error) {
	if os.Getenv("FAKE_ZK_MUTE") != "" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := (envCluster{}).Leader(ctx, zk); err != nil {
		return nil, err
	}
	if os.Getenv("FAKE_TABLES") == "" {
		return nil, nil
	}
	return []state.Table{
		{DB: "demo", Table: "users", TID: 13, Storage: "MEMORY", Partitions: 8, Replicas: 3, Reason: "a memory table is not on disk"},
		{DB: "demo", Table: "orders", TID: 12, Storage: "HDD", Partitions: 8, Replicas: 3, Syncable: true},
	}, nil
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			f := newFake()
			addr, stop, err := f.serve()
			if err != nil {
				return err
			}
			env.Defer(stop)
			env.Values[fakeKey{}] = f
			_, p, err := net.SplitHostPort(addr)
			env.Setenv("SYNCTOOL", addr)
			env.Setenv("PORT", p)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a race build sleeps a second at each exit otherwise
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"fake": fakeCommand, "exits": exits},
	})
}

type fakeKey struct{}

// exits N command… runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE command…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		got = ee.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// fakeCommand sets what the script's synctool answers; see fake_test.go.
func fakeCommand(ts *testscript.TestScript, neg bool, args []string) {
	f := ts.Value(fakeKey{}).(*fake)
	f.mu.Lock()
	defer f.mu.Unlock()
	if neg || len(args) == 0 {
		ts.Fatalf("fake what?")
	}
	load := func(m proto.Message) {
		ts.Check(protojson.Unmarshal([]byte(ts.ReadFile(args[1])), m))
	}
	switch args[0] {
	case "tasks":
		f.tasks = &omsyncpb.ListResponse{}
		load(f.tasks)
	case "finished":
		f.finished = &omsyncpb.ListResponse{}
		load(f.finished)
	case "collectors":
		load(f.collectors)
	case "preflight":
		load(f.preflight)
	case "warn":
		f.warnings = args[1:]
	case "refuse": // CODE fault reason hint
		f.refuse = refusal(ts, args[1:])
	case "obey":
		f.refuse, f.mute = nil, false
	case "mute":
		f.mute = true
	case "play": // what successive looks at the created task see
		f.play = args[1:]
	case "asked": // FILE gets the last request
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(f.asked+"\n"), 0o644))
	default:
		ts.Fatalf("fake %s?", args[0])
	}
}

func (f *fake) serve() (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := port.New(port.Options{Grace: 10 * time.Millisecond})
	omsyncpb.RegisterSyncToolServer(s, f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	return l.Addr().String(), func() { cancel(); <-done }, nil
}
