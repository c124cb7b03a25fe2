package port

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/javajson"
)

// replayer answers as the recorded SyncTool did and keeps what it was asked.
type replayer struct {
	datasyncpb.UnimplementedSyncToolServer
	mu     sync.Mutex
	answer string
	asked  proto.Message
}

func (r *replayer) say(in, out proto.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = in
	return javajson.Unmarshal([]byte(r.answer), out)
}

func (r *replayer) CreateSyncTask(_ context.Context, in *datasyncpb.CreateSyncTaskRequest) (*datasyncpb.GeneralResponse, error) {
	out := &datasyncpb.GeneralResponse{}
	return out, r.say(in, out)
}

func (r *replayer) DeleteSyncTask(_ context.Context, in *datasyncpb.DeleteSyncTaskRequest) (*datasyncpb.GeneralResponse, error) {
	out := &datasyncpb.GeneralResponse{}
	return out, r.say(in, out)
}

func (r *replayer) TaskStatus(_ context.Context, in *datasyncpb.TaskStatusRequest) (*datasyncpb.TaskStatusResponse, error) {
	out := &datasyncpb.TaskStatusResponse{}
	return out, r.say(in, out)
}

// What the Python helper sent must be answered as the Java SyncTool answered it: status code, content type, body.
func TestAnswersTheRecordedHelper(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../testdata/helper/*.wire.txt")
	if len(files) < 10 {
		t.Fatalf("only %d recorded exchanges", len(files))
	}
	s, r := New(Options{}), &replayer{}
	datasyncpb.RegisterSyncToolServer(s, r)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	defer func() { cancel(); <-done }()
	conn, err := net.Dial("tcp", l.Addr().String()) // one kept-alive connection for all
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ask, answer, _ := strings.Cut(strings.TrimPrefix(string(b), "\n>>> request\n"), "\n<<< response\n")
		head, body, _ := strings.Cut(answer, "\r\n\r\n")
		body = strings.TrimSuffix(body, "\n") // the recorder's own newline
		r.mu.Lock()
		r.answer = body
		r.mu.Unlock()
		if _, err := conn.Write([]byte(ask)); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		text, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		for name, why := range map[string]string{"bad-mode": "mode: 7 is none of 0 kFull", "21-create-negative-ts": "field startTs: -5"} {
			if strings.Contains(file, name) { // not readable: the service answers itself
				if !strings.HasPrefix(string(text), "{\n  \"code\": -1,\n  \"msg\": \"request body: ") || !strings.Contains(string(text), why) {
					t.Errorf("%s: %s", file, text)
				}
				body, head = string(text), strings.ReplaceAll(head, "content-length: ", fmt.Sprintf("content-length: %d was ", len(text)))
			}
		}
		if !strings.HasPrefix(head, "HTTP/1.1 "+got.Status) || !strings.Contains(head, "content-type: "+got.Header.Get("Content-Type")) ||
			!strings.Contains(head, fmt.Sprintf("content-length: %d", got.ContentLength)) || string(text) != body {
			t.Errorf("%s:\n got %s %v\n%s\nwant %s\n%s", file, got.Status, got.Header, text, head, body)
		}
	}
}

// RefuseJSON implements JSONRefuser.
func (r *replayer) RefuseJSON(method string, err error) proto.Message {
	if method != "CreateSyncTask" {
		return nil
	}
	return &datasyncpb.GeneralResponse{Code: proto.Int32(-1), Msg: proto.String(err.Error())}
}

func do(t *testing.T, h *http.Client, method, url, contentType string, body []byte) (int, string, string) {
	t.Helper()
	q, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		q.Header.Set("Content-Type", contentType)
	}
	r, err := h.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), string(b)
}

func TestHTTPRequests(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	h := browser(t)
	const call, json = "/openmldb.datasync.SyncTool/SendData", "application/json"
	hi := []byte(`{"token":"hi"}`)
	answer := "{\n  \"response\": {\n    \"code\": 0,\n    \"msg\": \"hi\"\n  }\n}"
	for _, c := range []struct {
		name, method, path, contentType string
		body                            []byte
		code                            int
		want                            string
	}{
		{"post", "POST", call, json, hi, 200, answer},
		{"get with a body", "GET", call, json, hi, 200, answer},
		{"charset", "POST", call, json + "; charset=UTF-8", hi, 200, answer},
		{"handler refuses", "POST", call, json, []byte(`{"token":"refuse"}`), 400, "not here\n"},
		{"no content type", "POST", call, "", hi, 400, call + ": no Content-Type: send application/json or application/proto\n"},
		{"other content type", "POST", call, "text/xml", hi, 400, call + ": Content-Type \"text/xml\" is not served: send application/json or application/proto\n"},
		{"no body", "POST", call, json, nil, 400, call + ": the body is empty: send a JSON object, {} at least\n"},
		{"get without a body", "GET", call, "", nil, 400, call + ": no Content-Type: send application/json or application/proto\n"},
		{"unknown field", "POST", call, json, []byte(`{"nope":1}`), 400, `unknown field "nope"`},
		{"missing required field", "POST", call, json, []byte(`{"start_point":{"offset":1}}`), 400, "required"},
		{"bad enum", "POST", call, json, []byte(`{"start_point":{"type":"kNope"}}`), 400, "kNope"},
		{"broken", "POST", call, json, []byte(`{"token":`), 400, "request body: "},
		{"broken proto", "POST", call, "application/proto", []byte{0xff}, 400, call + ": "},
		{"put", "PUT", call, json, hi, 200, answer},
		{"delete", "DELETE", call, json, hi, 405, "use POST"},
		{"unknown method", "POST", "/openmldb.datasync.SyncTool/Nope", json, hi, 400, "no method /openmldb.datasync.SyncTool/Nope here"},
		{"unknown method, get", "GET", "/openmldb.datasync.SyncTool/Nope", "", nil, 400, "no method"},
		{"short service name", "POST", "/SyncTool/SendData", json, hi, 400, "no method /SyncTool/SendData here"},
		{"unknown path, post", "POST", "/nope", json, hi, 400, "no method /nope here"},
		{"unknown page", "GET", "/nope", "", nil, 404, "no page /nope here"},
		{"not implemented", "POST", "/openmldb.datasync.SyncTool/TaskStatus", json, []byte("{}"), 400, "not implemented"},
		{"stream", "POST", "/omsync.v1.Ingest/Stream", json, []byte("{}"), 400, "no method"},
	} {
		code, ct, body := do(t, h, c.method, "http://"+s.addr+c.path, c.contentType, c.body)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %q, want %d %q", c.name, code, body, c.code, c.want)
		}
		if code == 200 && ct != c.contentType {
			t.Errorf("%s: answered with %q", c.name, ct)
		}
	}
	in, err := proto.Marshal(&datasyncpb.SendDataRequest{Token: proto.String("bin")})
	if err != nil {
		t.Fatal(err)
	}
	code, ct, body := do(t, h, "POST", "http://"+s.addr+call, "application/proto", in)
	var out datasyncpb.SendDataResponse
	if err := proto.Unmarshal([]byte(body), &out); err != nil || code != 200 || ct != "application/proto" || out.GetResponse().GetMsg() != "bin" {
		t.Errorf("binary: %d %q %v %v", code, ct, &out, err)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var reasons []string
	s := start(t, Options{Pages: Pages{
		Version: "omsync 1.2.3-abc",
		Status:  func(w io.Writer) { fmt.Fprintln(w, "subtask 7/0 RUNNING") },
		Health:  func(context.Context) []string { mu.Lock(); defer mu.Unlock(); return reasons },
		Metrics: func(w io.Writer) error { _, err := fmt.Fprintln(w, "omsync_rows_total 5"); return err },
		Extra:   map[string]http.Handler{"/extra": http.NotFoundHandler()},
	}})
	h := browser(t)
	if _, err := send(t.Context(), grpcTo(t, s.addr), "x"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := post(h, s.addr, `{"token":"refuse"}`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		code int
		want []string
	}{
		{"/version", 200, []string{"omsync 1.2.3-abc\n"}},
		{"/health", 200, []string{"ok\n"}},
		{"/status", 200, []string{"version omsync 1.2.3-abc", "subtask 7/0 RUNNING", "/openmldb.datasync.SyncTool/SendData  2      1", "not here"}},
		{"/", 200, []string{"subtask 7/0 RUNNING"}},
		{"/metrics", 200, []string{
			`omsync_rpc_calls_total{method="/openmldb.datasync.SyncTool/SendData",protocol="grpc"} 1`,
			`omsync_rpc_errors_total{method="/openmldb.datasync.SyncTool/SendData",protocol="http"} 1`,
			`omsync_rpc_seconds_count{method="/openmldb.datasync.SyncTool/SendData"} 2`,
			"# TYPE omsync_rpc_seconds histogram\n", "omsync_rpc_inflight_bytes 0\n", "omsync_rows_total 5\n"}},
		{"/extra", 404, []string{"404 page not found"}},
		{"/debug/pprof/", 200, []string{"goroutine"}},
		{"/debug/pprof/cmdline", 200, []string{"port.test"}},
	} {
		code, body := get(t, h, s.addr, c.path)
		for _, w := range c.want {
			if code != c.code || !strings.Contains(body, w) {
				t.Errorf("%s: %d, want %d with %q in\n%s", c.path, code, c.code, w, body)
			}
		}
	}
	mu.Lock()
	reasons = []string{"ZooKeeper is not connected", "spool is full"}
	mu.Unlock()
	if code, body := get(t, h, s.addr, "/health"); code != 503 || body != "ZooKeeper is not connected\nspool is full\n" {
		t.Errorf("/health: %d %q", code, body)
	}
}

func TestProfilesAreForThisMachine(t *testing.T) {
	t.Parallel()
	s := New(Options{Pages: Pages{NoStatus: true}})
	for addr, want := range map[string]int{"127.0.0.1:5": 200, "[::1]:5": 200, "10.0.0.1:5": 403, "nonsense": 403} {
		w := &recorder{header: http.Header{}, code: 200}
		s.page("/debug/pprof/cmdline").ServeHTTP(w, &http.Request{RemoteAddr: addr})
		if w.code != want {
			t.Errorf("%s: %d, want %d", addr, w.code, want)
		}
	}
	if s.page("/status") != nil || s.page("/") != nil {
		t.Error("/status is served in spite of NoStatus")
	}
}

type recorder struct {
	header http.Header
	code   int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }

func TestShortDurations(t *testing.T) {
	t.Parallel()
	for in, want := range map[time.Duration]string{0: "0s", 999: "999ns", 123456: "123µs", 1234567890: "1.23s", 61 * time.Second: "1m1s"} {
		if got := short(in).String(); got != want {
			t.Errorf("short(%d) = %s, want %s", in, got, want)
		}
	}
	m := &methodStats{}
	for i := range 100 {
		m.end(viaGRPC, nil, time.Duration(i)*time.Millisecond)
	}
	if p50, p99 := m.quantile(0.5), m.quantile(0.99); p50 < 50*time.Millisecond || p50 > 64*time.Millisecond || p99 != 99*time.Millisecond {
		t.Errorf("p50 %s p99 %s", p50, p99)
	}
}

var _ grpc.ServiceRegistrar = (*Server)(nil)
