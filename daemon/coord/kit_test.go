package coord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"omsync/openmldb/zkconn"
	"omsync/testenv/zkserver"
)

// sessionTime is short, but a loaded machine must not lose sessions by itself.
const sessionTime = 1500 * time.Millisecond

const root = "/openmldb_cluster"

func logger(t *testing.T) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).With("test", t.Name())
	}
	return slog.New(slog.DiscardHandler)
}

// connect runs a Conn for the length of a test.
func connect(t *testing.T, addr string) *zkconn.Conn {
	t.Helper()
	c := zkconn.Open(zkconn.Options{Servers: []string{addr}, SessionTimeout: sessionTime, Logger: logger(t)})
	done := make(chan error, 1)
	go func() { done <- c.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return c
}

// session is one process's.
func session(t *testing.T, addr string) *Session {
	t.Helper()
	return New(connect(t, addr), root, Options{Logger: logger(t)})
}

// lead is elected, begins an epoch and holds the lead to the test's end or stop.
func lead(t *testing.T, s *Session) (store *Store, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got, done := make(chan *Store, 1), make(chan error, 1)
	go func() {
		done <- s.Election("127.0.0.1:1").Run(ctx, func(ctx context.Context, l *Lead) error {
			st, err := l.Begin(ctx)
			if err != nil {
				return err
			}
			got <- st
			<-ctx.Done()
			return nil
		})
	}()
	ended := false
	stop = func() {
		if !ended {
			ended = true
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	select {
	case store = <-got:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody was elected")
	}
	return store, stop
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// fataler is *testing.T, *testing.B or *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t fataler, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Fatalf("error %v, want %v", err, wanted)
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

func closed(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not come", what)
	}
}

// task is a task with so many partitions.
func task(id string, partitions int) (TaskSpec, map[uint32]SubtaskState) {
	spec := TaskSpec{ID: id, TID: 7, DB: "db", Table: "t", Mode: 2, Dest: "hdfs://nn:8020/out", Format: "csv", CreatedMs: 1_700_000_000_000}
	states := map[uint32]SubtaskState{}
	for p := range uint32(partitions) {
		spec.Partitions = append(spec.Partitions, p)
		states[p] = SubtaskState{Status: Init}
	}
	return spec, states
}

// big is a state of about this many bytes.
func big(size int) SubtaskState {
	return SubtaskState{Status: Running, Point: Point{Phase: "SNAPSHOT", Key: []byte(strings.Repeat("k", size*3/4))}}
}

func expire(z *zkserver.Target, c *zkconn.Conn) { z.Expire(c.SessionKey()) }

func states(task *Task) string {
	var b strings.Builder
	for _, p := range task.Spec.Partitions {
		fmt.Fprintf(&b, "%d:%s/%d@%d ", p, task.States[p].State.Status, task.States[p].State.Seq, task.States[p].Version)
	}
	return strings.TrimSpace(b.String())
}
