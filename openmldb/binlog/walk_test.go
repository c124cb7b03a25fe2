package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// walked is what a walk of a directory tells.
type walked struct {
	indexes []uint64
	damage  []string // file@offset
	odd     []string
	ends    []string // file tail offset
}

func walk(t *testing.T, dir string, each func(*Entry)) walked {
	t.Helper()
	var w walked
	at := func(c *CorruptError) string { return fmt.Sprintf("%s@%d", filepath.Base(c.File), c.Offset) }
	err := (&Walker{
		Entry: func(path string, e *Entry) error {
			if filepath.Base(path) != fmt.Sprintf("%08d.log", e.Pos.File) {
				t.Errorf("entry %d of file %d is said to be in %s", e.Index, e.Pos.File, path)
			}
			w.indexes = append(w.indexes, e.Index)
			if each != nil {
				each(e)
			}
			return nil
		},
		Damage: func(c *CorruptError) error { w.damage = append(w.damage, at(c)); return nil },
		Odd:    func(c *CorruptError) error { w.odd = append(w.odd, at(c)); return nil },
		Ended: func(path string, tail Tail, at int64) error {
			w.ends = append(w.ends, fmt.Sprintf("%s %s %d", filepath.Base(path), tail, at))
			return nil
		},
	}).Walk(t.Context(), OS(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWalkFixtures: every entry that upstream's reader found is visited, those behind damage and gaps, too. Upstream does not see the flipped byte.
func TestWalkFixtures(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(fixtures, "*"))
	if err != nil || len(dirs) < 30 {
		t.Fatal(dirs, err)
	}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		if _, err := os.Stat(filepath.Join(dir, "binlog")); errors.Is(err, os.ErrNotExist) {
			continue
		}
		want := readExpected(t, dir)
		if name == "112_10" {
			want = want[1:]
		}
		n := 0
		w := walk(t, filepath.Join(dir, "binlog"), func(e *Entry) {
			if n < len(want) {
				if d := compare(want[n], e); d != "" {
					t.Errorf("%s: %v: %s", name, want[n], d)
				}
			}
			n++
		})
		if n != len(want) {
			t.Errorf("%s: %d entries, want %d", name, n, len(want))
		}
		if got := strings.Join(w.damage, " "); (name == "112_10") != (got == "00000000.log@0") || name != "112_10" && got != "" {
			t.Errorf("%s: damage at %s", name, got)
		}
	}
}

// TestWalkEveryFlip: whichever byte is flipped, all entries but the one it lies in are visited, or those that its length took along in its block; the
// damage is told with its place.
func TestWalkEveryFlip(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile(filepath.Join(fixtures, "112_0/binlog/00000000.log"))
	if err != nil {
		t.Fatal(err)
	}
	type span struct {
		index      uint64
		start, end int64
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "00000000.log")
	write := func(b []byte) {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(whole)
	var all []span
	walk(t, dir, func(e *Entry) { all = append(all, span{e.Index, e.Pos.Offset, e.End.Offset}) })
	if len(all) < 5 {
		t.Fatalf("%d entries", len(all))
	}
	end := all[len(all)-1].end
	for at := int64(0); at < end; at += 3 {
		b := bytes.Clone(whole)
		b[at] ^= 0x55
		write(b)
		w := walk(t, dir, nil)
		here := map[uint64]bool{}
		for _, i := range w.indexes {
			here[i] = true
		}
		length := at%BlockSize == 4 || at%BlockSize == 5 // of a record, or of its piece in the next block: what follows in the block can not be found
		for _, s := range all {
			if at >= s.start+4 && at < s.start+6 {
				length = true
			}
		}
		for _, s := range all {
			touched := at >= s.start && at < s.end
			sameBlock := length && s.start/BlockSize == at/BlockSize || s.end/BlockSize != s.start/BlockSize
			if !touched && !sameBlock && !here[s.index] {
				t.Fatalf("byte %d: entry %d of %d to %d is not visited; damage %v", at, s.index, s.start, s.end, w.damage)
			}
			if touched && here[s.index] && s.end-s.start < BlockSize {
				t.Fatalf("byte %d: entry %d is visited though it is damaged", at, s.index)
			}
		}
		if len(here) < len(all) && len(w.damage)+len(w.odd) == 0 && !strings.Contains(strings.Join(w.ends, " "), "unfinished") {
			t.Fatalf("byte %d: %d of %d entries and no word of damage: %v", at, len(here), len(all), w.ends)
		}
	}
}

func TestWalkTails(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"112_3": "unfinished", "112_4": "unfinished", "112_6": "zeros", "112_0": "closed"} {
		if w := walk(t, filepath.Join(fixtures, name, "binlog"), nil); !strings.Contains(strings.Join(w.ends, "\n"), " "+want+" ") {
			t.Errorf("%s ends %v, want %s", name, w.ends, want)
		}
	}
	stop := errors.New("enough")
	n := 0
	w := Walker{Entry: func(string, *Entry) error { n++; return stop }}
	if err := w.Walk(t.Context(), OS(), filepath.Join(fixtures, "112_0/binlog")); !errors.Is(err, stop) || n != 1 {
		t.Errorf("a visitor that has enough: %v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Walk(ctx, OS(), filepath.Join(fixtures, "112_0/binlog")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
