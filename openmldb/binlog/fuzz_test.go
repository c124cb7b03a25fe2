package binlog

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
)

// FuzzReader reads any bytes as a log of two files: no panic, an end, and entries in ascending order; LastIndex and Seek agree with reading.
func FuzzReader(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(fixtures, "11[02]_*", "binlog", "*.log"))
	if err != nil || len(paths) == 0 {
		f.Fatal("no fixtures")
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, len(b)/2, true)
		f.Add(b, len(b), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int, skip bool) {
		cut = min(max(cut, 0), len(b))
		dir := t.TempDir()
		for name, part := range map[string][]byte{"00000000.log": b[:cut], "00000001.log": b[cut:]} {
			if err := os.WriteFile(filepath.Join(dir, name), part, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r := NewReader(OS(), dir, Options{SkipBadBlocks: skip})
		defer r.Close()
		last, entries := uint64(0), 0
		var at []Position
		for {
			e, err := r.Next()
			if err != nil {
				if _, again := r.Next(); again == nil {
					t.Fatalf("an entry after %v", err)
				}
				checkKnown(t, err)
				break
			}
			if e.Index <= last {
				t.Fatalf("entry %d after %d", e.Index, last)
			}
			last = e.Index
			at = append(at, e.Pos)
			if entries++; entries > len(b) {
				t.Fatal("more entries than bytes")
			}
		}
		if _, err := LastIndex(context.Background(), OS(), dir); err != nil {
			checkKnown(t, err)
		}
		for _, index := range []uint64{1, last / 2, last} {
			if index == 0 {
				continue
			}
			if err := r.Seek(context.Background(), index); err != nil {
				checkKnown(t, err)
			} else if e, err := r.Next(); err == nil && e.Index < index {
				t.Fatalf("seek %d: entry %d", index, e.Index)
			}
		}
		if n := len(at); n > 0 {
			if err := r.SeekPosition(context.Background(), at[n-1], last); err != nil {
				checkKnown(t, err)
			} else if e, err := r.Next(); err == nil && e.Index < last {
				t.Fatalf("position of %d: entry %d", last, e.Index)
			}
		}
	})
}

func checkKnown(t *testing.T, err error) {
	t.Helper()
	var gap *GapError
	var trimmed *TrimmedError
	if !errors.Is(err, ErrTail) && !isCorrupt(err) && !errors.As(err, &gap) && !errors.As(err, &trimmed) {
		t.Fatal(err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// FuzzEntry decodes any bytes as an entry. What protobuf accepts we read alike; what it refuses we refuse.
func FuzzEntry(f *testing.F) {
	for _, e := range []*apipb.LogEntry{entryOf(1, 3), {LogIndex: proto.Uint64(9), MethodType: apipb.MethodType_kDelete.Enum(), TsName: proto.String("ts"), EndTs: proto.Uint64(0)}} {
		b, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Entry
		got := e.decode(b)
		var want apipb.LogEntry
		if err := proto.Unmarshal(b, &want); err != nil {
			return // stricter than we in fields that we pass over
		}
		if got != nil {
			if m := want.GetMethodType(); want.GetLogIndex() == 0 || m != apipb.MethodType_kPut && m != apipb.MethodType_kDelete {
				return // no index, or a method nobody knows
			}
			t.Fatalf("refused: %v", got)
		}
		if e.Index != want.GetLogIndex() || e.Term != want.GetTerm() || e.TS != want.GetTs() || string(e.Value) != string(want.GetValue()) || e.TsName != want.GetTsName() ||
			len(e.Dims) != len(want.GetDimensions()) || uint8(e.Method) != uint8(want.GetMethodType()) {
			t.Fatalf("got %+v, want %v", e, &want)
		}
		for i, d := range want.GetDimensions() {
			if string(e.Dims[i].Key) != d.GetKey() || e.Dims[i].Idx != d.GetIdx() {
				t.Fatalf("dimension %d: %+v, want %v", i, e.Dims[i], d)
			}
		}
	})
}
