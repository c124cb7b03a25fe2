package hdfs

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRoute: after a failure files go around; then one tries the straight way and the rest wait for it, longer each time.
func TestRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r route
		if r.detour() || r.clear() {
			t.Error("a detour at the beginning")
		}
		for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
			if got := r.blocked(); got != want {
				t.Errorf("around for %s, want %s", got, want)
			}
			if got := r.blocked(); got != want { // one that was under way as well
				t.Errorf("two failures at a time: %s, want %s", got, want)
			}
			time.Sleep(want - time.Second)
			if !r.detour() {
				t.Errorf("straight before %s are over", want)
			}
			time.Sleep(time.Second)
			if r.detour() {
				t.Errorf("around after %s", want)
			}
			if !r.detour() {
				t.Error("two probes at a time")
			}
		}
		if !r.clear() || r.detour() {
			t.Error("around after a success")
		}
	})
}

// TestHealth: who failed last is asked last.
func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h health
		for _, step := range []struct{ fails, order string }{{"", "a b c"}, {"a", "b c a"}, {"b", "c a b"}, {"c", "a b c"}, {"a", "b c a"}} {
			if step.fails != "" {
				time.Sleep(time.Second)
				h.failed(step.fails)
			}
			if got := strings.Join(h.order([]string{"a", "b", "c"}), " "); got != step.order {
				t.Errorf("after %s: %s, want %s", step.fails, got, step.order)
			}
		}
	})
}
