package collector

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHugeRow: a row of 64 MiB travels, alone, whatever max_pack_size and the credit are; a larger one ends the export and is named.
func TestHugeRow(t *testing.T) {
	s := newScene(t, nil, nil) // not parallel: it takes a good deal of memory
	small := put(t, s.p, "small", 1, "a", 0)
	s.assign(2)
	s.exported(small)
	overhead := len(s.tool.sub(0).rows[0]) - 1 - len("small")
	word := strings.Repeat("x", maxRow-overhead-2*len("huge")-64) // string offsets grow to 4 bytes with the row
	for {
		row, err := s.p.Schema().Encode([]any{"huge", int64(1), word})
		if err != nil {
			t.Fatal(err)
		}
		if len(row) == maxRow {
			break
		}
		word = word[:0] + strings.Repeat("x", len(word)+maxRow-len(row))
	}
	put(t, s.p, "before", 1, "b", 0)
	last := put(t, s.p, "huge", 1, word, 0)
	s.exported(last)
	if got := s.words(); len(got) != 3 || got[2] != word || s.tool.sub(0).largest != maxRow {
		t.Fatalf("%d rows, the largest batch %d", len(got), s.tool.sub(0).largest)
	}
	index := put(t, s.p, "more than huge", 1, word+"x", 0)
	f := s.failed(codeRowTooLarge)
	contains(t, f.GetReason(), `the row with key "more than huge"`, fmt.Sprintf("log entry %d", index), fmt.Sprint(maxRow))
	contains(t, f.GetHint(), "recover")
	if n := len(s.words()); n != 3 {
		t.Errorf("%d rows", n)
	}
}

// TestOneClock: mode 1 compares start_ts with index 0's ts column, or with the put time where it has none, in the backlog and in the log phase.
func TestOneClock(t *testing.T) {
	t.Parallel()
	const start = 5000
	for name, column := range map[string]string{"ts column": "ts", "put time": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, newWords(t, column, 0), nil)
			var want []string
			last := uint64(0)
			write := func(round string) {
				for _, r := range []struct{ ts, at uint64 }{{start - 1, start}, {start, start - 1}, {math.MaxInt64, 1}, {1, 1 << 50}, {start, start}, {start - 1, start - 1}} {
					word := fmt.Sprintf("%s %d %d", round, r.ts, r.at)
					last = put(t, s.p, word, int64(r.ts), word, r.at)
					if clock := map[bool]uint64{true: r.ts, false: r.at}[column != ""]; clock >= start {
						want = append(want, word)
					}
				}
			}
			write("backlog")
			a := s.tab.assignment(s.p, 1)
			a.StartTs = start
			s.c.mustAdd(s.tool.assign(a))
			s.exported(last)
			backlog := len(want)
			if n := s.tool.sub(0).plan.GetBacklogRows(); n != 6 {
				t.Errorf("%d entries are to follow, want 6", n)
			}
			write("log")
			s.exported(last)
			if got := s.words(); !slices.Equal(got, want) || backlog != 3 || len(want) != 6 {
				t.Errorf("%q, want %q", got, want)
			}
			if n := s.c.view(0).GetCounters().GetFiltered(); n != 6 {
				t.Errorf("%d left out, want 6", n)
			}
		})
	}
}

// TestOneClockInTheScan: the same clock decides in the snapshot; there a row's ts is in its key.
func TestOneClockInTheScan(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"101_0", "117_0"} { // with and without a ts column
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, fixture(t, name), nil)
			rows := jsonRows(t, filepath.Join(s.p.Dir(), "expected_snapshot.jsonl"))
			var all []uint64
			for _, r := range rows {
				all = append(all, r.Ts)
			}
			slices.Sort(all)
			start := all[len(all)/2]
			a := s.tab.assignment(s.p, 1)
			a.StartTs = start
			s.c.mustAdd(s.tool.assign(a))
			s.exported(s.p.Last())
			x := s.tool.sub(0)
			var got, want []string
			for _, r := range x.rows[:x.scanned] {
				got = append(got, sha8(r))
			}
			for _, r := range rows {
				if r.Ts >= start {
					want = append(want, r.Sha8)
				}
			}
			if !slices.Equal(got, want) || len(want) == 0 || len(want) == len(rows) {
				t.Errorf("%d rows of %d from %d on, want %d", len(got), len(rows), start, len(want))
			}
		})
	}
}
