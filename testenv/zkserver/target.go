package zkserver

import "testing"

// Target is the ZooKeeper a test runs against: testenv/memzk, or with the build tag zookeeper a real server. Its methods fail the test where
// something can not be done.
type Target struct {
	Proxy *Proxy // on the way to it
	Real  bool

	t      testing.TB
	addr   string
	server backend
}

// backend is what both servers can do.
type backend interface {
	down() error
	up() error
	wipe() error
	expire(id int64, password []byte) error
	freeze(on bool) error
}

// ForTest starts a server and a proxy before it; both end with the test.
func ForTest(t testing.TB) *Target {
	t.Helper()
	x := &Target{t: t}
	x.start()
	p, err := NewProxy(x.addr)
	if err != nil {
		t.Fatal(err)
	}
	x.Proxy = p
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// Addr is the server's host:port, past the proxy.
func (x *Target) Addr() string { return x.addr }

func (x *Target) check(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// Down stops the server; nodes and sessions stay.
func (x *Target) Down() { x.t.Helper(); x.check(x.server.down()) }

// Up starts it again.
func (x *Target) Up() { x.t.Helper(); x.check(x.server.up()) }

// Wipe restarts it with an empty data directory.
func (x *Target) Wipe() { x.t.Helper(); x.check(x.server.wipe()) }

// Expire ends a session, given zkconn.Conn.SessionKey.
func (x *Target) Expire(id int64, password []byte) {
	x.t.Helper()
	x.check(x.server.expire(id, password))
}

// Freeze makes the server deaf and mute; sessions age. A frozen real server expires them once it is thawed.
func (x *Target) Freeze(on bool) { x.t.Helper(); x.check(x.server.freeze(on)) }

// Cleanup runs f at the test's end, before the server ends.
func (x *Target) Cleanup(f func()) { x.t.Cleanup(f) }
