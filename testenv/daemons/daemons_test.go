package daemons

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(t *testing.T, name, script string) *Process {
	t.Helper()
	p, err := Start(Command{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"WHO=me"}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func says(t *testing.T, p *Process, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := Until(ctx, "it says "+text, time.Millisecond, func(context.Context) (bool, error) { return strings.Contains(p.Tail(100), text), nil }); err != nil {
		t.Fatal(err)
	}
}

func TestEndsOfProcesses(t *testing.T) {
	t.Parallel()
	good := sh(t, "good", `trap 'echo bye $WHO; exit 0' TERM; echo up; while :; do sleep 0.01; done`)
	says(t, good, "up")
	if !good.Running() || good.ExitCode() != -1 {
		t.Error("it runs")
	}
	if err := good.Stop(10 * time.Second); err != nil || good.ExitCode() != 0 || good.Tail(1) != "bye me" {
		t.Error(err, good.ExitCode(), good.Tail(1))
	}
	if err := good.Signal(syscall.SIGTERM); err != nil {
		t.Error("signal to one that has ended:", err)
	}
	bad := sh(t, "bad", `echo why; exit 4`)
	<-bad.Done()
	if err := bad.Stop(time.Second); err == nil || bad.ExitCode() != 4 || !strings.Contains(err.Error(), "why") {
		t.Error(err, bad.ExitCode())
	}
	deaf := sh(t, "deaf", `trap '' TERM; echo up; while :; do sleep 0.01; done`)
	says(t, deaf, "up")
	if err := deaf.Stop(50 * time.Millisecond); err == nil || deaf.Running() || !strings.Contains(err.Error(), "still running") {
		t.Error(err)
	}
	// The whole group goes: the child of the shell too.
	group := sh(t, "group", `sleep 1000 & echo child $!; wait`)
	says(t, group, "child")
	if err := group.Kill(); err != nil || group.ExitCode() != -1 {
		t.Error(err, group.ExitCode())
	}
	if _, err := Start(Command{Name: "none", Path: "/nonexistent", Dir: t.TempDir()}); err == nil {
		t.Error("a missing binary starts")
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	never := func(context.Context) (bool, error) { return false, nil }
	if err := Until(ctx, "pigs fly", time.Millisecond, never); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "pigs fly") {
		t.Error(err)
	}
	boom := errors.New("boom")
	if err := Until(t.Context(), "x", time.Millisecond, func(context.Context) (bool, error) { return false, boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
}

func TestConfFiles(t *testing.T) {
	t.Parallel()
	p := Place{Bin: "/b", Dir: t.TempDir(), ZK: "z:1", Root: "/r"}
	c, err := p.Collector("c0", "127.0.0.2:9", Conf{"max_pack_size": "7", "zk_root_path": "/other"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(p.Dir, "c0", "data_collector.flags"))
	if err != nil || !strings.Contains(string(b), "--endpoint=127.0.0.2:9\n--max_pack_size=7\n") || !strings.Contains(string(b), "--zk_root_path=/other\n") || c.Path != "/b/data_collector" {
		t.Errorf("%s %v %+v", b, err, c)
	}
	if _, err = p.Synctool("s", "127.0.0.1:8848", Conf{"segment_age": "1"}); err != nil {
		t.Fatal(err)
	}
	b, err = os.ReadFile(filepath.Join(p.Dir, "s", "synctool.properties"))
	if err != nil || !strings.Contains(string(b), "segment_age=1\nserver.host=127.0.0.1\nserver.port=8848\n") {
		t.Errorf("%s %v", b, err)
	}
	if _, err := p.Synctool("s", "nonsense", nil); err == nil {
		t.Error("an address without a port passes")
	}
	addr, err := FreePort("127.0.0.3")
	if err != nil || !strings.HasPrefix(addr, "127.0.0.3:") {
		t.Error(addr, err)
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	if root, err := Root(); err != nil || filepath.Base(root) == "testenv" {
		t.Fatal(root, err)
	}
	if err := Build(t.Context(), t.TempDir(), BuildOptions{}, "testenv/nothing"); err == nil || !strings.Contains(err.Error(), "testenv/nothing") {
		t.Error(err)
	}
}
