package synctool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/rpc/omsyncpb"
)

// call posts JSON as the helper does.
func (k *kit) call(method, body string) string {
	k.t.Helper()
	k.eventually("somebody leads", func() bool { return k.leader() != nil })
	addr, _ := k.leader().Addr(k.t.Context())
	verb := http.MethodPost
	if method == "TaskStatus" {
		verb = http.MethodGet // formats.md §7: a GET with a body
	}
	r, err := http.NewRequestWithContext(k.t.Context(), verb, "http://"+addr+"/openmldb.datasync.SyncTool/"+method, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Close = true
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != 200 {
		k.t.Fatalf("%s: %d %s, %v", method, a.StatusCode, b, err)
	}
	return string(b)
}

// TestHelper speaks the helper's JSON.
func TestHelper(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	data := simTable{0: newSimData(0, 40, 2)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	if got := k.call("TaskStatus", "{}"); got != "{\n  \"response\": {\n    \"code\": 0\n  }\n}" {
		t.Errorf("without tasks: %s", got)
	}
	if got := k.call("CreateSyncTask", `{"db":"db","name":"t","mode":0,"start_ts":0,"dest":"`+k.dest("out")+`"}`); !strings.Contains(got, `"code": -1`) || !strings.Contains(got, "can\\u0027t find living data collector in host: h1") {
		t.Errorf("without a collector: %s", got)
	}
	k.collector("h1:9", data)
	if got := k.call("CreateSyncTask", `{"db":"db","name":"t","mode":2,"start_ts":0,"dest":"`+k.dest("out")+`"}`); got != "{\n  \"code\": 0\n}" {
		t.Errorf("create: %s", got)
	}
	if got := k.call("CreateSyncTask", `{"db":"db","name":"t","mode":2,"dest":"/x"}`); !strings.Contains(got, "sync task already exists(creating or created)") {
		t.Errorf("create again: %s", got)
	}
	if got := k.call("CreateSyncTask", `{"db":"db","name":"t","mode":null,"dest":"/x"}`); !strings.Contains(got, "mode is required") {
		t.Errorf("create without a mode: %s", got)
	}
	k.holds(data, true)
	k.eventually("all is counted", func() bool { return k.z.state(0).Counters.Rows == 42 })
	got := k.call("TaskStatus", "{}")
	for _, want := range []string{
		`"tid": 7`, `"pid": 0`, `"mode": "kFullAndContinuous"`, `"startTs": "0"`, `"tabletEndpoint": "h1:1"`, `"dataCollector": "h1:9"`, `"count": "42"`, `"status": "RUNNING"`,
		`;progressPath\u003d` + filepath.Join(k.dir, "progress") + `/7/0.progress"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("status lacks %s:\n%s", want, got)
		}
	}
	if m := regexp.MustCompile(`"token": "([^"]*)"`).FindStringSubmatch(got); m == nil || len(m[1]) != 8 || strings.Contains(got, k.z.state(0).Token) {
		t.Errorf("the token is shown as %v", m)
	}
	if got := k.call("TaskStatus", `{"clear_all": true}`); !strings.Contains(got, "api.allow_clear_all") || k.taskCount() != 1 {
		t.Errorf("clear_all: %s", got)
	}
	if got := k.call("SendData", `{"tid": 7, "pid": 0}`); !strings.Contains(got, `"code": -1`) || strings.Contains(got, "deleteTask") {
		t.Errorf("SendData: %s", got)
	}
	for body, want := range map[string]string{`{"db":"db","name":"t"}`: `"code": 0`, `{"db":"db","name":"nix"}`: `"code": -1`} {
		if got := k.call("DeleteSyncTask", body); !strings.Contains(got, want) {
			t.Errorf("delete %s: %s", body, got)
		}
	}
	if got := k.call("DeleteSyncTask", `{"db":"db","name":"t"}`); !strings.Contains(got, `"code": 0`) {
		t.Errorf("delete again: %s", got)
	}
}

// TestClearAll: with the key set, everything goes.
func TestClearAll(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.AllowClearAll = true }
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	k.collector("h1:9", simTable{0: newSimData(0, 4, 0)})
	k.create(modeFullContinuous)
	if got := k.call("TaskStatus", `{"clearAll": true}`); !strings.Contains(got, `"code": 0`) || strings.Contains(got, "readableInfo") || k.taskCount() != 0 {
		t.Errorf("clear_all: %s", got)
	}
}

// TestWatch: everything first, then only when something changed.
func TestWatch(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	data := simTable{0: newSimData(0, 0, 0)}
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	k.collector("h1:9", data)
	api := k.api()
	w, err := api.Watch(t.Context(), &omsyncpb.WatchRequest{IntervalMs: 100})
	if err != nil {
		t.Fatal(err)
	}
	e, err := w.Recv()
	if err != nil || len(e.GetSnapshot().GetTasks()) != 0 || e.GetSnapshot().GetEpoch() != 1 {
		t.Fatalf("first event: %v, %v", e, err)
	}
	k.create(modeFullContinuous)
	for state := ""; state != "RUNNING"; {
		if e, err = w.Recv(); err != nil {
			t.Fatal(err)
		}
		if l := e.GetSnapshot().GetTasks(); len(l) == 1 {
			state = l[0].GetState()
		}
	}
	data[0].grow(0, 30)
	for rows := uint64(0); rows != 30; {
		if e, err = w.Recv(); err != nil {
			t.Fatal(err)
		}
		rows = e.GetSnapshot().GetTasks()[0].GetSubtasks()[0].GetCounters().GetRows()
	}
	c, err := api.Collectors(t.Context(), &omsyncpb.CollectorsRequest{})
	if err != nil || len(c.GetCollectors()) != 1 || !c.GetCollectors()[0].GetConnected() || c.GetCollectors()[0].GetSubtasks() != 1 {
		t.Errorf("collectors: %v, %v", c, err)
	}
}

// TestPages: /status, /metrics and /health say what stands.
func TestPages(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 30)
	k.holds(data, true)
	addr, _ := k.leader().Addr(t.Context())
	k.eventually("the pages are right", func() bool {
		for _, c := range [][2]string{
			{"/status", "db.t"}, {"/health", "ok"}, {"/version", "test"},
			{"/metrics", `omsync_synctool_rows_total{table="db.t"} 40`},
			{"/metrics", `omsync_synctool_subtasks{table="db.t",state="FAILED"} 0`},
			{"/metrics", `omsync_synctool_subtasks{table="db.t",state="RUNNING"} 1`},
			{"/metrics", `omsync_synctool_stalls_total{table="db.t"} `},
			{"/metrics", "omsync_synctool_streams 1\n"},
			{"/metrics", `omsync_synctool_commit_age_seconds{table="db.t"} 0`}, // nothing is there to be committed
		} {
			page, want := c[0], c[1]
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+page, nil)
			r.Close = true
			a, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(a.Body)
			a.Body.Close()
			if err != nil || !strings.Contains(string(b), want) {
				return false
			}
		}
		return true
	})
}

// TestStopCommitsOpenSegments: SIGTERM loses no time: what is spooled is committed before the end, whatever segment_age says.
func TestStopCommitsOpenSegments(t *testing.T) {
	for name, remote := range map[string]bool{"local": false, "remote": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.remote = remote
			k.opts = func(o *Options) { o.SegmentAge, o.SegmentBytes, o.SubtaskCredit = time.Hour, 1<<30, 1<<20 }
			data := simTable{0: newSimData(0, 10, 0)}
			k.z.table("db", "t", 7, "h1:1")
			x := k.tool()
			k.collector("h1:9", data)
			k.create(modeFullContinuous)
			k.holds(data, false)
			data[0].grow(0, 25)
			k.eventually("the rows are spooled", func() bool {
				x.term.Load().mu.Lock()
				defer x.term.Load().mu.Unlock()
				for _, o := range x.term.Load().tasks {
					s := o.subs[0]
					s.mu.Lock()
					defer s.mu.Unlock()
					return s.live.oldest != 0 && len(s.queue) == 0
				}
				return false
			})
			if err := x.stop(); err != nil {
				t.Fatal(err)
			}
			if p := k.z.state(0); p.Point.Index == 0 || p.Pending != nil {
				t.Errorf("after the stop the point is %+v, pending %v", p.Point, p.Pending)
			}
			l, _ := filepath.Glob(filepath.Join(x.spool, "[^.]*"))
			if len(l) != 0 {
				t.Errorf("the spool keeps %v", l)
			}
			k.opts = nil // what had not arrived before the stop is committed soon
			k.tool()
			k.holds(data, true)
		})
	}
}

// TestStopIsBounded: what can not be committed within the grace is left, the end is in order all the same, and the rows come again.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]func(*kit){
		"destination down": func(k *kit) { k.inject.set(failing("rename", syscall.ENOSPC)) },
		"zookeeper down":   func(k *kit) { k.z.edit(func() { k.z.down = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.opts = func(o *Options) { o.StopGrace = 300 * time.Millisecond }
			data := simTable{0: newSimData(0, 10, 0)}
			k.z.table("db", "t", 7, "h1:1")
			x := k.tool()
			k.collector("h1:9", data)
			k.create(modeFullContinuous)
			k.holds(data, true)
			block(k)
			data[0].grow(0, 25)
			s := x.term.Load().all()[0].subs[0]
			k.eventually("rows are under way", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.live.oldest != 0
			})
			began := time.Now()
			if err := x.stop(); err != nil {
				t.Errorf("the end is told as %v: exit code 4 for an orderly stop", err)
			}
			if d := time.Since(began); d > 10*time.Second {
				t.Errorf("it took %s with a grace of 300 ms", d)
			}
			k.inject.set(nil)
			k.z.edit(func() { k.z.down = false })
			k.tool()
			k.holds(data, true)
		})
	}
}

// unanswered is a cluster whose ZooKeeper is away when the process is asked to stop.
type unanswered struct {
	*fakeCluster
	until func(context.Context)
}

func (u unanswered) Lead(ctx context.Context, _ func(context.Context, Lead) error) error {
	u.until(ctx)
	return errors.New("stand for election: not connected")
}

// TestStopWithoutZooKeeper: a stop that was asked for is no failure, whatever ZooKeeper says; the same error at another time is one.
func TestStopWithoutZooKeeper(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for name, until := range map[string]func(context.Context){"asked": func(ctx context.Context) { <-ctx.Done() }, "not asked": func(context.Context) {}} {
		o := k.options(0)
		o.SpoolPath = filepath.Join(k.dir, name)
		s, err := New(o, unanswered{&fakeCluster{z: k.z}, until})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		if _, err := s.Addr(t.Context()); err != nil {
			t.Fatal(err)
		}
		if name == "asked" {
			cancel()
		}
		if err := <-done; (err == nil) != (name == "asked") {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

// TestLostLeadStopsWriters: when the lead is lost nothing is written any more, and the same process may lead again later.
func TestLostLeadStopsWriters(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 200)
	old := k.leader().term.Load()
	k.z.expire()
	k.eventually("a new term", func() bool {
		x := k.leader()
		return x != nil && x.term.Load() != old
	})
	select {
	case <-old.ctx.Done():
	default:
		t.Error("the old term's writers live")
	}
	data[0].grow(0, 100)
	k.holds(data, true)
	if k.z.epoch != 2 {
		t.Errorf("epoch %d", k.z.epoch)
	}
}

// TestFencedTermEnds: a decision that is refused for the epoch ends the term at once; the process stands for election again.
func TestFencedTermEnds(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 50)
	k.holds(data, true)
	k.z.edit(func() { k.z.epoch++ }) // somebody else began to lead
	data[0].grow(0, 50)
	k.eventually("a new term", func() bool { return k.z.epochNow() == 3 })
	k.holds(data, true)
}

func (z *fakeZK) epochNow() uint64 {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.epoch
}

// TestPortTaken: exit code 3 is for this, 2 for what can not be used at all.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	first := k.tool()
	addr, _ := first.Addr(t.Context())
	o := first.o
	o.Listen, o.SpoolPath = addr, filepath.Join(k.dir, "other")
	s, err := New(o, &fakeCluster{z: k.z})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, ErrTaken) {
		t.Errorf("the same port: %v", err)
	}
	o.Listen, o.SpoolPath = "127.0.0.1:0", first.spool
	if s, err = New(o, &fakeCluster{z: k.z}); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, ErrTaken) {
		t.Errorf("the same spool: %v", err)
	}
	for name, c := range map[string]struct{ listen, spool string }{
		"server.host": {"192.0.2.1:0", filepath.Join(k.dir, "third")}, "spool.path": {"127.0.0.1:0", "/proc/none/spool"},
	} {
		o.Listen, o.SpoolPath = c.listen, c.spool
		if s, err = New(o, &fakeCluster{z: k.z}); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context()); !errors.Is(err, ErrConf) || errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadStreams: what does not follow the protocol is refused, and harms nobody else.
func TestBadStreams(t *testing.T) {
	t.Parallel()
	k, data, _ := one(t, 50)
	k.holds(data, true)
	st := k.z.state(0)
	var id string
	for id = range k.z.tasks {
	}
	key := &omsyncpb.SubtaskKey{TaskId: id, Tid: 7, Pid: 0}
	attach := func(token string, generation uint64) *omsyncpb.CollectorMessage {
		return &omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Attach{Attach: &omsyncpb.Attach{Key: key, Token: token, AttachId: 77, Generation: generation}}}
	}
	for name, c := range map[string]struct {
		messages []*omsyncpb.CollectorMessage
		gone     bool
		reason   string
	}{
		"wrong token":     {[]*omsyncpb.CollectorMessage{attach("guess", st.Generation)}, true, "assigned to h1:9"},
		"no token":        {[]*omsyncpb.CollectorMessage{attach("", st.Generation)}, true, "assigned to h1:9"},
		"unknown subtask": {[]*omsyncpb.CollectorMessage{{Body: &omsyncpb.CollectorMessage_Attach{Attach: &omsyncpb.Attach{Key: &omsyncpb.SubtaskKey{TaskId: "x"}}}}}, true, "no such subtask"},
	} {
		t.Run(name, func(t *testing.T) {
			stream := k.stream(t, "h9:9")
			for _, m := range c.messages {
				if err := stream.Send(m); err != nil {
					t.Fatal(err)
				}
			}
			m, err := stream.Recv()
			if err != nil || m.GetRefused().GetGone() != c.gone || !strings.Contains(m.GetRefused().GetReason(), c.reason) {
				t.Errorf("answer: %v, %v", m, err)
			}
		})
	}
	data[0].grow(0, 20)
	k.holds(data, true)
}

// stream opens a collector stream by hand.
func (k *kit) stream(t *testing.T, endpoint string) omsyncpb.Ingest_StreamClient {
	t.Helper()
	addr, _ := k.leader().Addr(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := omsyncpb.NewIngestClient(k.conn(t, addr)).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Hello{Hello: &omsyncpb.Hello{Endpoint: endpoint}}}); err != nil {
		t.Fatal(err)
	}
	return stream
}

// TestBatchesMustFit drives one attachment by hand: what does not fit is refused and nothing of it is committed.
func TestBatchesMustFit(t *testing.T) {
	t.Parallel()
	snapshot := func(key string) *omsyncpb.Point { return &omsyncpb.Point{Key: []byte(key)} }
	log := func(i uint64) *omsyncpb.Point { return &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG, LogIndex: i} }
	good := &omsyncpb.Batch{Seq: 1, To: snapshot("a"), Rows: simRow("row"), RowCount: 1}
	for name, edit := range map[string]func(*omsyncpb.Batch){
		"sequence":               func(b *omsyncpb.Batch) { b.Seq = 2 },
		"log before publication": func(b *omsyncpb.Batch) { b.To = log(5) },
		"end in mode 2":          func(b *omsyncpb.Batch) { b.To, b.End = &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_DONE}, true },
		"unknown phase":          func(b *omsyncpb.Batch) { b.To = &omsyncpb.Point{Phase: 9} },
		"end without done":       func(b *omsyncpb.Batch) { b.End = true },
		"row count":              func(b *omsyncpb.Batch) { b.RowCount = 2 },
		"rows without count":     func(b *omsyncpb.Batch) { b.RowCount = 0 },
		"torn row":               func(b *omsyncpb.Batch) { b.Rows = b.Rows[:3] },
		"count without rows":     func(b *omsyncpb.Batch) { b.Rows = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.z.table("db", "t", 7, "h1:1")
			k.tool()
			c := newSimCollector(k.z, "h1:9", nil, nil) // takes assignments, streams nothing
			k.add(c)
			k.create(modeFullContinuous)
			k.eventually("it is assigned", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.tasks[0] != nil })
			c.mu.Lock()
			a := c.tasks[0]
			c.mu.Unlock()
			stream := k.stream(t, "h1:9")
			send := func(m *omsyncpb.CollectorMessage) {
				t.Helper()
				if err := stream.Send(m); err != nil {
					t.Fatal(err)
				}
			}
			send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Attach{Attach: &omsyncpb.Attach{Key: a.GetKey(), Token: a.GetToken(), AttachId: 1, Generation: a.GetGeneration(), Pin: "S1"}}})
			for {
				m, err := stream.Recv()
				if err != nil {
					t.Fatal(err)
				}
				if m.GetAttached() != nil {
					break
				}
			}
			b := proto.Clone(good).(*omsyncpb.Batch)
			b.Key, b.AttachId = a.GetKey(), 1
			edit(b)
			send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{Batch: b}})
			for {
				m, err := stream.Recv()
				if err != nil {
					t.Fatal(err)
				}
				if r := m.GetRefused(); r != nil {
					if r.GetGone() {
						t.Errorf("refused for good: %s", r.GetReason())
					}
					break
				}
			}
			if st := k.z.state(0); st.Seq != 0 || st.Counters.Rows != 0 {
				t.Errorf("something of it is committed: %+v", st)
			}
			if l, err := os.ReadDir(filepath.Join(k.dest("out"), stageDir)); err == nil && len(l) != 0 && name != "torn row" {
				k.eventually("the stage is empty", func() bool {
					l, _ := os.ReadDir(filepath.Join(k.dest("out"), stageDir))
					return len(l) == 0
				})
			}
		})
	}
}

// TestCreditIsABound: a collector that sends more than it may is detached, and the memory it takes stays bounded.
func TestCreditIsABound(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	c := newSimCollector(k.z, "h1:9", nil, nil)
	k.add(c)
	hold := make(chan struct{})
	k.create(modeFullContinuous)
	k.inject.set(func(op, name string) error {
		if op == "create" {
			<-hold
		}
		return nil
	})
	k.eventually("it is assigned", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.tasks[0] != nil })
	a := c.tasks[0]
	stream := k.stream(t, "h1:9")
	if err := stream.Send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Attach{Attach: &omsyncpb.Attach{Key: a.GetKey(), Token: a.GetToken(), AttachId: 1, Generation: a.GetGeneration(), Pin: "S1"}}}); err != nil {
		t.Fatal(err)
	}
	for attached := false; !attached; {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		attached = m.GetAttached() != nil
	}
	row := simRow(strings.Repeat("x", 1000))
	for i := range uint64(200) {
		b := &omsyncpb.Batch{Key: a.GetKey(), AttachId: 1, Seq: i + 1, To: &omsyncpb.Point{Key: []byte{byte(i)}}, Rows: row, RowCount: 1}
		if err := stream.Send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{Batch: b}}); err != nil {
			t.Fatal(err)
		}
	}
	s := k.leader().term.Load().subtask(a.GetKey().GetTaskId(), 0)
	k.eventually("the rest is dropped", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.queued > 20_000 {
			t.Fatalf("%d bytes are queued with a credit of 4000", s.queued)
		}
		return s.live.link == nil
	})
	close(hold)
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r := m.GetRefused(); r != nil {
			if !strings.Contains(r.GetReason(), "credit") {
				t.Errorf("refused: %s", r.GetReason())
			}
			return
		}
	}
}
