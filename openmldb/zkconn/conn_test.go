package zkconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"omsync/testenv/zkserver"
)

func TestOperations(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	c := open(t, Options{Servers: []string{z.Addr()}})
	ctx := limit(t)

	must(t, c.MkdirAll(ctx, "/a/b"))
	must(t, c.MkdirAll(ctx, "/a/b"))
	p, err := c.Create(ctx, "/a/b/x", []byte("1"), Persistent)
	must(t, err)
	if p != "/a/b/x" {
		t.Fatalf("created %q", p)
	}
	_, err = c.Create(ctx, "/a/b/x", nil, Persistent)
	wantErr(t, err, ErrNodeExists)
	_, err = c.Create(ctx, "/no/x", nil, Persistent)
	wantErr(t, err, ErrNoNode)
	st, err := c.Set(ctx, "/a/b/x", []byte("2"), 0)
	must(t, err)
	if st.Version != 1 {
		t.Fatalf("version %d after a set", st.Version)
	}
	_, err = c.Set(ctx, "/a/b/x", []byte("3"), 0)
	wantErr(t, err, ErrBadVersion)
	value, st, err := c.Get(ctx, "/a/b/x")
	must(t, err)
	if string(value) != "2" || st.Version != 1 {
		t.Fatalf("read %q at version %d", value, st.Version)
	}
	must(t, c.Sync(ctx, "/a"))
	there, _, err := c.Exists(ctx, "/a/b/y")
	must(t, err)
	if there {
		t.Fatal("a node that was never made exists")
	}
	names, _, err := c.Children(ctx, "/a/b")
	must(t, err)
	if fmt.Sprint(names) != "[x]" {
		t.Fatalf("children %v", names)
	}
	wantErr(t, c.Delete(ctx, "/a/b", -1), ErrNotEmpty)
	must(t, c.Delete(ctx, "/a/b/x", 1))
	_, _, err = c.Get(ctx, "/a/b/x")
	wantErr(t, err, ErrNoNode)

	one, err := c.Create(ctx, "/a/n-", nil, EphemeralSequential)
	must(t, err)
	two, err := c.Create(ctx, "/a/n-", nil, EphemeralSequential)
	must(t, err)
	if !(one < two) || len(one) != len("/a/n-")+10 {
		t.Fatalf("sequence %q, %q", one, two)
	}
	empty, _, err := c.Get(ctx, one)
	must(t, err)
	if empty == nil || len(empty) != 0 {
		t.Fatalf("an empty value is read as %v: it was not written as length 0", empty)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
	if Unknown(err) {
		t.Fatalf("a plain answer counts as unknown: %v", err)
	}
}

func TestMulti(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	c := open(t, Options{Servers: []string{z.Addr()}})
	ctx := limit(t)
	must(t, c.MkdirAll(ctx, "/m"))
	rs, err := c.Multi(ctx, CreateOp("/m/a", []byte("1"), Persistent), SetOp("/m/a", []byte("2"), 0), CreateOp("/m/a/b", nil, Persistent), CheckOp("/m/a", 1))
	must(t, err)
	if len(rs) != 4 || rs[0].Path != "/m/a" || rs[1].Stat.Version != 1 || rs[2].Path != "/m/a/b" {
		t.Fatalf("results %+v", rs)
	}
	for _, tc := range []struct {
		name   string
		ops    []Op
		failed int
		err    error
	}{
		{"check", []Op{CheckOp("/m/a", 7), SetOp("/m/a", nil, 1)}, 0, ErrBadVersion},
		{"set", []Op{CheckOp("/m/a", 1), SetOp("/m/a", []byte("no"), 1), SetOp("/m/a", nil, 1)}, 2, ErrBadVersion},
		{"create", []Op{SetOp("/m/a", []byte("no"), 1), CreateOp("/m/a/b", nil, Persistent)}, 1, ErrNodeExists},
		{"delete", []Op{CreateOp("/m/c", nil, Persistent), DeleteOp("/m/a", -1)}, 1, ErrNotEmpty},
		{"no node", []Op{CheckOp("/m/none", -1), CreateOp("/m/c", nil, Persistent)}, 0, ErrNoNode},
	} {
		_, err := c.Multi(ctx, tc.ops...)
		if !errors.Is(err, tc.err) || FailedOp(err) != tc.failed {
			t.Errorf("%s: error %v at operation %d, want %v at %d", tc.name, err, FailedOp(err), tc.err, tc.failed)
		}
	}
	value, st, err := c.Get(ctx, "/m/a")
	must(t, err)
	if string(value) != "2" || st.Version != 1 {
		t.Fatalf("refused multis left %q at version %d", value, st.Version)
	}
	names, _, err := c.Children(ctx, "/m")
	must(t, err)
	if fmt.Sprint(names) != "[a]" {
		t.Fatalf("refused multis left children %v", names)
	}
}

// TestTooLarge: a server cuts the connection for a request that is too large, which would look like a lost answer for ever.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	c := open(t, Options{Servers: []string{z.Addr()}})
	ctx := limit(t)
	big := bytes.Repeat([]byte("x"), MaxRequest)
	_, err := c.Create(ctx, "/big", big, Persistent)
	wantErr(t, err, ErrTooLarge)
	_, err = c.Multi(ctx, CreateOp("/big", big[:MaxRequest/2], Persistent), CreateOp("/big2", big[:MaxRequest/2], Persistent))
	wantErr(t, err, ErrTooLarge)
	// What is allowed passes.
	_, err = c.Create(ctx, "/big", big[:MaxRequest-1000], Persistent)
	must(t, err)
	value, _, err := c.Get(ctx, "/big")
	must(t, err)
	if len(value) != MaxRequest-1000 {
		t.Fatalf("%d bytes came back", len(value))
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	c := open(t, Options{Servers: []string{"127.0.0.1:1"}, OpTimeout: 100 * time.Millisecond})
	start := time.Now()
	_, _, err := c.Get(limit(t), "/x")
	if !errors.Is(err, ErrNotConnected) || Unknown(err) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Fatalf("error %v", err)
	}
	if _, err = c.Set(limit(t), "/x", nil, -1); !errors.Is(err, ErrNotConnected) || Unknown(err) {
		t.Fatalf("error %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Fatalf("it took %s", d)
	}
	if s := c.Session(); s.Connected || s.ID != 0 {
		t.Fatalf("session %+v", s)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	c := Open(Options{})
	if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "zk_cluster") {
		t.Fatalf("error %v", err)
	}
	if err := c.Run(t.Context()); err == nil {
		t.Fatal("a second Run is accepted")
	}
	if _, _, err := c.Get(t.Context(), "/x"); !errors.Is(err, ErrClosed) {
		t.Fatalf("error %v", err)
	}
}

// TestOrderlyEnd: Close ends the session at the server at once, so that ephemeral nodes go with it.
func TestOrderlyEnd(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	other := open(t, Options{Servers: []string{z.Addr()}})
	c := Open(Options{Servers: []string{z.Addr()}, SessionTimeout: 30 * time.Second})
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(limit(t))
	go func() { done <- c.Run(ctx) }()
	_, err := c.Create(ctx, "/mine", nil, Ephemeral)
	must(t, err)
	there, _, gone, err := other.ExistsW(limit(t), "/mine")
	must(t, err)
	if !there {
		t.Fatal("the node is not there")
	}
	start := time.Now()
	cancel()
	must(t, <-done)
	closed(t, "the end of the ephemeral node", gone)
	if d := time.Since(start); d > 10*time.Second {
		t.Fatalf("the node outlived its session by %s", d)
	}
}
