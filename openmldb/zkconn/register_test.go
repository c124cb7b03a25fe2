package zkconn

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"omsync/testenv/zkserver"
)

// registered runs a Registration for the length of a test and tells whether it stands.
func registered(t *testing.T, r *Registration) (*atomic.Bool, context.CancelFunc) {
	t.Helper()
	var now atomic.Bool
	r.Changed = func(ok bool) { now.Store(ok) }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	end := func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(end)
	return &now, end
}

func TestRegistrationStands(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	watch := open(t, Options{Servers: []string{z.Addr()}, SessionTimeout: 3 * time.Second})
	c := open(t, Options{Servers: []string{z.Proxy.Addr()}})
	ctx := limit(t)
	r := c.Register(Node{"/list/a", []byte("A")}, Node{"/records/of/a", []byte("B")})
	ok, end := registered(t, r)
	there := func(what string) {
		t.Helper()
		began := time.Now()
		eventually(t, what, func() bool {
			b, st, err := watch.Get(ctx, "/list/a")
			b2, st2, err2 := watch.Get(ctx, "/records/of/a")
			id := c.Session().ID
			return err == nil && err2 == nil && ok.Load() && string(b) == "A" && string(b2) == "B" && st.EphemeralOwner == id && st2.EphemeralOwner == id
		})
		t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
	}
	there("registered")
	z.Proxy.Cut()
	there("after a cut")
	expire(t, z, c)
	there("in a new session")
	must(t, watch.Delete(ctx, "/records/of/a", -1))
	there("after somebody removed one")
	z.Wipe()
	eventually(t, "the server", func() bool { _, _, err := watch.Get(ctx, "/"); return err == nil })
	there("on an empty server")

	r.Update("/records/of/a", []byte("B2"))
	eventually(t, "the new value", func() bool { b, _, err := watch.Get(ctx, "/records/of/a"); return err == nil && string(b) == "B2" })
	expire(t, z, c)
	eventually(t, "the new value in a new session", func() bool {
		b, st, err := watch.Get(ctx, "/records/of/a")
		return err == nil && string(b) == "B2" && st.EphemeralOwner == c.Session().ID
	})

	// Without the server it is not certain any more.
	z.Proxy.Refuse(true)
	eventually(t, "the doubt", func() bool { return !ok.Load() })
	z.Proxy.Refuse(false)
	eventually(t, "registration again", ok.Load)

	end()
	for _, node := range []string{"/list/a", "/records/of/a"} {
		if there, _, err := watch.Exists(ctx, node); err != nil || there {
			t.Errorf("%s after the end: %t, %v", node, there, err)
		}
	}
}

// TestRegistrationAfterQuickRestart: the node of the process before is still there; with an equal value it is replaced at once.
func TestRegistrationAfterQuickRestart(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ctx := limit(t)
	dead := open(t, Options{Servers: []string{z.Proxy.Addr()}, SessionTimeout: 30 * time.Second})
	must(t, dead.MkdirAll(ctx, "/list"))
	_, err := dead.Create(ctx, "/list/a", []byte("A"), Ephemeral)
	must(t, err)
	z.Proxy.Mute(true) // kill -9, as the server sees it

	c := open(t, Options{Servers: []string{z.Addr()}})
	began := time.Now()
	ok, _ := registered(t, c.Register(Node{"/list/a", []byte("A")}))
	eventually(t, "registration", ok.Load)
	if d := time.Since(began); d > 10*time.Second {
		t.Fatalf("it took %s: the old session was waited for", d)
	}
}

// TestRegistrationWaitsForOthers: a node that belongs to another process is not touched.
func TestRegistrationWaitsForOthers(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ctx := limit(t)
	other := open(t, Options{Servers: []string{z.Addr()}})
	must(t, other.MkdirAll(ctx, "/list"))
	_, err := other.Create(ctx, "/list/a", []byte("other"), Ephemeral)
	must(t, err)
	c := open(t, Options{Servers: []string{z.Addr()}})
	ok, _ := registered(t, c.Register(Node{"/list/a", []byte("A")}))
	for end := time.Now().Add(2 * sessionTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if b, _, err := other.Get(ctx, "/list/a"); err != nil || string(b) != "other" || ok.Load() {
			t.Fatalf("%q, %v, registered %t", b, err, ok.Load())
		}
	}
	must(t, other.Delete(ctx, "/list/a", -1))
	eventually(t, "registration", ok.Load)
}
