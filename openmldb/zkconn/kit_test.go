package zkconn

import (
	"context"
	"os"
	"testing"
	"time"

	"log/slog"

	"omsync/testenv/zkserver"
)

// sessionTime is short, but a loaded machine must not lose sessions by itself.
const sessionTime = 1500 * time.Millisecond

// open runs a Conn for the length of a test.
func open(t *testing.T, o Options) *Conn {
	t.Helper()
	if o.SessionTimeout == 0 {
		o.SessionTimeout = sessionTime
	}
	if testing.Verbose() {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", t.Name())
	}
	c := Open(o)
	done := make(chan error, 1)
	go func() { done <- c.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// limit is a context that ends a test that hangs.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// closed waits for a channel to be closed.
func closed(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not come", what)
	}
}

// eventually polls a condition that other processes bring about.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !f() {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func expire(t *testing.T, z *zkserver.Target, c *Conn) {
	t.Helper()
	z.Expire(c.SessionKey())
}
