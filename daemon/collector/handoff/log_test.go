package handoff

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/binlog"
	"omsync/openmldb/pb/apipb"
	"omsync/testenv/binlogw"
)

func dims(idxKey ...any) (out []*apipb.Dimension) {
	for i := 0; i < len(idxKey); i += 2 {
		out = append(out, &apipb.Dimension{Idx: proto.Uint32(uint32(idxKey[i].(int))), Key: proto.String(idxKey[i+1].(string))})
	}
	return out
}

func logOf(t *testing.T, list ...*apipb.LogEntry) *binlog.Reader {
	t.Helper()
	dir := t.TempDir()
	w, err := binlogw.Open(dir, binlogw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range list {
		if e.LogIndex == nil {
			e.LogIndex = proto.Uint64(uint64(i + 1))
		}
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := binlog.NewReader(binlog.OS(), dir, binlog.Options{})
	t.Cleanup(func() { r.Close() })
	return r
}

// index0 reads values of the form "ts:value" and marks keys, so that a test sees that they went through Key.
func index0(tsName string) Index0 {
	return Index0{
		TsName: tsName,
		Key:    func(dst, pk []byte) []byte { return append(append(dst, '<'), pk...) },
		Row: func(value []byte) (ts uint64, hash [16]byte, err error) {
			n := 0
			if _, err := fmt.Sscanf(string(value), "%d:%d", &ts, &n); err != nil {
				return 0, hash, fmt.Errorf("row %q: %w", value, err)
			}
			return ts, hashOf(n), nil
		},
	}
}

func logPut(value string, ts uint64, d ...any) *apipb.LogEntry {
	return &apipb.LogEntry{Value: []byte(value), Ts: proto.Uint64(ts), Dimensions: dims(d...)}
}

func logDelete(e *apipb.LogEntry) *apipb.LogEntry {
	e.MethodType = apipb.MethodType_kDelete.Enum()
	return e
}

// TestLogEntries: which entries concern base index 0, and how.
func TestLogEntries(t *testing.T) {
	t.Parallel()
	const all = math.MaxUint64
	tests := []struct {
		name   string
		tsName string
		e      *apipb.LogEntry
		want   *Entry // nil: does not concern index 0
	}{
		{"put with a key of index 0", "ts", logPut("7:1", 99, 1, "b", 0, "a"), &Entry{Op: Put, Key: []byte("<a"), Ts: 7, Hash: hashOf(1), PutMs: 99}},
		{"put without a key of index 0 lives in another partition", "ts", logPut("7:1", 99, 1, "b", 2, "c"), nil},
		{"put without any key", "ts", logPut("7:1", 99), nil},
		{"empty key", "ts", logPut("7:1", 99, 0, ""), &Entry{Op: Put, Key: []byte("<"), Ts: 7, Hash: hashOf(1), PutMs: 99}},
		{"no ts column: the put time is the ts", "", logPut("7:1", 99, 0, "a"), &Entry{Op: Put, Key: []byte("<a"), Ts: 99, Hash: hashOf(1), PutMs: 99}},
		{"put time not known", "ts", &apipb.LogEntry{Value: []byte("7:1"), Dimensions: dims(0, "a")}, &Entry{Op: Put, Key: []byte("<a"), Ts: 7, Hash: hashOf(1), PutMs: all}},
		{"delete of a key", "ts", logDelete(&apipb.LogEntry{Dimensions: dims(0, "a")}), &Entry{Op: Delete, Key: []byte("<a"), StartTs: all}},
		{"delete of a range of a key", "ts", logDelete(&apipb.LogEntry{Dimensions: dims(0, "a"), Ts: proto.Uint64(9), EndTs: proto.Uint64(3), TsName: proto.String("ts")}),
			&Entry{Op: Delete, Key: []byte("<a"), StartTs: 9, EndTs: 3}},
		{"delete with start 0", "ts", logDelete(&apipb.LogEntry{Dimensions: dims(0, "a"), Ts: proto.Uint64(0)}), &Entry{Op: Delete, Key: []byte("<a")}},
		{"delete of another index", "ts", logDelete(&apipb.LogEntry{Dimensions: dims(1, "a")}), nil},
		{"keyless delete by index 0's ts column", "ts", logDelete(&apipb.LogEntry{TsName: proto.String("ts"), EndTs: proto.Uint64(3)}), &Entry{Op: DeleteAll, StartTs: all, EndTs: 3}},
		{"keyless delete by another ts column", "ts", logDelete(&apipb.LogEntry{TsName: proto.String("ts2")}), nil},
		{"keyless delete without a ts column does not concern an index that has one", "ts", logDelete(&apipb.LogEntry{}), nil},
		{"keyless delete concerns an index by put time", "", logDelete(&apipb.LogEntry{Ts: proto.Uint64(5)}), &Entry{Op: DeleteAll, StartTs: 5}},
		{"keyless delete concerns an index by put time whatever column it names", "", logDelete(&apipb.LogEntry{TsName: proto.String("ts2")}), &Entry{Op: DeleteAll, StartTs: all}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := NewLog(logOf(t, tt.e), 1, index0(tt.tsName))
			got, err := l.Next()
			if tt.want == nil {
				if !errors.Is(err, io.EOF) {
					t.Fatalf("got %+v, %v", got, err)
				}
				return
			}
			tt.want.Index = 1
			if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", *tt.want) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, *tt.want)
			}
			if _, err := l.Next(); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		})
	}
}

func TestLogEndsAtZ(t *testing.T) {
	t.Parallel()
	puts := func(n int) (out []*apipb.LogEntry) {
		for range n {
			out = append(out, logPut("7:1", 99, 0, "a"))
		}
		return out
	}
	count := func(l *EntryLog) (n int, err error) {
		for {
			if _, err := l.Next(); err != nil {
				return n, err
			}
			n++
		}
	}
	l := NewLog(logOf(t, puts(5)...), 3, index0("ts"))
	if n, err := count(l); n != 3 || !errors.Is(err, io.EOF) || l.Mark().Index != 3 || l.Mark().CRC == 0 || l.First != 1 {
		t.Errorf("z in the middle: %d entries, %v, %+v", n, err, l.Mark())
	}
	l = NewLog(logOf(t, append(puts(2), logPut("7:1", 99, 1, "b"))...), 3, index0("ts"))
	if n, err := count(l); n != 2 || !errors.Is(err, io.EOF) || l.Mark().Index != 3 || l.Mark().CRC == 0 || l.Foreign != 1 {
		t.Errorf("z is a foreign put: %d entries, %v, %+v", n, err, l.Mark())
	}
	if n, err := count(NewLog(logOf(t), 0, index0("ts"))); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("empty log: %d entries, %v", n, err)
	}
	var short *ShortLogError
	if _, err := count(NewLog(logOf(t, puts(2)...), 3, index0("ts"))); !errors.As(err, &short) || short.Last != 2 {
		t.Errorf("the log ends before z: %v", err)
	}
	over := puts(2)
	over[1].LogIndex = proto.Uint64(9)
	if _, err := count(NewLog(logOf(t, over...), 3, index0("ts"))); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("z is a hole: %v", err)
	}
	if _, err := count(NewLog(logOf(t, logPut("?", 99, 0, "a")), 1, index0("ts"))); err == nil || !strings.Contains(err.Error(), "log entry 1 (file 0, offset 0)") {
		t.Errorf("bad row: %v", err)
	}
}
