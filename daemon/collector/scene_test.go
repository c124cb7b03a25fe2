package collector

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
	"omsync/testenv/tabletsim"
)

// scene is one partition on one tablet, a synctool, and a collector of the tablet's host. The partition has no snapshot: its log begins at 1.
type scene struct {
	t    *testing.T
	p    *tabletsim.Partition
	tab  *oneTablet
	tool *fakeTool
	fake *fakeCluster
	c    *process
}

// newScene starts all of it. p nil: a partition of words.
func newScene(t *testing.T, p *tabletsim.Partition, edit func(*Options)) *scene {
	t.Helper()
	if p == nil {
		p = newWords(t, "ts", 0)
	}
	s := &scene{t: t, p: p, tab: startTablet(t), tool: newTool(t, 1)}
	s.tab.serve(p)
	s.fake = newFakeCluster(s.tool, s.tab.node())
	s.c = s.collector(edit)
	t.Cleanup(s.tool.check)
	return s
}

// collector starts one more, with a directory and a registration of its own.
func (s *scene) collector(edit func(*Options)) *process {
	s.t.Helper()
	o := s.tool.options(endpoint, s.t.TempDir())
	if edit != nil {
		edit(&o)
	}
	c := run(s.t, o, s.fake)
	c.ended()
	return c
}

// assign hands the partition to the collector.
func (s *scene) assign(mode int32) {
	s.t.Helper()
	s.c.mustAdd(s.tool.assign(s.tab.assignment(s.p, mode)))
}

// reassign hands it to c with a new token, as recover and take-over do.
func (s *scene) reassign(c *process, edit func(*omsyncpb.Assignment)) {
	s.t.Helper()
	c.mustAdd(s.tool.retoken(s.p.PID, edit))
}

// exported waits until everything up to a log index is committed.
func (s *scene) exported(index uint64) {
	s.t.Helper()
	s.tool.until(fmt.Sprintf("log entry %d is exported", index), func() bool {
		x := s.tool.subs[s.p.PID]
		return x.point.GetPhase() == omsyncpb.Phase_PHASE_LOG && x.point.GetLogIndex() >= index
	})
}

// hold makes the synctool commit nothing.
func (s *scene) hold() {
	s.tool.mu.Lock()
	defer s.tool.mu.Unlock()
	s.tool.hold = true
}

// release makes it commit everything, and what comes.
func (s *scene) release() {
	s.tool.mu.Lock()
	s.tool.hold = false
	s.tool.mu.Unlock()
	s.tool.flush()
}

// failed waits for the fault that ends the assignment.
func (s *scene) failed(code string) *omsyncpb.Fault {
	s.t.Helper()
	var found *omsyncpb.Fault
	s.tool.until("a fault "+code, func() bool {
		for _, f := range s.tool.subs[s.p.PID].faults {
			if !f.GetRetry() {
				found = f.GetFault()
			}
		}
		return found != nil
	})
	if found.GetCode() != code || found.GetHint() == "" {
		s.t.Errorf("%v, want %s and a hint", found, code)
	}
	contains(s.t, found.GetReason(), s.p.Schema().Name+" partition 0")
	return found
}

// unfailed fails the test on a fault that ends an assignment.
func (s *scene) unfailed() {
	s.t.Helper()
	for _, f := range s.tool.sub(s.p.PID).faults {
		if !f.GetRetry() {
			s.t.Errorf("it failed: %v", f)
		}
	}
}

// words are the committed rows' last column, in their order.
func (s *scene) words() []string {
	s.t.Helper()
	var out []string
	for _, raw := range s.tool.sub(s.p.PID).rows {
		values, err := s.p.Schema().DecodeRow(raw)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, values[2].(string))
	}
	return out
}

// sub is the collector's subtask.
func (s *scene) sub() *subtask {
	s.t.Helper()
	all := s.c.c.reg.all()
	if len(all) != 1 {
		s.t.Fatalf("%d subtasks", len(all))
	}
	return all[0]
}

// newWords is an empty partition of a table (k, ts, word) with one index on k.
func newWords(t testing.TB, tsColumn string, logBytes int64) *tabletsim.Partition {
	t.Helper()
	return openWords(t, t.TempDir(), tsColumn, logBytes, apipb.TableMode_kTableLeader)
}

func openWords(t testing.TB, dir, tsColumn string, logBytes int64, mode apipb.TableMode) *tabletsim.Partition {
	t.Helper()
	schema, err := tabletsim.NewSchema(tabletsim.Spec{
		DB: "db", Name: "words", TID: 7, Partitions: 1, Storage: commonpb.StorageMode_kSSD,
		Columns: []tabletsim.Column{
			{Name: "k", Type: typepb.DataType_kString, NotNull: true}, {Name: "ts", Type: typepb.DataType_kTimestamp, NotNull: true},
			{Name: "word", Type: typepb.DataType_kString},
		},
		Indexes: []tabletsim.Index{{Name: "i", Columns: []string{"k"}, TsColumn: tsColumn}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := tabletsim.OpenPartition(dir, schema, 0, mode, 9, tabletsim.PartitionOptions{LogBytes: logBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill(false) }) // a partition that is killed already says so
	return p
}

// put writes a row and returns its log index. at is the put time, 0 = now.
func put(t testing.TB, p *tabletsim.Partition, key string, ts int64, word string, at uint64) uint64 {
	t.Helper()
	s, values := p.Schema(), []any{key, ts, word}
	row, err := s.Encode(values)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Put(t.Context(), tabletsim.Put{Time: at, Row: row, Dims: []tabletsim.Dim{{Idx: 0, Key: s.Key(0, values)}}})
	if err != nil {
		t.Fatal(err)
	}
	return a.Index
}

// fill puts n rows of distinct keys, whose words it returns, and the last index.
func fill(t testing.TB, p *tabletsim.Partition, from, n int) (words []string, last uint64) {
	t.Helper()
	for i := from; i < from+n; i++ {
		w := fmt.Sprintf("word-%05d", i)
		last = put(t, p, fmt.Sprintf("k%05d", i), int64(1000+i), w, 0)
		words = append(words, w)
	}
	return words, last
}

// logsOf lists the log files of a directory, oldest first.
func logsOf(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// shiftClock is the host's clock, moved on by a test.
type shiftClock struct{ by atomic.Int64 }

func (c *shiftClock) Now() time.Time                         { return time.Now().Add(time.Duration(c.by.Load())) }
func (c *shiftClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// health is the page /health.
func (p *process) health() (code int, body string) {
	p.t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	r, err := (&http.Client{Transport: tr, Timeout: waitFor}).Get("http://" + p.addr + "/health")
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// well waits until /health says that all is well.
func (p *process) well() {
	p.t.Helper()
	until(p.t, "/health is well", func() bool { code, _ := p.health(); return code == http.StatusOK })
}

// ill waits until /health names all of parts.
func (p *process) ill(parts ...string) {
	p.t.Helper()
	until(p.t, fmt.Sprintf("/health says %q", parts), func() bool {
		code, body := p.health()
		return code == http.StatusServiceUnavailable && containsAll(body, parts)
	})
}

// refusalOf is the fault an AddTask is refused with.
func refusalOf(t testing.TB, err error) *omsyncpb.Fault {
	t.Helper()
	f, ok := fault.Of(err)
	if status.Code(err) != codes.FailedPrecondition || !ok {
		t.Fatalf("%v is no refusal with a fault", err)
	}
	return f
}
