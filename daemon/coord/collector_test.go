package coord

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"omsync/openmldb/zkconn"
	"omsync/testenv/zkserver"
)

// registered keeps a collector registered until stop.
type registered struct {
	s    *Session
	stop func()

	mu  sync.Mutex
	now Standing
}

func (r *registered) standing() Standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func register(t *testing.T, s *Session, rec CollectorRecord) *registered {
	t.Helper()
	r := &registered{s: s}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.RegisterCollector(ctx, rec, func(st Standing) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.now = st
		})
	}()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

// list follows the collectors for the length of a test.
func list(t *testing.T, s *Session) *Collectors {
	t.Helper()
	c := s.WatchCollectors()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-done) })
	return c
}

func show(cs []Collector) string {
	var out []string
	for _, c := range cs {
		out = append(out, fmt.Sprintf("%s=%s", c.Endpoint, c.State))
	}
	return strings.Join(out, " ")
}

func TestCollectors(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ctx := limit(t)
	cs := list(t, session(t, z.Addr()))
	sees := func(want string) {
		t.Helper()
		eventually(t, want, func() bool { return cs.Known() && show(cs.Snapshot()) == want })
	}
	sees("")
	a := register(t, session(t, z.Addr()), CollectorRecord{Endpoint: "10.0.0.1:9500", Host: "10.0.0.1", DataDir: "/a", Version: "1.0"})
	sees("10.0.0.1:9500=active")
	b := register(t, session(t, z.Addr()), CollectorRecord{Endpoint: "10.0.0.1:9501", Host: "10.0.0.1", DataDir: "/b"})
	sees("10.0.0.1:9500=active 10.0.0.1:9501=standby")
	other := register(t, session(t, z.Addr()), CollectorRecord{Endpoint: "10.0.0.2:9500", Host: "10.0.0.2", DataDir: "/a"})
	sees("10.0.0.1:9500=active 10.0.0.1:9501=standby 10.0.0.2:9500=active")
	for r, want := range map[*registered]Standing{a: {true, Active}, b: {true, Standby}, other: {true, Active}} {
		eventually(t, fmt.Sprint(want), func() bool { return r.standing() == want })
	}
	// Upstream's node is byte for byte upstream's (formats.md §1.1).
	value, st, err := a.s.conn.Get(ctx, root+"/sync_tool/collector/10.0.0.1:9500")
	must(t, err)
	if string(value) != "10.0.0.1:9500" || st.EphemeralOwner != a.s.conn.Session().ID {
		t.Fatalf("upstream's node: %q of %#x", value, st.EphemeralOwner)
	}
	eventually(t, "the state in the record", func() bool {
		b, _, err := a.s.conn.Get(ctx, a.s.paths.records()+"/10.0.0.1:9501")
		return err == nil && strings.Contains(string(b), `"state":"standby"`)
	})

	// An upstream collector comes by.
	foreign := connect(t, z.Addr())
	_, err = foreign.Create(ctx, root+"/sync_tool/collector/10.0.0.3:9500", []byte("10.0.0.3:9500"), zkconn.Ephemeral)
	must(t, err)
	sees("10.0.0.1:9500=active 10.0.0.1:9501=standby 10.0.0.2:9500=active 10.0.0.3:9500=foreign")

	// The active one loses its session: the standby takes over, and the first stands by when it is back.
	expire(z, a.s.conn)
	sees("10.0.0.1:9501=active 10.0.0.1:9500=standby 10.0.0.2:9500=active 10.0.0.3:9500=foreign")
	eventually(t, "the takeover", func() bool { return b.standing() == Standing{true, Active} })
	eventually(t, "standing by", func() bool { return a.standing() == Standing{true, Standby} })
	b.stop()
	sees("10.0.0.1:9500=active 10.0.0.2:9500=active 10.0.0.3:9500=foreign")

	// A record that can not be read is foreign, with the reason.
	must(t, foreign.Delete(ctx, root+"/sync_tool/collector/10.0.0.3:9500", -1))
	_, err = foreign.Create(ctx, a.s.paths.records()+"/10.0.0.4:9500", []byte(`{"schema":9}`), zkconn.Ephemeral)
	must(t, err)
	sees("10.0.0.1:9500=active 10.0.0.2:9500=active 10.0.0.4:9500=foreign")
	if p := cs.Snapshot()[2].Problem; !strings.Contains(p, "schema 9") {
		t.Errorf("problem %q", p)
	}
}

// TestQuickRestart: a collector that was killed and starts again finds both its nodes still there and does not wait for its old session.
func TestQuickRestart(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	rec := CollectorRecord{Endpoint: "10.0.0.1:9500", Host: "10.0.0.1", DataDir: "/a"}
	// The dead one: its session goes on for half a minute.
	conn := patient(t, z.Proxy.Addr())
	dead := register(t, New(conn, root, Options{}), rec)
	eventually(t, "registration", func() bool { return dead.standing().Registered })
	before := conn.Session().ID
	z.Proxy.Mute(true)

	began := time.Now()
	s := session(t, z.Addr())
	next := register(t, s, rec)
	eventually(t, "registration after the restart", func() bool { return next.standing() == Standing{true, Active} })
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
	for _, at := range []string{s.paths.records(), s.paths.collectors()} {
		there, st, err := s.conn.Exists(limit(t), at+"/10.0.0.1:9500")
		must(t, err)
		if !there || st.EphemeralOwner == before {
			t.Errorf("%s: %t, of the old session", at, there)
		}
	}
}

// patient is a connection whose session outlives any pause of a busy machine.
func patient(t *testing.T, addr string) *zkconn.Conn {
	conn := zkconn.Open(zkconn.Options{Servers: []string{addr}, SessionTimeout: 30 * time.Second})
	done := make(chan error, 1)
	go func() { done <- conn.Run(context.Background()) }()
	t.Cleanup(func() { must(t, conn.Close()); must(t, <-done) })
	return conn
}

// TestForeignEndpoint: an endpoint that an upstream collector, or one with another data directory, holds is waited for.
func TestForeignEndpoint(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ctx := limit(t)
	first := register(t, New(patient(t, z.Addr()), root, Options{}), CollectorRecord{Endpoint: "10.0.0.1:9500", Host: "10.0.0.1", DataDir: "/a"})
	eventually(t, "registration", func() bool { return first.standing().Registered })
	second := register(t, session(t, z.Addr()), CollectorRecord{Endpoint: "10.0.0.1:9500", Host: "10.0.0.1", DataDir: "/b"})
	upstream := connect(t, z.Addr())
	_, err := upstream.Create(ctx, root+"/sync_tool/collector/10.0.0.2:9500", []byte("10.0.0.2:9500"), zkconn.Ephemeral)
	must(t, err)
	third := register(t, session(t, z.Addr()), CollectorRecord{Endpoint: "10.0.0.2:9500", Host: "10.0.0.2", DataDir: "/a"})
	for end := time.Now().Add(2 * sessionTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if second.standing().Registered || third.standing().Registered || !first.standing().Registered {
			t.Fatalf("%+v, %+v, %+v", first.standing(), second.standing(), third.standing())
		}
	}
	first.stop()
	must(t, upstream.Delete(ctx, root+"/sync_tool/collector/10.0.0.2:9500", -1))
	eventually(t, "the second", func() bool { return second.standing() == Standing{true, Active} })
	eventually(t, "the third", func() bool { return third.standing() == Standing{true, Active} })
}

func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	s := New(zkconn.Open(zkconn.Options{}), root, Options{})
	if err := s.RegisterCollector(t.Context(), CollectorRecord{Endpoint: "a:1"}, nil); err == nil {
		t.Fatal("a collector without a host is registered")
	}
}
