package budget

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestReserveNamesTheCapThatWasReached(t *testing.T) {
	t.Parallel()
	process := New(100, "process_key")
	a, b := process.Child(80, "conn_key"), process.Child(80, "conn_key")
	for _, c := range []struct {
		on   *Budget
		n    int64
		key  string // of the refusal, empty = taken
		left int64  // in a afterwards
	}{
		{a, 70, "", 10},
		{a, 20, "conn_key", 10},
		{b, 31, "process_key", 10},
		{b, 30, "", 0},
		{a, 1, "process_key", 0},
		{b, 0, "", 0},
	} {
		err := c.on.Reserve(c.n)
		if c.key == "" && err != nil {
			t.Fatalf("Reserve(%d): %v", c.n, err)
		}
		var over *OverError
		if c.key != "" && (!errors.As(err, &over) || over.Key != c.key || !strings.Contains(err.Error(), "raise "+c.key)) {
			t.Fatalf("Reserve(%d) = %v, want a refusal that names %s", c.n, err, c.key)
		}
		if got := a.Left(); got != c.left {
			t.Fatalf("after Reserve(%d): left %d, want %d", c.n, got, c.left)
		}
	}
	a.Release(70)
	b.Release(30)
	if process.Used() != 0 || a.Used() != 0 || b.Used() != 0 {
		t.Fatalf("used after release: %d %d %d", process.Used(), a.Used(), b.Used())
	}
}

func TestWaitWakesOnReleaseOfASibling(t *testing.T) {
	t.Parallel()
	process := New(100, "p")
	a, b := process.Child(100, "c"), process.Child(100, "c")
	if err := a.Reserve(100); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.Wait(t.Context(), 60) }()
	a.Release(50)
	select {
	case err := <-done:
		t.Fatalf("Wait returned %v with 50 of 60 bytes free", err)
	case <-time.After(20 * time.Millisecond):
	}
	a.Release(50)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestWaitEndsWithTheContextOrWhenItCanNeverFit(t *testing.T) {
	t.Parallel()
	b := New(10, "k")
	var over *OverError
	if err := b.Wait(t.Context(), 11); !errors.As(err, &over) {
		t.Fatalf("11 of 10 bytes: %v", err)
	}
	if err := b.Reserve(10); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := b.Wait(ctx, 1); !errors.As(err, &over) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Wait at a full budget: %v", err)
	}
}

// Whatever the interleaving, usage never passes a cap and ends at zero.
func TestUsageStaysUnderTheCaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		process := New(rapid.Int64Range(1, 500).Draw(rt, "process"), "p")
		var wg sync.WaitGroup
		for range rapid.IntRange(1, 4).Draw(rt, "conns") {
			conn := process.Child(rapid.Int64Range(1, 300).Draw(rt, "cap"), "c")
			sizes := rapid.SliceOfN(rapid.Int64Range(0, 200), 1, 20).Draw(rt, "sizes")
			wg.Go(func() {
				l := conn.Lease()
				for i, n := range sizes {
					if l.Add(n) == nil && conn.Used() > conn.Cap() || process.Used() > process.Cap() {
						panic("over a cap")
					}
					if i%3 == 2 {
						l.Drop()
					}
				}
				l.Retain().Release()
				l.Release()
				if conn.Used() != 0 {
					panic("held after release")
				}
				if l.Add(1) == nil && conn.Used() != 0 {
					panic("an ended lease holds bytes")
				}
			})
		}
		wg.Wait()
		if process.Used() != 0 {
			rt.Fatalf("process holds %d at the end", process.Used())
		}
	})
}
