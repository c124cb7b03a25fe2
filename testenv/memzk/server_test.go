package memzk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

type silent struct{}

func (silent) Printf(string, ...any) {}

func start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial is the bare library: these tests hold the server against it, not against our wrapper.
func dial(t testing.TB, s *Server, timeout time.Duration) (*zk.Conn, <-chan zk.Event) {
	t.Helper()
	c, events, err := zk.Connect([]string{s.Addr()}, timeout, zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		for range events { // closed when its goroutines have ended
		}
	})
	return c, events
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, what string, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Fatalf("%s: error %v, want %v", what, err, wanted)
	}
}

var world = zk.WorldACL(zk.PermAll)

func TestNodes(t *testing.T) {
	t.Parallel()
	c, _ := dial(t, start(t, Options{}), 5*time.Second)
	_, err := c.Create("/a", []byte("1"), 0, world)
	must(t, err)
	_, err = c.Create("/a", nil, 0, world)
	want(t, "again", err, zk.ErrNodeExists)
	_, err = c.Create("/x/y", nil, 0, world)
	want(t, "no parent", err, zk.ErrNoNode)
	_, err = c.Create("/a/none", nil, 0, nil)
	want(t, "no acl", err, zk.ErrInvalidACL)
	var seq []string
	for range 3 {
		p, err := c.Create("/a/s-", nil, zk.FlagSequence, world)
		must(t, err)
		seq = append(seq, p)
	}
	if fmt.Sprint(seq) != "[/a/s-0000000000 /a/s-0000000001 /a/s-0000000002]" {
		t.Errorf("sequence %v", seq)
	}
	// Numbers are never given again, not after deletes either.
	must(t, c.Delete(seq[2], 0))
	if p, err := c.Create("/a/s-", nil, zk.FlagSequence, world); err != nil || p != "/a/s-0000000003" {
		t.Errorf("after a delete: %q, %v", p, err)
	}
	_, err = c.Create("/a/e", nil, zk.FlagEphemeral, world)
	must(t, err)
	_, err = c.Create("/a/e/x", nil, 0, world)
	want(t, "below an ephemeral", err, zk.ErrNoChildrenForEphemerals)
	want(t, "delete with children", c.Delete("/a", -1), zk.ErrNotEmpty)
	want(t, "delete at a wrong version", c.Delete("/a/e", 3), zk.ErrBadVersion)
	st, err := c.Set("/a", []byte("22"), 0)
	must(t, err)
	if st.Version != 1 || st.DataLength != 2 || st.NumChildren != 4 || st.Cversion != 6 || st.Mzxid <= st.Czxid || st.Pzxid >= st.Mzxid {
		t.Errorf("stat %+v", st)
	}
	_, err = c.Set("/a", nil, 0)
	want(t, "set at an old version", err, zk.ErrBadVersion)
	names, _, err := c.Children("/a")
	must(t, err)
	slices.Sort(names)
	if fmt.Sprint(names) != "[e s-0000000000 s-0000000001 s-0000000003]" {
		t.Errorf("children %v", names)
	}
	if p, err := c.Sync("/a"); err != nil || p != "/a" {
		t.Errorf("sync %q, %v", p, err)
	}
}

// TestMultiIsAllOrNothing: a failed multi leaves no trace, not in versions, sequence numbers or watches.
func TestMultiIsAllOrNothing(t *testing.T) {
	t.Parallel()
	c, _ := dial(t, start(t, Options{}), 5*time.Second)
	_, err := c.Create("/m", []byte("0"), 0, world)
	must(t, err)
	_, _, child, err := c.ChildrenW("/m")
	must(t, err)
	_, _, data, err := c.GetW("/m")
	must(t, err)
	_, before, err := c.Get("/m")
	must(t, err)
	rs, err := c.Multi(&zk.CreateRequest{Path: "/m/a", Acl: world}, &zk.CreateRequest{Path: "/m/s-", Acl: world, Flags: zk.FlagSequence},
		&zk.SetDataRequest{Path: "/m", Data: []byte("1"), Version: 0}, &zk.DeleteRequest{Path: "/m/a", Version: 0},
		&zk.CreateRequest{Path: "/m/e", Acl: world, Flags: zk.FlagEphemeral}, &zk.CheckVersionRequest{Path: "/m", Version: 9}, &zk.DeleteRequest{Path: "/none"})
	want(t, "multi", err, zk.ErrBadVersion)
	for i, r := range rs {
		if (r.Error != nil) != (i >= 5) {
			t.Errorf("operation %d: %v", i, r.Error)
		}
	}
	_, after, err := c.Get("/m")
	must(t, err)
	if *after != *before {
		t.Errorf("a refused multi leaves %+v\nof             %+v", after, before)
	}
	select {
	case e := <-child:
		t.Errorf("event %+v", e)
	case e := <-data:
		t.Errorf("event %+v", e)
	default:
	}
	rs, err = c.Multi(&zk.CreateRequest{Path: "/m/s-", Acl: world, Flags: zk.FlagSequence}, &zk.SetDataRequest{Path: "/m", Version: 0})
	must(t, err)
	if rs[0].String != "/m/s-0000000000" || rs[1].Stat.Version != 1 {
		t.Errorf("results %+v %+v", rs[0], rs[1])
	}
	<-child
	<-data
}

func TestWatches(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	c, _ := dial(t, s, 5*time.Second)
	w, _ := dial(t, s, 5*time.Second)
	for _, tc := range []struct {
		name string
		do   func() error
		want map[string]zk.EventType // which watches fire
	}{
		{"create", func() error { _, err := w.Create("/n/new", nil, 0, world); return err }, map[string]zk.EventType{"exist": zk.EventNodeCreated, "child": zk.EventNodeChildrenChanged}},
		{"set", func() error { _, err := w.Set("/n", []byte("x"), -1); return err }, map[string]zk.EventType{"data": zk.EventNodeDataChanged}},
		{"delete", func() error { return w.Delete("/n/old", -1) }, map[string]zk.EventType{"old": zk.EventNodeDeleted, "child": zk.EventNodeChildrenChanged}},
	} {
		for _, p := range []string{"/n", "/n/old"} {
			if _, err := w.Create(p, nil, 0, world); err != nil && !errors.Is(err, zk.ErrNodeExists) {
				t.Fatal(err)
			}
		}
		if err := w.Delete("/n/new", -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
			t.Fatal(err)
		}
		channels := map[string]<-chan zk.Event{}
		var err error
		_, _, channels["data"], err = c.GetW("/n")
		must(t, err)
		_, _, channels["child"], err = c.ChildrenW("/n")
		must(t, err)
		_, _, channels["exist"], err = c.ExistsW("/n/new")
		must(t, err)
		_, _, channels["old"], err = c.ExistsW("/n/old")
		must(t, err)
		must(t, tc.do())
		for name, ev := range tc.want {
			select {
			case e := <-channels[name]:
				if e.Type != ev {
					t.Errorf("%s: %s watch tells %v", tc.name, name, e.Type)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%s: the %s watch does not fire", tc.name, name)
			}
		}
		// What was written before is answered before: nothing more is under way.
		_, err = c.Sync("/n")
		must(t, err)
		for name, ch := range channels {
			if _, fires := tc.want[name]; fires {
				continue
			}
			select {
			case e := <-ch:
				t.Errorf("%s: the %s watch tells %v", tc.name, name, e.Type)
			default:
			}
		}
		for _, p := range []string{"/n/old", "/n/new", "/n"} { // clears the watches
			if err := w.Delete(p, -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
				t.Fatal(err)
			}
		}
	}
}

func TestACL(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	mine, _ := dial(t, s, 5*time.Second)
	none, _ := dial(t, s, 5*time.Second)
	_, err := mine.Create("/p", nil, 0, zk.AuthACL(zk.PermAll))
	want(t, "auth acl without auth", err, zk.ErrInvalidACL)
	must(t, mine.AddAuth("digest", []byte("u:p")))
	_, err = mine.Create("/p", []byte("s"), 0, zk.AuthACL(zk.PermAll))
	must(t, err)
	acl, _, err := mine.GetACL("/p")
	must(t, err)
	if fmt.Sprint(acl) != fmt.Sprint(zk.DigestACL(zk.PermAll, "u", "p")) {
		t.Errorf("acl %v", acl)
	}
	_, _, err = none.Get("/p")
	want(t, "read", err, zk.ErrNoAuth)
	_, err = none.Set("/p", nil, -1)
	want(t, "write", err, zk.ErrNoAuth)
	_, err = none.Create("/p/x", nil, 0, world)
	want(t, "create below", err, zk.ErrNoAuth)
	_, err = none.Multi(&zk.CheckVersionRequest{Path: "/p", Version: 0})
	want(t, "check", err, zk.ErrNoAuth)
	must(t, none.Delete("/p", -1)) // that is the parent's to allow
	_, err = mine.Create("/r", nil, 0, append(zk.WorldACL(zk.PermRead), zk.DigestACL(zk.PermAll, "u", "p")...))
	must(t, err)
	_, _, err = none.Get("/r")
	must(t, err)
	_, err = none.SetACL("/r", world, -1)
	want(t, "set acl", err, zk.ErrNoAuth)
	_, err = mine.SetACL("/r", world, 0)
	must(t, err)
	_, err = none.Set("/r", nil, -1)
	must(t, err)
	if err := none.AddAuth("sasl", nil); err == nil {
		t.Error("an unknown scheme is accepted")
	}
}

// TestExpiry: a silent client's ephemeral nodes go after its time-out, not before; an orderly close takes them at once.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	watch, _ := dial(t, s, 10*time.Second)
	c, _ := dial(t, s, 600*time.Millisecond)
	_, err := c.Create("/e", nil, zk.FlagEphemeral, world)
	must(t, err)
	_, _, gone, err := watch.ExistsW("/e")
	must(t, err)
	// While it pings it lives.
	select {
	case <-gone:
		t.Fatal("a living session expired")
	case <-time.After(1500 * time.Millisecond):
	}
	s.SetFault(func(r Request) Fault { return Fault{} })
	began := time.Now()
	c.Close()
	<-gone
	if d := time.Since(began); d > 300*time.Millisecond {
		t.Errorf("an orderly close took %s", d)
	}
	// A client that connects and then says nothing.
	conn, err := net.Dial("tcp", s.Addr())
	must(t, err)
	defer conn.Close()
	id, _ := greet(t, conn, 400)
	began = time.Now()
	for slices.Contains(s.Sessions(), id) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("a silent session does not expire")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if d := time.Since(began); d < 350*time.Millisecond {
		t.Errorf("it expired after %s", d)
	}
}

// greet does the connect by hand.
func greet(t *testing.T, conn net.Conn, timeoutMs uint32) (id int64, password []byte) {
	t.Helper()
	b := binary.BigEndian.AppendUint64(make([]byte, 4), 0)
	b = binary.BigEndian.AppendUint32(b, timeoutMs)
	b = binary.BigEndian.AppendUint64(b, 0)
	b = binary.BigEndian.AppendUint32(b, 16)
	b = append(b, make([]byte, 16)...)
	_, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	must(t, err)
	got := make([]byte, 4+36)
	_, err = io.ReadFull(conn, got)
	must(t, err)
	return int64(binary.BigEndian.Uint64(got[12:])), got[24:]
}

// TestFaults: each fault does what it says, seen by the bare library.
func TestFaults(t *testing.T) {
	t.Parallel()
	var next Fault
	s := start(t, Options{})
	c, _ := dial(t, s, 3*time.Second)
	_, err := c.Create("/f", nil, 0, world)
	must(t, err)
	s.SetFault(func(r Request) Fault {
		if r.Op != OpSetData || r.Path != "/f" {
			return Fault{}
		}
		f := next
		next = Fault{}
		return f
	})
	version := func() int32 {
		_, st, err := c.Get("/f")
		for errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) {
			_, st, err = c.Get("/f")
		}
		must(t, err)
		return st.Version
	}
	prepare := func(f Fault) {
		s.mu.Lock()
		next = f
		s.mu.Unlock()
	}
	set := func(f Fault) error {
		prepare(f)
		_, err := c.Set("/f", nil, -1)
		return err
	}
	want(t, "code", set(Fault{Code: BadVersion}), zk.ErrBadVersion)
	if v := version(); v != 0 {
		t.Errorf("version %d after a refusal", v)
	}
	want(t, "drop", set(Fault{Drop: true}), zk.ErrConnectionClosed)
	if v := version(); v != 0 {
		t.Errorf("version %d after a drop", v)
	}
	want(t, "lose", set(Fault{Lose: true}), zk.ErrConnectionClosed)
	if v := version(); v != 1 {
		t.Errorf("version %d after a lost answer", v)
	}
	want(t, "late", set(Fault{Late: 50 * time.Millisecond}), zk.ErrConnectionClosed)
	for began := time.Now(); version() != 2; {
		if time.Since(began) > 20*time.Second {
			t.Fatal("the late request never came")
		}
	}
	began := time.Now()
	must(t, set(Fault{Delay: 200 * time.Millisecond}))
	if d := time.Since(began); d < 200*time.Millisecond {
		t.Errorf("a delayed answer came after %s", d)
	}
	muted := make(chan error, 1)
	prepare(Fault{Mute: true})
	go func() {
		_, err := c.Set("/f", nil, -1)
		muted <- err
	}()
	for taken := false; !taken; {
		s.mu.Lock()
		taken = next == Fault{}
		s.mu.Unlock()
	}
	if v := version(); v != 3 { // other requests of the connection are answered
		t.Errorf("version %d after a request nobody answered", v)
	}
	select {
	case err := <-muted:
		t.Errorf("the muted request was answered: %v", err)
	default:
	}
	s.Down()
	want(t, "mute", <-muted, zk.ErrConnectionClosed)
	must(t, s.Up())
}

// TestDownUpWipe: down and up keep all; a wiped server refuses clients that have seen more than it has.
func TestDownUpWipe(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	c, _ := dial(t, s, 5*time.Second)
	for i := range 5 {
		_, err := c.Create(fmt.Sprintf("/n%d", i), nil, zk.FlagEphemeral, world)
		must(t, err)
	}
	id := c.SessionID()
	s.Down()
	if conn, err := net.Dial("tcp", s.Addr()); err == nil {
		conn.Close()
		t.Error("a server that is down takes connections")
	}
	must(t, s.Up())
	must(t, s.Up())
	for began := time.Now(); ; {
		ok, st, err := c.Exists("/n4")
		if err == nil {
			if !ok || st.EphemeralOwner != id {
				t.Fatalf("after down and up: %t, %+v", ok, st)
			}
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal(err)
		}
	}
	s.Wipe()
	conn, err := net.Dial("tcp", s.Addr())
	must(t, err)
	defer conn.Close()
	b := binary.BigEndian.AppendUint64(make([]byte, 4), 1000) // has seen change 1000
	b = binary.BigEndian.AppendUint32(b, 1000)
	b = binary.BigEndian.AppendUint64(b, 0)
	b = binary.BigEndian.AppendUint32(b, 0)
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	must(t, err)
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes for a client from the future", n)
	}
}

// FuzzServe: whatever a client sends, the server neither panics nor stops serving others.
func FuzzServe(f *testing.F) {
	hello := binary.BigEndian.AppendUint64(make([]byte, 4), 0)
	hello = binary.BigEndian.AppendUint32(hello, 1000)
	hello = binary.BigEndian.AppendUint64(hello, 0)
	hello = binary.BigEndian.AppendUint32(hello, 0)
	frame := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	request := func(op Op, body ...byte) []byte {
		return frame(append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 1), uint32(op)), body...))
	}
	f.Add([]byte("ruok"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	for _, op := range []Op{OpCreate, OpMulti, OpSetWatches, OpAuth, OpGetData, OpClose, 77} {
		f.Add(append(frame(hello), request(op)...))
		f.Add(append(frame(hello), request(op, 0, 0, 0, 1, '/', 0xff, 0xff, 0xff, 0x7f)...))
	}
	f.Add(append(frame(hello), request(OpMulti, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, '/', 'x', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)...))
	s := start(f, Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(b); err != nil {
			return // cut already
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("the server holds a connection whose client has ended")
		}
	})
}
