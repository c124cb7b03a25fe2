package zkconn

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"omsync/testenv/memzk"
	"omsync/testenv/zkserver"
)

// TestWatchesMissNothing: whatever breaks between setting a watch and the change, who waits is woken and then reads the new value.
func TestWatchesMissNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		breaks func(t *testing.T, z *zkserver.Target, c *Conn)
		mend   func(z *zkserver.Target)
	}{
		{"nothing breaks", func(*testing.T, *zkserver.Target, *Conn) {}, func(*zkserver.Target) {}},
		{"a cut", func(_ *testing.T, z *zkserver.Target, _ *Conn) { z.Proxy.Cut() }, func(*zkserver.Target) {}},
		{"a longer cut", func(_ *testing.T, z *zkserver.Target, _ *Conn) { z.Proxy.Refuse(true) }, func(z *zkserver.Target) { z.Proxy.Refuse(false) }},
		{"swallowed packets", func(_ *testing.T, z *zkserver.Target, _ *Conn) { z.Proxy.Mute(true) }, func(z *zkserver.Target) { z.Proxy.Mute(false) }},
		{"expiry", expire, func(*zkserver.Target) {}},
		{"a server restart", func(_ *testing.T, z *zkserver.Target, _ *Conn) { z.Down(); z.Up() }, func(*zkserver.Target) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			z := zkserver.ForTest(t)
			writer := open(t, Options{Servers: []string{z.Addr()}, SessionTimeout: 10 * time.Second})
			c := open(t, Options{Servers: []string{z.Proxy.Addr()}})
			ctx := limit(t)
			must(t, writer.MkdirAll(ctx, "/d/x"))
			_, _, data, err := c.GetW(ctx, "/d/x")
			must(t, err)
			_, _, child, err := c.ChildrenW(ctx, "/d")
			must(t, err)
			_, _, exist, err := c.ExistsW(ctx, "/d/y")
			must(t, err)
			tc.breaks(t, z, c)
			eventually(t, "the change", func() bool { _, err := writer.Set(ctx, "/d/x", []byte("new"), -1); return err == nil })
			eventually(t, "the new node", func() bool {
				_, err := writer.Create(ctx, "/d/y", nil, Persistent)
				return err == nil || errors.Is(err, ErrNodeExists)
			})
			tc.mend(z)
			closed(t, "data watch", data)
			closed(t, "child watch", child)
			closed(t, "exist watch", exist)
			value, _, err := c.Get(ctx, "/d/x")
			must(t, err)
			there, _, err := c.Exists(ctx, "/d/y")
			must(t, err)
			if string(value) != "new" || !there {
				t.Fatalf("after the watch fired: %q, %t", value, there)
			}
		})
	}
}

// TestWatchIsShared: setting the same watch again and again must not pile up in the library.
func TestWatchIsShared(t *testing.T) {
	t.Parallel()
	s, err := memzk.Start(memzk.Options{})
	must(t, err)
	defer s.Close()
	c := open(t, Options{Servers: []string{s.Addr()}})
	ctx := limit(t)
	must(t, c.MkdirAll(ctx, "/d"))
	_, _, first, err := c.ChildrenW(ctx, "/d")
	must(t, err)
	for range 10 {
		_, _, again, err := c.ChildrenW(ctx, "/d")
		must(t, err)
		if again != first {
			t.Fatal("a second watch was set while the first one stands")
		}
	}
	must(t, c.MkdirAll(ctx, "/d/x"))
	closed(t, "the watch", first)
	names, _, next, err := c.ChildrenW(ctx, "/d")
	must(t, err)
	if next == first || len(names) != 1 {
		t.Fatalf("a watch that fired was given out again; children %v", names)
	}
}

// TestKeeperFires: should somebody make the node that nobody makes, connections go on, before a break and behind it.
func TestKeeperFires(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ctx := limit(t)
	c := open(t, Options{Servers: []string{z.Proxy.Addr()}})
	other := open(t, Options{Servers: []string{z.Addr()}})
	must(t, c.MkdirAll(ctx, "/x"))
	must(t, other.MkdirAll(ctx, keepPath))
	t.Cleanup(func() {
		if err := other.Delete(context.WithoutCancel(ctx), keepPath, -1); err != nil {
			t.Error(err)
		}
	})
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	eventually(t, "the keeper's end", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.keeper
	})
	for range 3 {
		z.Proxy.Cut()
		must(t, c.MkdirAll(ctx, "/x/y"))
		_, _, err := c.Get(ctx, "/x/y")
		must(t, err)
	}
}

// TestEmptyServer: a server that came back with nothing refuses clients that have seen more; the Conn starts anew.
func TestEmptyServer(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	c := open(t, Options{Servers: []string{z.Addr()}})
	ctx := limit(t)
	for range 20 {
		must(t, c.MkdirAll(ctx, "/x"))
		must(t, c.Delete(ctx, "/x", -1))
	}
	before := c.Session().ID
	_, _, gone, err := c.ExistsW(ctx, "/y")
	must(t, err)
	z.Wipe()
	start := time.Now()
	closed(t, "the watch", gone)
	eventually(t, "a session", func() bool { return c.MkdirAll(ctx, "/y") == nil })
	if d := time.Since(start); d > 15*time.Second {
		t.Fatalf("it took %s", d)
	}
	if c.Session().ID == before {
		t.Fatal("the session is still the old one")
	}
}

// TestSessionOutlivesServer: a server that was down longer than the session time-out brings the session back with it.
func TestSessionOutlivesServer(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	c := open(t, Options{Servers: []string{z.Addr()}, SessionTimeout: 400 * time.Millisecond})
	ctx := limit(t)
	_, err := c.Create(ctx, "/mine", nil, Ephemeral)
	must(t, err)
	lease, err := c.Lease(ctx)
	must(t, err)
	z.Down()
	closed(t, "the lease's end", lease.Lost())
	eventually(t, "the break", func() bool { return !c.Session().Connected })
	time.Sleep(time.Second) // longer than the session
	z.Up()
	next, err := c.Lease(ctx)
	must(t, err)
	there, st, err := c.Exists(ctx, "/mine")
	must(t, err)
	if z.Real {
		return // its sessions may have expired while the Java process started
	}
	if !there || st.EphemeralOwner != lease.Session() || next.Session() != lease.Session() || next == lease {
		t.Fatalf("node there %t, session %#x then %#x", there, lease.Session(), next.Session())
	}
}

// TestLease: with nothing heard from the server the lease ends after 2/3 of the session time-out, before the server can give the session up.
func TestLease(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		silent func(z *zkserver.Target)
	}{
		{"frozen server", func(z *zkserver.Target) { z.Freeze(true); z.Cleanup(func() { z.Freeze(false) }) }},
		{"swallowed packets", func(z *zkserver.Target) { z.Proxy.Mute(true) }},
		{"refused connections", func(z *zkserver.Target) { z.Proxy.Refuse(true) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			z := zkserver.ForTest(t)
			c := open(t, Options{Servers: []string{z.Proxy.Addr()}})
			lease, err := c.Lease(limit(t))
			must(t, err)
			// Half a dozen pings go by: the lease is renewed.
			select {
			case <-lease.Lost():
				t.Fatal("the lease ended while the server answers")
			case <-time.After(2 * sessionTime):
			}
			start := time.Now()
			tc.silent(z)
			closed(t, "the lease's end", lease.Lost())
			d := time.Since(start)
			// The newest answered request may have been sent a ping interval (a third) before.
			if d < sessionTime/4 || d > sessionTime*9/10 {
				t.Fatalf("the lease ended %s after the silence began, the session time-out is %s", d, sessionTime)
			}
			if lease.Valid() {
				t.Fatal("a lost lease is valid")
			}
		})
	}
}

// TestMuteServerDoesNotBlock: an operation ends at its deadline, and a write that was sent is told as unknown.
func TestMuteServerDoesNotBlock(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	c := open(t, Options{Servers: []string{z.Proxy.Addr()}, SessionTimeout: 10 * time.Second, OpTimeout: 300 * time.Millisecond})
	ctx := limit(t)
	eventually(t, "the node", func() bool { return c.MkdirAll(ctx, "/x") == nil })
	z.Proxy.Mute(true)
	start := time.Now()
	_, err := c.Set(ctx, "/x", []byte("1"), -1)
	if !Unknown(err) {
		t.Fatalf("error %v", err)
	}
	if _, _, err = c.Get(ctx, "/x"); err == nil {
		t.Fatal("a read was answered by nobody")
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Fatalf("two operations of 300 ms took %s", d)
	}
	z.Proxy.Mute(false)
	eventually(t, "the held back write", func() bool { v, _, err := c.Get(ctx, "/x"); return err == nil && string(v) == "1" })
}

// TestLostAnswer: a write whose answer is lost is unknown; it is not repeated.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	lose := make(chan memzk.Fault, 1)
	s, err := memzk.Start(memzk.Options{Fault: func(r memzk.Request) memzk.Fault {
		if r.Op != memzk.OpSetData {
			return memzk.Fault{}
		}
		select {
		case f := <-lose:
			return f
		default:
			return memzk.Fault{}
		}
	}})
	must(t, err)
	defer s.Close()
	c := open(t, Options{Servers: []string{s.Addr()}})
	ctx := limit(t)
	must(t, c.MkdirAll(ctx, "/x"))
	for i, tc := range []struct {
		name  string
		fault memzk.Fault
		sets  int32
	}{
		{"applied", memzk.Fault{Lose: true}, 1},
		{"not applied", memzk.Fault{Drop: true}, 1},
	} {
		lose <- tc.fault
		if _, err := c.Set(ctx, "/x", []byte{byte(i)}, -1); !Unknown(err) {
			t.Fatalf("%s: error %v", tc.name, err)
		}
		_, st, err := c.Get(ctx, "/x")
		must(t, err)
		if st.Version != tc.sets {
			t.Fatalf("%s: version %d, want %d", tc.name, st.Version, tc.sets)
		}
	}
	// Late: it arrives long after the connection broke.
	lose <- memzk.Fault{Late: 200 * time.Millisecond}
	if _, err := c.Set(ctx, "/x", []byte("late"), -1); !Unknown(err) {
		t.Fatalf("error %v", err)
	}
	eventually(t, "the late write", func() bool { v, _, err := c.Get(ctx, "/x"); return err == nil && string(v) == "late" })
}

// TestNotZooKeeper: something else at the address is told as such and costs no memory.
func TestNotZooKeeper(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			conn.Close()
		}
	}()
	c := open(t, Options{Servers: []string{l.Addr().String()}, OpTimeout: 200 * time.Millisecond})
	if _, _, err := c.Get(limit(t), "/x"); !errors.Is(err, ErrNotConnected) {
		t.Fatalf("error %v", err)
	}
}

// TestAuth: nodes are made for their creator only, also after reconnects and in new sessions.
func TestAuth(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ctx := limit(t)
	c := open(t, Options{Servers: []string{z.Proxy.Addr()}, AuthCert: "sync:secret"})
	twin := open(t, Options{Servers: []string{z.Addr()}, AuthCert: "sync:secret"})
	wrong := open(t, Options{Servers: []string{z.Addr()}, AuthCert: "sync:guess"})
	none := open(t, Options{Servers: []string{z.Addr()}})
	use := func(what, node string) {
		t.Helper()
		eventually(t, what, func() bool {
			err := c.MkdirAll(ctx, node)
			if err != nil && !errors.Is(err, ErrNotConnected) && !Unknown(err) {
				t.Fatalf("%s: %v", what, err)
			}
			return err == nil
		})
		must(t, c.MkdirAll(ctx, node+"/below"))
		_, err := twin.Set(ctx, node, []byte("twin"), -1)
		must(t, err)
		value, _, err := c.Get(ctx, node)
		must(t, err)
		if string(value) != "twin" {
			t.Fatalf("%s: read %q", what, value)
		}
		for _, stranger := range []*Conn{wrong, none} {
			if _, _, err := stranger.Get(ctx, node); !errors.Is(err, ErrNoAuth) {
				t.Fatalf("%s: a stranger reads: %v", what, err)
			}
			if _, err := stranger.Set(ctx, node, nil, -1); !errors.Is(err, ErrNoAuth) {
				t.Fatalf("%s: a stranger writes: %v", what, err)
			}
		}
	}
	use("first", "/one")
	z.Proxy.Cut()
	use("after a reconnect", "/one/two")
	expire(t, z, c)
	use("in a new session", "/one/three")
	z.Down()
	z.Up()
	use("after a restart", "/one/four")
}

// TestManyBreaks: cuts at random moments neither lose the connection for good nor double a counter that is written at versions.
func TestManyBreaks(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	c := open(t, Options{Servers: []string{z.Proxy.Addr()}})
	ctx := limit(t)
	must(t, c.MkdirAll(ctx, "/n"))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(5+i*7%60) * time.Millisecond):
				z.Proxy.Cut()
			}
		}
	}()
	end := time.Now().Add(3 * time.Second)
	writes := 0
	for time.Now().Before(end) {
		_, st, err := c.Get(ctx, "/n")
		if err != nil {
			continue
		}
		if _, err = c.Set(ctx, "/n", []byte{byte(writes)}, st.Version); err == nil {
			writes++
		}
	}
	close(stop)
	<-done
	if writes < 10 {
		t.Fatalf("only %d writes got through", writes)
	}
	if _, _, err := c.Get(context.WithoutCancel(ctx), "/n"); err != nil {
		t.Fatal(err)
	}
}
