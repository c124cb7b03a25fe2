package toolstatus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"omsync/rpc/client"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
	"omsync/rpc/port"
	"omsync/tui/ctl"
	"omsync/tui/toolstatus"
)

var now = time.UnixMilli(1_795_313_021_000)

// tool answers List as a leader, or with a refusal.
type tool struct {
	omsyncpb.UnimplementedSyncToolServer
	refuse error
}

func (f *tool) List(context.Context, *omsyncpb.ListRequest) (*omsyncpb.ListResponse, error) {
	return &omsyncpb.ListResponse{Leader: "10.0.0.1:8848", Epoch: 7, Tasks: []*omsyncpb.TaskView{{}, {}}}, f.refuse
}

// serve returns a port on which f answers; nil: one on which nobody does.
func serve(t *testing.T, f *tool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, p, _ := net.SplitHostPort(l.Addr().String())
	if f == nil {
		l.Close()
		return p
	}
	s := port.New(port.Options{Grace: 10 * time.Millisecond})
	omsyncpb.RegisterSyncToolServer(s, f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

// bench is a synctool's host: its conf file, its directories, and what ZooKeeper says.
type bench struct {
	conf, dir string
	cluster   *toolstatus.Cluster
	zkErr     error
}

func newBench(t *testing.T, toolPort string) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	b.conf = filepath.Join(b.dir, "synctool.properties")
	b.write(t, "synctool.properties", "server.host=0.0.0.0\nserver.port="+toolPort+"\nserver.advertise=h:1\nzookeeper.cluster=10.9.9.9:2181\nzookeeper.root_path=/om\n"+
		"zookeeper.cert=u:geheim\nsync_task.progress_path="+b.dir+"/progress\ndata.cache_path=/c\n")
	return b
}

func (b *bench) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(b.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// run is `omsync-tui tool-status args…`.
func (b *bench) run(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = ctl.Main(context.Background(), append([]string{"tool-status"}, args...), ctl.Env{Out: &o, Err: &e, More: []*cli.Command{toolstatus.Command(toolstatus.Env{
		Out: &o, Err: &e, Now: func() time.Time { return now }, ConfFiles: []string{b.conf},
		Dial: func(addr string) (*grpc.ClientConn, error) { return client.Dial(addr, client.Options{}) },
		Cluster: func(_ context.Context, servers []string, root, cert string) (*toolstatus.Cluster, error) {
			if strings.Join(servers, ",") != "10.9.9.9:2181" || root != "/om" || cert != "u:geheim" {
				return nil, errors.New("asked another ZooKeeper")
			}
			return b.cluster, b.zkErr
		},
	})}})
	return code, o.String(), e.String()
}

func holds(t *testing.T, text string, wants ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(text), " ")
	for _, w := range wants {
		if !strings.Contains(flat, w) {
			t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

// TestDown: with nobody there, the report is made and says so.
func TestDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, serve(t, nil))
	b.zkErr = errors.New("not connected: is ZooKeeper up at 10.9.9.9:2181?")
	code, out, _ := b.run()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	holds(t, out, "is down or unreachable dial tcp 127.0.0.1:", "connection refused",
		"ZOOKEEPER 10.9.9.9:2181/om is down or unreachable not connected: is ZooKeeper up at 10.9.9.9:2181?",
		"it does not exist: no task was committed here yet, or the synctool runs on another host",
		"zookeeper.cert *** line 6", "segment_bytes 64MiB default", "data.cache_path /c line 8, without effect")
	if strings.Contains(out, "geheim") {
		t.Error("a secret is shown")
	}
	_, out, _ = b.run("-o", "json")
	var e struct {
		Kind    string
		Sources map[string]string
		Items   []toolstatus.Report
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil || e.Kind != "ToolStatus" || e.Sources["zk"] != "unreachable" || e.Sources["synctool"] != "unreachable" || len(e.Items) != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAllParts: the mirror decoded, leftovers told apart, ZooKeeper's state, the leader.
func TestAllParts(t *testing.T) {
	t.Parallel()
	java, err := os.ReadFile("../../testdata/helper/progress-101-1.bin")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, serve(t, &tool{}))
	b.write(t, "progress/101/1.progress", string(java))
	b.write(t, "progress/101/2.progress", string(java)) // in the wrong place
	b.write(t, "progress/101/3.progress", "")
	b.write(t, "progress/101/4.progress", string(java[:40]))
	b.write(t, "progress/101/5.progress", string(java)+"x")
	b.write(t, "progress/101/0.progress.finished.1795354975650", string(java))
	b.write(t, "progress/99.deleted.1795354975650/0.progress", string(java))
	b.write(t, "progress/notes.txt", "hello")
	b.write(t, "progress.spool/segment-1", "12345")
	b.write(t, "progress.spool/.lock", "")
	b.cluster = &toolstatus.Cluster{
		Leader: "10.0.0.1:8848", Standby: []string{"10.0.0.2:8848"}, Epoch: 7, EpochOf: "10.0.0.1:8848", EpochMs: now.UnixMilli() - 60_000, Finished: 3, Problems: []string{"x is not readable JSON"},
		Collectors: []toolstatus.Collector{{Endpoint: "10.0.0.3:8888", Host: "10.0.0.3", State: "active", Version: "v1", DataDir: "/d"}},
		Tasks: []toolstatus.Task{
			{ID: "5f", Table: "db.t", TID: 102, Mode: 2, Dest: "/out", Subtasks: []toolstatus.Subtask{
				{PID: 0, Status: "RUNNING", Phase: "LOG", Index: 41, Seq: 3, Rows: 40, Collector: "10.0.0.3:8888", Tablet: "10.0.0.3:10921", Pending: "g1-p0-3.csv", CommittedMs: now.UnixMilli() - 4_000},
				{PID: 1, Status: "FAILED", Code: "log-trimmed", Reason: "log entry 9 is gone", Hint: "recover --reexport"}, {PID: 2},
			}},
			{ID: "6a"},
		},
	}
	code, out, errs := b.run("-f", b.conf)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	p := b.dir + "/progress"
	holds(t, out, "leads advertised as 10.0.0.1:8848, epoch 7, tasks: 2",
		p+"/101/1.progress", "101 1 kFull kBINLOG offset 23 127.0.0.1:30921 1d1260c4 /sync/t1",
		p+"/101/2.progress: it is the progress of table 101 partition 1: it does not belong here",
		p+"/101/3.progress: it is empty: the synctool died while it wrote it",
		p+"/101/4.progress: not a progress: unexpected EOF",
		p+"/101/5.progress: 1 bytes follow the progress",
		"LEFTOVERS", p+"/101/0.progress.finished.1795354975650: a finished partition, as OpenMLDB's own SyncTool leaves it",
		p+"/99.deleted.1795354975650/0.progress: of a deleted or ended task", p+"/notes.txt: not a progress file",
		p+"/101/1.progress: no such task in ZooKeeper", "progress.spool: files 1, 5B",
		"leader 10.0.0.1:8848 standing by: 10.0.0.2:8848 epoch 7 of 10.0.0.1:8848, begun 1m00s ago ended tasks on record: 3 problem: x is not readable JSON",
		"10.0.0.3:8888 10.0.0.3 active v1 - /d", "5f: db.t (tid 102), FULL_AND_CONTINUOUS to /out",
		"0 RUNNING LOG 41 40 3 4s 10.0.0.3:8888 10.0.0.3:10921 g1-p0-3.csv", "1 FAILED", "2 no state",
		"partition 1: log entry 9 is gone [log-trimmed]: recover --reexport", "6a: has no spec that can be read: half created, or half removed")
	if strings.Contains(out, "1d1260c4-") {
		t.Error("a whole token is shown")
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	b := newBench(t, serve(t, &tool{refuse: fault.New(codes.FailedPrecondition, "not-leading", "this synctool does not lead, h:2 does", "ask there")}))
	b.cluster = &toolstatus.Cluster{}
	_, out, _ := b.run()
	holds(t, out, "answers this synctool does not lead, h:2 does: ask there", "no synctool leads no epoch yet", "COLLECTORS none is registered TASKS none")
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	b := newBench(t, "1")
	b.write(t, "bad.properties", "server.prot=1\nzookeeper.cluster=a:1\nzookeeper.root_path=/o\nsync_task.progress_path=/p\n")
	for want, args := range map[string][]string{
		`stray word "now"`:                                    {"now"},
		`-o "xml": table or json`:                             {"-o", "xml"},
		"--timeout 0s is no time to ask anybody in":           {"--timeout", "0s"},
		"nope.properties: no such file or directory":          {"-f", b.dir + "/nope.properties"},
		"server.prot: unknown key: did you mean server.port?": {"-f", b.dir + "/bad.properties"},
		"flag provided but not defined: -t":                   {"-t", "a.b"},
	} {
		if code, out, errs := b.run(args...); code != 2 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %q %q, want %q", args, code, out, errs, want)
		}
	}
	b.conf = b.dir + "/gone"
	if code, _, errs := b.run(); code != 2 || !strings.Contains(errs, "which synctool? there is no "+b.conf) {
		t.Errorf("%d %s", code, errs)
	}
	if code, out, _ := b.run("--help"); code != 0 || !strings.Contains(out, "the report was made, whatever it says") {
		t.Errorf("--help: %d %s", code, out)
	}
}
