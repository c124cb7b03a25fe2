package handoff

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// put and the like write a log in the tests' tables; value stands for the row.
func put(index uint64, key string, ts uint64, value int) Entry {
	return Entry{Index: index, Op: Put, Key: []byte(key), Ts: ts, Hash: hashOf(value), PutMs: 1_000_000}
}

func putAt(index uint64, key string, ts uint64, value int, ms uint64) Entry {
	e := put(index, key, ts, value)
	e.PutMs = ms
	return e
}

func del1(index uint64, key string, start, end uint64) Entry {
	return Entry{Index: index, Op: Delete, Key: []byte(key), StartTs: start, EndTs: end}
}

func delAll(index uint64, start, end uint64) Entry {
	return Entry{Index: index, Op: DeleteAll, StartTs: start, EndTs: end}
}

func inS(key string, ts uint64, value int) sRow {
	return sRow{Row{Key: []byte(key), Ts: ts}, hashOf(value)}
}

// TestRule has a case for each clause of the rule. Near is 10, the clock tolerance 100 ms.
func TestRule(t *testing.T) {
	t.Parallel()
	const all = math.MaxUint64
	tests := []struct {
		name     string
		log      []Entry
		rows     []sRow // nil: no checkpoint
		manifest uint64
		ckptMs   int64
		ttl      uint64
		now      int64
		backlog  []uint64
		vanished uint64
		expired  uint64
	}{
		{name: "no checkpoint: all live puts", log: []Entry{put(1, "a", 1, 1), put(2, "b", 1, 2)}, backlog: []uint64{1, 2}},
		{name: "E: what the snapshot lacks", log: []Entry{put(1, "a", 1, 1), put(2, "b", 1, 2)}, rows: []sRow{inS("a", 1, 1)}, backlog: []uint64{2}},
		{name: "not in E: what the snapshot has", log: []Entry{put(1, "a", 1, 1)}, rows: []sRow{inS("a", 1, 1)}},
		{name: "E: the snapshot has another value at (key, ts)", log: []Entry{put(1, "a", 1, 1), put(2, "a", 1, 2)}, rows: []sRow{inS("a", 1, 1)}, backlog: []uint64{2}},
		{name: "E: the snapshot has the value at another ts", log: []Entry{put(1, "a", 1, 1), put(2, "a", 2, 1)}, rows: []sRow{inS("a", 1, 1)}, backlog: []uint64{2}},
		{name: "manifest.offset bounds nothing", log: []Entry{put(1, "a", 1, 1), put(2, "b", 1, 2)}, rows: []sRow{inS("a", 1, 1)}, manifest: 999, backlog: []uint64{2}},
		{name: "touched by a later put of the same (key, ts)", log: []Entry{put(1, "a", 1, 1), put(2, "a", 1, 2)}, backlog: []uint64{2}},
		{name: "an identical rewrite counts once", log: []Entry{put(1, "a", 1, 1), put(2, "a", 1, 1)}, backlog: []uint64{2}},
		{name: "touched by a put whose value the snapshot has", log: []Entry{put(1, "a", 1, 2), put(2, "a", 1, 1)}, rows: []sRow{inS("a", 1, 1)}},
		{name: "another key or ts does not touch", log: []Entry{put(1, "a", 1, 1), put(2, "ab", 1, 2), put(3, "a", 2, 3)}, backlog: []uint64{1, 2, 3}},
		{name: "touched by a delete of its key", log: []Entry{put(1, "a", 5, 1), del1(2, "a", all, 0)}},
		{name: "an earlier delete does not touch", log: []Entry{del1(1, "a", all, 0), put(2, "a", 5, 1)}, backlog: []uint64{2}},
		{name: "a delete of another key does not touch", log: []Entry{put(1, "a", 5, 1), del1(2, "b", all, 0)}, backlog: []uint64{1}},
		{name: "a delete's start is inclusive", log: []Entry{put(1, "a", 5, 1), put(2, "a", 6, 2), del1(3, "a", 5, 0)}, backlog: []uint64{2}},
		{name: "a delete's end is exclusive", log: []Entry{put(1, "a", 5, 1), put(2, "a", 6, 2), del1(3, "a", all, 5)}, backlog: []uint64{1}},
		{name: "ts 0 is never covered", log: []Entry{put(1, "a", 0, 1), put(2, "a", 1, 1), del1(3, "a", all, 0), delAll(4, all, 0)}, backlog: []uint64{1}},
		{name: "touched by a keyless delete", log: []Entry{put(1, "a", 5, 1), put(2, "b", 9, 1), delAll(3, 5, 0)}, backlog: []uint64{2}},
		{name: "an earlier keyless delete does not touch", log: []Entry{delAll(1, all, 0), put(2, "a", 5, 1)}, backlog: []uint64{2}},
		{name: "expired at the pin", log: []Entry{put(1, "a", 50, 1), put(2, "a", 51, 2)}, ttl: 50, now: 100, backlog: []uint64{2}, expired: 1},
		{name: "no ttl, no expiry", log: []Entry{put(1, "a", 50, 1)}, now: 1 << 40, backlog: []uint64{1}},

		{name: "vanished: all three hold", log: []Entry{putAt(1, "x", 1, 9, 10), putAt(2, "a", 1, 1, 990)}, rows: []sRow{inS("a", 1, 1)}, manifest: 2, ckptMs: 1000, vanished: 1},
		{name: "vanished: S is empty, p has no bound", log: []Entry{putAt(1, "x", 1, 9, 10)}, rows: []sRow{}, manifest: 1, ckptMs: 1000, vanished: 1},
		{name: "vanished needs an index near p", log: []Entry{putAt(2, "a", 1, 1, 10), putAt(12, "x", 1, 8, 10), putAt(13, "y", 1, 9, 10)}, rows: []sRow{inS("a", 1, 1)}, manifest: 99, ckptMs: 1000,
			backlog: []uint64{13}, vanished: 1},
		{name: "vanished needs an index near manifest.offset", log: []Entry{putAt(12, "x", 1, 8, 10), putAt(13, "y", 1, 9, 10)}, rows: []sRow{}, manifest: 2, ckptMs: 1000, backlog: []uint64{13}, vanished: 1},
		{name: "vanished needs an old put time", log: []Entry{putAt(1, "x", 1, 8, 899), putAt(2, "y", 1, 9, 900)}, rows: []sRow{}, manifest: 2, ckptMs: 1000, backlog: []uint64{2}, vanished: 1},
		{name: "vanished needs a put time", log: []Entry{putAt(1, "x", 1, 8, all)}, rows: []sRow{}, manifest: 2, ckptMs: 1000, backlog: []uint64{1}},
		{name: "vanished needs a checkpoint", log: []Entry{putAt(1, "x", 1, 8, 10)}, manifest: 2, ckptMs: 1000, backlog: []uint64{1}},
		{name: "p is 0 when one row is not in the retained log", log: []Entry{putAt(11, "x", 1, 8, 10), putAt(12, "a", 1, 1, 10)}, rows: []sRow{inS("a", 1, 1), inS("b", 1, 1)}, manifest: 99, ckptMs: 1000,
			backlog: []uint64{11}},
		{name: "p is 0 when a row's value is not in the retained log", log: []Entry{putAt(11, "x", 1, 8, 10), putAt(12, "a", 1, 2, 10)}, rows: []sRow{inS("a", 1, 1)}, manifest: 99, ckptMs: 1000,
			backlog: []uint64{11, 12}},
		{name: "p takes a row's last put", log: []Entry{putAt(1, "a", 1, 1, 10), putAt(25, "x", 1, 8, 10), putAt(30, "a", 1, 1, 10)}, rows: []sRow{inS("a", 1, 1)}, manifest: 99, ckptMs: 1000, vanished: 1},
		{name: "p takes a row's last put, not one with another value", log: []Entry{putAt(1, "a", 1, 1, 10), putAt(25, "x", 1, 8, 10), putAt(30, "a", 1, 2, 10)}, rows: []sRow{inS("a", 1, 1)}, manifest: 99, ckptMs: 1000,
			backlog: []uint64{25, 30}},
		{name: "an expired row of S counts for p", log: []Entry{putAt(1, "a", 1, 1, 10), putAt(25, "x", 99, 8, 10)}, rows: []sRow{inS("a", 1, 1)}, manifest: 99, ckptMs: 1000, ttl: 50, now: 100, backlog: []uint64{25}},
	}
	for _, tt := range tests {
		for _, batch := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s/batch %d", tt.name, batch), func(t *testing.T) {
				t.Parallel()
				in := Input{Log: &entries{tt.log}, ManifestOffset: tt.manifest, CheckpointMs: tt.ckptMs, TTLMs: tt.ttl, NowMs: tt.now}
				if tt.rows != nil {
					in.Rows = &rowList{rows: tt.rows}
				}
				p, err := Compute(context.Background(), in, Options{TempDir: t.TempDir(), Near: 10, ClockTolerance: 100 * time.Millisecond, Batch: batch})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(p.Backlog.Slice(), tt.backlog) || p.Vanished != tt.vanished || p.Expired != tt.expired {
					t.Errorf("E %v, vanished %d, expired %d; want %v, %d, %d", p.Backlog.Slice(), p.Vanished, p.Expired, tt.backlog, tt.vanished, tt.expired)
				}
			})
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	log := func(n uint64) *entries {
		l := &entries{}
		for i := range n {
			l.list = append(l.list, put(i+1, fmt.Sprint(i), 1, 1))
		}
		return l
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		in   Input
		opts Options
		want string
	}{
		{"log out of order", ctx, Input{Log: &entries{[]Entry{put(2, "a", 1, 1), put(2, "b", 1, 1)}}}, Options{}, "log entry 2 comes after 2"},
		{"snapshot out of order", ctx, Input{Log: log(1), Rows: &rowList{rows: []sRow{inS("b", 1, 1), inS("a", 1, 1)}}}, Options{}, `snapshot row ("a", 1) comes after ("b", 1)`},
		{"snapshot ts out of order", ctx, Input{Log: log(1), Rows: &rowList{rows: []sRow{inS("b", 1, 1), inS("b", 2, 1)}}}, Options{}, `snapshot row ("b", 2) comes after ("b", 1)`},
		{"no room", ctx, Input{Log: log(100)}, Options{Batch: 500, Temp: func() (Temp, error) { return &memTemp{max: 1000}, nil }, FanIn: 3}, "no space left"},
		{"no directory", ctx, Input{Log: log(100)}, Options{Batch: 500, TempDir: "/nonexistent/omsync"}, "create temporary file of the plan"},
		{"stopped", stopped, Input{Log: log(1)}, Options{}, "context canceled"},
		{"batch too large", ctx, Input{Log: log(1)}, Options{Batch: 2 << 30}, "over 1 GiB"},
		{"fan in", ctx, Input{Log: log(1)}, Options{FanIn: 1}, "cannot merge"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Compute(tt.ctx, tt.in, tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestNoFilesLeft: the temporary files have no names, so nothing is left of them however the process ends.
func TestNoFilesLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := &entries{}
	for i := range uint64(1000) {
		log.list = append(log.list, put(i+1, fmt.Sprint(i), 1, 1))
	}
	p, err := Compute(context.Background(), Input{Log: log}, Options{TempDir: dir, Batch: 2000, FanIn: 3})
	if err != nil || p.Backlog.Len() != 1000 || p.Spilled < 30 {
		t.Fatalf("%+v, %v", p, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatalf("left: %v, %v", left, err)
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_000)
	for _, tt := range []struct {
		age  time.Duration
		ok   bool
		left time.Duration
	}{{61 * time.Second, true, 0}, {time.Minute, true, 0}, {59 * time.Second, false, time.Second}, {-time.Second, false, 61 * time.Second}} {
		if ok, left := Settled(now.Add(-tt.age), now, DefaultSettle); ok != tt.ok || left != tt.left {
			t.Errorf("age %v: %v, %v", tt.age, ok, left)
		}
	}
	if ok, _ := Settled(time.Time{}, now, DefaultSettle); !ok {
		t.Error("without a snapshot there is nothing to wait for")
	}
}

func TestLogMustReachBack(t *testing.T) {
	t.Parallel()
	var trimmed *TrimmedLogError
	for _, first := range []uint64{0, 1} {
		if err := NoSnapshot(first); err != nil {
			t.Errorf("first %d: %v", first, err)
		}
	}
	if err := NoSnapshot(2); !errors.As(err, &trimmed) || trimmed.Need != 1 {
		t.Errorf("no snapshot and the log begins at 2: %v", err)
	}
	if err := Reaches(11, 10); err != nil {
		t.Errorf("the log goes on right behind the manifest: %v", err)
	}
	if err := Reaches(12, 10); !errors.As(err, &trimmed) || trimmed.Need != 11 {
		t.Errorf("an entry is missing behind the manifest: %v", err)
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode      int32
		start, ts uint64
		want      bool
	}{{ModeIncremental, 10, 9, false}, {ModeIncremental, 10, 10, true}, {ModeFull, 10, 9, true}, {ModeContinuous, 10, 9, true}} {
		if got := Wanted(tt.mode, tt.start, tt.ts); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	var s Set
	in := []uint64{1, 63, 64, 32767, 32768, 1 << 40, math.MaxUint64}
	for _, i := range []uint64{64, 1 << 40, 1, math.MaxUint64, 32768, 63, 32767, 64} {
		s.Add(i)
	}
	if !slices.Equal(s.Slice(), in) || s.Len() != uint64(len(in)) {
		t.Fatalf("%v, %d", s.Slice(), s.Len())
	}
	if s.Contains(2) || s.Contains(1<<41) || !s.Contains(32768) {
		t.Fatal("Contains")
	}
	for range s.All() {
		break
	}
}
