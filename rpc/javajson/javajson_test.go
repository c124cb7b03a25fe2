package javajson

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/omsyncpb"
)

// recorded splits a recorded exchange into the bodies of request and response and the path.
func recorded(t *testing.T, file string) (path, request, response string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ask, answer, ok := strings.Cut(string(b), "\n<<< response\n")
	if !ok {
		t.Fatalf("%s is no recorded exchange", file)
	}
	head, request, _ := strings.Cut(ask, "\r\n\r\n")
	_, response, _ = strings.Cut(answer, "\r\n\r\n")
	path = strings.Fields(strings.TrimPrefix(head, "\n>>> request\n"))[1]
	return path, request, strings.TrimSuffix(response, "\n") // the recorder's own newline
}

// What the Java SyncTool answered must come out byte for byte when its meaning is written again.
func TestWritesWhatTheJavaSyncToolWrote(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../testdata/helper/*.wire.txt")
	if len(files) < 10 {
		t.Fatalf("only %d recorded exchanges", len(files))
	}
	for _, file := range files {
		path, request, response := recorded(t, file)
		var in, out proto.Message
		switch path[strings.LastIndexByte(path, '/')+1:] {
		case "TaskStatus":
			in, out = &datasyncpb.TaskStatusRequest{}, &datasyncpb.TaskStatusResponse{}
		case "CreateSyncTask":
			in, out = &datasyncpb.CreateSyncTaskRequest{}, &datasyncpb.GeneralResponse{}
		case "DeleteSyncTask":
			in, out = &datasyncpb.DeleteSyncTaskRequest{}, &datasyncpb.GeneralResponse{}
		default:
			t.Fatalf("%s: path %s", file, path)
		}
		if err := Unmarshal([]byte(response), out); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		got, err := Append(nil, out)
		if err != nil || string(got) != response {
			t.Errorf("%s: %v\n got %s\nwant %s", file, err, got, response)
		}
		err = Unmarshal([]byte(request), in)
		bad := strings.Contains(file, "bad-mode") || strings.Contains(file, "negative-ts.wire") && strings.Contains(request, "-5")
		if (err != nil) != bad {
			t.Errorf("%s: request %s: %v", file, request, err)
		}
	}
}

func TestWritesEveryKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		m    proto.Message
		want string
	}{
		{&datasyncpb.GeneralResponse{}, "{\n}"},
		{&datasyncpb.GeneralResponse{Code: proto.Int32(0), Msg: proto.String("")}, "{\n  \"code\": 0,\n  \"msg\": \"\"\n}"},
		{&datasyncpb.TaskStatusResponse{Task: []*datasyncpb.Task{{}, {Count: proto.Uint64(math.MaxUint64)}}},
			"{\n  \"task\": [{\n  }, {\n    \"count\": \"18446744073709551615\"\n  }]\n}"},
		{&datasyncpb.TaskStatusRequest{ClearAll: proto.Bool(false)}, "{\n  \"clearAll\": false\n}"},
		{&omsyncpb.RecoverRequest{Pids: []uint32{1, 4294967295}, Reexport: true}, "{\n  \"pids\": [1, 4294967295],\n  \"reexport\": true\n}"},
		{&omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG, Key: []byte{0xff, 0xfe}, LogIndex: 1}, "{\n  \"phase\": \"PHASE_LOG\",\n  \"key\": \"//4=\",\n  \"logIndex\": \"1\"\n}"},
		{&omsyncpb.Point{Phase: 99}, "{\n  \"phase\": 99\n}"},
		{&omsyncpb.SubtaskView{RowsPerS: 1.5, BytesPerS: math.Inf(1), LagMs: -1}, "{\n  \"lagMs\": \"-1\",\n  \"rowsPerS\": 1.5,\n  \"bytesPerS\": \"Infinity\"\n}"},
		{&omsyncpb.SubtaskView{RowsPerS: 2}, "{\n  \"rowsPerS\": 2.0\n}"},
		{&structpb.Struct{Fields: map[string]*structpb.Value{"b": structpb.NewBoolValue(true), "a": structpb.NewNullValue()}},
			"{\n  \"fields\": {\n    \"a\": {\n      \"nullValue\": \"NULL_VALUE\"\n    },\n    \"b\": {\n      \"boolValue\": true\n    }\n  }\n}"},
	} {
		got, err := Append(nil, c.m)
		if err != nil || string(got) != c.want {
			t.Errorf("%v\n got %s\nwant %s", err, got, c.want)
		}
	}
}

func TestEscapesAsGson(t *testing.T) {
	t.Parallel()
	in := "a\"\\/\b\f\n\r\t\x00\x1f\x7f<>&='\u2028\u2029中é😀\xff"
	want := `"a\"\\/\b\f\n\r\t\u0000\u001f` + "\x7f" + `\u003c\u003e\u0026\u003d\u0027\u2028\u2029中é😀` + "\uFFFD" + `"`
	w := &writer{}
	if w.quote(in); string(w.out) != want {
		t.Errorf(" got %s\nwant %s", w.out, want)
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	full := &datasyncpb.CreateSyncTaskRequest{Db: proto.String("d"), Mode: datasyncpb.SyncMode_kIncrementalByTimestamp.Enum(), StartTs: proto.Uint64(5)}
	for _, c := range []struct{ name, in, fails string }{
		{"snake case", `{"db":"d","mode":1,"start_ts":5}`, ""},
		{"camel case, enum name, string", `{"db":"d","mode":"kIncrementalByTimestamp","startTs":"5"}`, ""},
		{"null is unset", ` {"db":"d","name":null,"dest":null,"mode":1,"start_ts":5} `, ""},
		{"exponent", `{"db":"d","mode":1,"start_ts":5e0}`, ""},
		{"unknown field", `{"db":"d","nope":1}`, `unknown field "nope"`},
		{"bad enum name", `{"mode":"kFuller"}`, "kFuller"},
		{"bad enum number", `{"mode":7}`, "mode: 7 is none of 0 kFull, 1 kIncrementalByTimestamp, 2 kFullAndContinuous"},
		{"bad enum number, text", `{"mode":"7"}`, "7"},
		{"broken", `{"db":"d"`, "unexpected EOF"},
		{"trailing", `{"db":"d"} x`, "x"},
		{"array", `[]`, "["},
		{"bare null", `null`, "null"},
		{"empty", ``, "unexpected token"},
		{"twice", `{"db":"d","db":"e"}`, "duplicate"},
		{"twice in two spellings", `{"start_ts":1,"startTs":2}`, "duplicate"},
		{"negative", `{"start_ts":-5}`, "-5"},
		{"too large", `{"start_ts":18446744073709551616}`, "18446744073709551616"},
		{"fraction", `{"start_ts":1.5}`, "1.5"},
		{"wrong type", `{"db":1}`, "1"},
		{"not UTF-8", "{\"db\":\"\xff\"}", "UTF-8"},
	} {
		m := &datasyncpb.CreateSyncTaskRequest{}
		err := Unmarshal([]byte(c.in), m)
		switch {
		case c.fails == "" && (err != nil || !proto.Equal(m, full)):
			t.Errorf("%s: %v %v", c.name, m, err)
		case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "proto:")):
			t.Errorf("%s: error %v, want it to hold %q", c.name, err, c.fails)
		}
	}
}

// A megabyte of brackets must be refused without a deep stack.
func TestBomb(t *testing.T) {
	t.Parallel()
	deep := []byte(`{"fields":` + strings.Repeat(`{"a":{"structValue":{"fields":`, 200_000))
	if err := Unmarshal(deep, &structpb.Struct{}); err == nil {
		t.Fatal("taken")
	}
	if err := Unmarshal(bytes.Repeat([]byte("["), 1<<20), &structpb.Value{}); err == nil {
		t.Fatal("taken")
	}
}

// What is read can be written, is JSON, and reads back the same.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(`{"response":{"code":0},"task":[{"progress":{"tid":7,"syncPoint":{"type":"kBINLOG","offset":"69"}},"count":1}],"readableInfo":["a=b;c"]}`))
	f.Add([]byte(`{"task":[{"status":"\ud83d\ude00<'&"}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := &datasyncpb.TaskStatusResponse{}
		if Unmarshal(in, m) != nil {
			return
		}
		out, err := Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out) {
			t.Fatalf("not JSON: %s", out)
		}
		again := &datasyncpb.TaskStatusResponse{}
		if err := Unmarshal(out, again); err != nil || !proto.Equal(m, again) {
			t.Fatalf("%v\n%v\n%v", err, m, again)
		}
	})
}
