package coord

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

// TestValues: what lies in ZooKeeper outlives releases, so its text is fixed here.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		v    any
		text string
	}{
		{"first state", SubtaskState{Schema: 1, Status: Init}, `{"schema":1,"status":"INIT","seq":0,"point":{"phase":""},"counters":{"rows":0,"bytes":0},"files":0,"generation":"0000000000000000"}`},
		{"full state", SubtaskState{
			Schema: 1, Status: Failed, Code: "log-gap", Reason: "why", Hint: "what", Generation: math.MaxUint64, Collector: "c:1", Tablet: "t:1", Token: "tok", Seq: 4,
			Point: Point{"LOG", []byte{1, 2}, math.MaxUint64}, SnapshotDone: true, Published: true, PublishDone: true, PublishSeq: 3,
			Plan: &PlanRef{"f", 1, 2, "p", 3, 4}, Pending: &Pending{"s", "f", 1, 2, 3, 0, &Pending{"t", "h", 4, 5, 0, 6, nil}}, Mark: &Mark{1, 2, 3},
			Counters: Counters{1, 2, 3, 4, 5, 6, 7, 8, 9}, Files: 4, SkipBadBlocks: true, UpdatedMs: 5, CommittedMs: 6,
		}, `{"schema":1,"status":"FAILED","code":"log-gap","reason":"why","hint":"what","collector":"c:1","tablet":"t:1","token":"tok","seq":4,` +
			`"point":{"phase":"LOG","key":"AQI=","index":18446744073709551615},"snapshot_done":true,"published":true,"publish_done":true,"publish_seq":3,` +
			`"plan":{"file":"f","crc":1,"z":2,"pin":"p","now_ms":3,"backlog_rows":4},"pending":{"stage":"s","final":"f","len":1,"crc":2,"rows":3,"next":{"stage":"t","final":"h","len":4,"crc":5,"rows":0,"deletes":6}},` +
			`"mark":{"index":1,"term":2,"crc":3},"counters":{"rows":1,"bytes":2,"expired":3,"filtered":4,"deletes":5,"foreign":6,"repeated":7,"holes":8,"skipped_blocks":9},` +
			`"files":4,"skip_bad_blocks":true,"updated_ms":5,"committed_ms":6,"generation":"ffffffffffffffff"}`},
		{"spec", TaskSpec{Schema: 1, ID: "t7-a", TID: 7, DB: "d", Table: "t", Mode: 1, StartTS: 5, Dest: "/x", Format: "csv", Dialect: "upstream", TimeZone: "UTC", Deletes: "log",
			Partitions: []uint32{0, 1}, CreatedMs: 9, Deleting: true, AllowNonempty: true},
			`{"schema":1,"id":"t7-a","tid":7,"db":"d","table":"t","mode":1,"start_ts":5,"dest":"/x","format":"csv","dialect":"upstream","time_zone":"UTC","deletes":"log",` +
				`"partitions":[0,1],"created_ms":9,"deleting":true,"allow_nonempty":true}`},
		{"collector", CollectorRecord{1, "e:1", "e", "1.0", "/d", Active, 5, "i", "e:1"},
			`{"schema":1,"endpoint":"e:1","host":"e","version":"1.0","data_dir":"/d","state":"active","since_ms":5,"instance":"i","http":"e:1"}`},
		{"epoch", epochValue{1, 3, "a:1", "n", 5}, `{"schema":1,"epoch":3,"leader":"a:1","nonce":"n","begun_ms":5}`},
	} {
		b, err := json.Marshal(tc.v)
		must(t, err)
		if string(b) != tc.text {
			t.Errorf("%s:\n%s\nwant\n%s", tc.name, b, tc.text)
		}
		back := reflect.New(reflect.TypeOf(tc.v))
		must(t, decode("x", b, back.Interface()))
		if !reflect.DeepEqual(back.Elem().Interface(), tc.v) {
			t.Errorf("%s came back as %+v", tc.name, back.Elem())
		}
	}
}

// TestLongTexts: an error's words must not keep a state from being written.
func TestLongTexts(t *testing.T) {
	t.Parallel()
	b, err := encodeState("x", SubtaskState{Reason: strings.Repeat("é", 1<<20), Hint: strings.Repeat("h", maxText)})
	must(t, err)
	var st SubtaskState
	must(t, decode("x", b, &st))
	if len(st.Reason) > maxText+8 || !strings.HasSuffix(st.Reason, "…") || len(st.Hint) != maxText {
		t.Fatalf("reason of %d bytes, hint of %d", len(st.Reason), len(st.Hint))
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"schema":1,"status":"INIT","generation":"00000000000000ff","point":{"phase":"LOG","key":"AQI="}}`))
	f.Add([]byte(`{"schema":2}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var st SubtaskState
		if decode("x", b, &st) != nil {
			return
		}
		again, err := encode("x", st)
		if err != nil {
			t.Fatal(err)
		}
		var back SubtaskState
		if err := decode("x", again, &back); err != nil || !reflect.DeepEqual(st, back) {
			t.Fatalf("%+v came back as %+v, %v", st, back, err)
		}
	})
}

func BenchmarkEncodeState(b *testing.B) {
	st := SubtaskState{Status: Running, Generation: 1, Collector: "10.0.0.1:9500", Tablet: "10.0.0.1:9527", Point: Point{Phase: "LOG", Index: 5}, Pending: &Pending{Stage: "s", Final: "f"}}
	for b.Loop() {
		if _, err := encodeState("x", st); err != nil {
			b.Fatal(err)
		}
	}
}
