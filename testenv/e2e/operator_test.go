//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"omsync/openmldb/pb/commonpb"
	"omsync/testenv/daemons"
	"omsync/testenv/load"
	"omsync/testenv/scene"
)

// ctl runs omsync-tui ctl as an operator does, without a terminal.
func (k *kit) ctl(args ...string) (code int, stdout, stderr string) {
	k.Helper()
	c := exec.CommandContext(k.ctx, filepath.Join(bin, "omsync-tui"), append([]string{"ctl"}, args...)...)
	var out, err bytes.Buffer
	c.Stdout, c.Stderr, c.Dir = &out, &err, k.dir
	e := c.Run()
	var exit *exec.ExitError
	if e != nil && !errors.As(e, &exit) {
		k.Fatal(e)
	}
	return c.ProcessState.ExitCode(), out.String(), err.String()
}

// TestOperator plays an operator's day through omsync-tui ctl: what is refused and why, a task's life, the JSON that scripts read.
func TestOperator(t *testing.T) {
	t.Parallel()
	k := newScene(t, 2, scene.Options{})
	s := k.synctool("s")
	tb := k.table(load.Wide("db", "orders", 2, 1))
	k.write(tb, 400, load.Options{Mix: load.Usual, Keys: 100})
	k.snapshots(tb)
	memory := load.Wide("db", "inmemory", 1, 1)
	memory.Storage = commonpb.StorageMode_kMemory
	k.table(memory)
	other := k.table(load.Wide("db", "other", 2, 1))
	k.write(other, 50, load.Options{Keys: 10})
	dest := k.Dest("orders")
	full := k.Dest("full")
	k.must(os.MkdirAll(full, 0o755))
	k.must(os.WriteFile(filepath.Join(full, "old.csv"), []byte("1\n"), 0o644))

	create := func(more ...string) []string {
		return append([]string{"create", "-s", s.Addr, "-t", "db.orders", "-m", "2", "-d", dest}, more...)
	}
	with := func(args []string, key, value string) []string {
		for i := range args {
			if args[i] == key {
				args[i+1] = value
			}
		}
		return args
	}
	expect := func(code int, says string, args ...string) string {
		t.Helper()
		got, out, err := k.ctl(args...)
		if got != code || !strings.Contains(out+err, says) {
			t.Errorf("ctl %s: exit %d, want %d and %q\nstdout: %s\nstderr: %s", strings.Join(args, " "), got, code, says, out, err)
		}
		return out
	}

	expect(1, "collector", create()...) // none lives on the leaders' hosts yet
	k.collector("c0", 0)
	k.collector("c1", 1)
	k.must(daemons.Until(k.ctx, "a dry run finds nothing in the way", 100*time.Millisecond, func(contextT) (bool, error) {
		code, _, _ := k.ctl(create("--dry-run")...)
		return code == 0, nil
	}))

	expect(2, "-m", with(create(), "-m", "7")...)
	expect(2, "-ts", create("-ts", "-5")...)
	expect(2, "db.table", with(create(), "-t", "orders")...)
	expect(3, "db.nothing", with(create(), "-t", "db.nothing")...)
	expect(1, "memory", with(create(), "-t", "db.inmemory")...)
	expect(2, "absolute", with(create(), "-d", "out/orders")...)
	expect(1, "dest.allowed_prefixes", with(create(), "-d", "/somewhere/else")...)
	expect(1, "dest-unreachable", with(create(), "-d", "hdfs://127.0.0.1:1/x")...)
	expect(1, "allow-nonempty", with(create(), "-d", full)...)
	expect(5, "127.0.0.1:1", with(create(), "-s", "127.0.0.1:1")...)
	expect(2, "creat", "creat", "-s", s.Addr)
	expect(0, "mode", "create", "--help")

	expect(0, "", create("--wait=running")...)
	expect(4, "db.orders", create()...)
	expect(1, "use", with(with(create(), "-t", "db.other"), "-d", filepath.Join(dest, "sub"))...)
	expect(0, "db.orders", "status", "-s", s.Addr)
	expect(0, "db.orders", "get", "tasks", "-s", s.Addr)
	expect(0, "active", "get", "collectors", "-s", s.Addr)
	expect(0, "inmemory", "get", "tables", "--zk", zk.Addr(), "--zk-root", k.Cluster.Root())
	expect(0, "db.orders", "status", "--zk", zk.Addr(), "--zk-root", k.Cluster.Root())

	var envelope struct {
		Kind  string
		Items []map[string]any
	}
	if err := json.Unmarshal([]byte(expect(0, "", "status", "-s", s.Addr, "-o", "json")), &envelope); err != nil || len(envelope.Items) != 2 {
		t.Errorf("status -o json: %v, %+v", err, envelope)
	}
	expect(0, "", "recover", "-t", "db.orders", "-s", s.Addr)
	expect(3, "db.other", "recover", "-t", "db.other", "-s", s.Addr)
	expect(2, "--yes", "delete", "-t", "db.orders", "-s", s.Addr)
	expect(0, "db.orders", "delete", "-t", "db.orders", "-s", s.Addr, "--yes")
	expect(3, "db.orders", "delete", "-t", "db.orders", "-s", s.Addr, "--yes")

	// Mode 0 ends by itself and is remembered.
	expect(0, "", with(with(create("--wait=success"), "-m", "0"), "-d", k.Dest("again"))...)
	expect(0, "db.orders", "get", "tasks", "--finished", "-s", s.Addr)
	if _, err := os.Stat(filepath.Join(k.Dest("again"), "_SUCCESS")); err != nil {
		t.Error(err)
	}
}

// TestRubbishAtPorts: whatever is thrown at a daemon's port, it answers the next one.
func TestRubbishAtPorts(t *testing.T) {
	t.Parallel()
	k := newScene(t, 1, scene.Options{})
	all := []*scene.Daemon{k.synctool("s"), k.collector("c", 0)}
	for _, d := range all {
		for _, rubbish := range []string{
			"", "P", "PRPC", "PRPC\xff\xff\xff\xff\xff\xff\xff\xff", "PRPC\x00\x00\x00\x04\x00\x00\x00\x04\xff\xff\xff\xff", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff",
			"GET / HTTP/9.9\r\n\r\n", "POST /openmldb.datasync.SyncTool/CreateSyncTask HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{", "\x00\x01\x02\x03\x04",
		} {
			c, err := net.DialTimeout("tcp", d.Addr, time.Second)
			k.must(err)
			_, _ = c.Write([]byte(rubbish)) // it may hang up at once
			k.must(c.Close())
		}
		page, err := d.Get(k.ctx, "/version")
		if err != nil || !strings.Contains(page, "omsync") {
			t.Errorf("%s: %q, %v", d.Name, page, err)
		}
		if page, err = d.Get(k.ctx, "/metrics"); err != nil || !strings.Contains(page, "omsync_") {
			t.Errorf("%s: metrics: %v", d.Name, err)
		}
		if page, err = d.Get(k.ctx, "/status"); err != nil || !strings.Contains(page, "omsync") {
			t.Errorf("%s: status: %q, %v", d.Name, page, err)
		}
		if err := d.Stop(10 * time.Second); err != nil {
			t.Errorf("%s does not stop in order: %v", d.Name, err)
		}
	}
}

// TestBadConf: a daemon that can not run says why and what to do, and exits with 2 or 3.
func TestBadConf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) // after the subtests, which run when this function has returned
	_, taken, _ := net.SplitHostPort(l.Addr().String())
	for name, c := range map[string]struct {
		command string
		args    []string
		code    int
		says    []string
	}{
		"no flagfile":     {"data_collector", []string{"--flagfile=" + dir + "/none"}, 2, []string{dir + "/none"}},
		"no endpoint":     {"data_collector", []string{"--zk_cluster=z:1"}, 2, []string{"endpoint", "required"}},
		"unknown flag":    {"data_collector", []string{"--flagfile=" + file("a", "--endpoint=127.0.0.1:1\n--zk_cluster=z:1\n--zk_rot_path=/x\n")}, 2, []string{"zk_rot_path", "zk_root_path", "a:3"}},
		"stray word":      {"data_collector", []string{"start"}, 2, []string{"start"}},
		"no conf":         {"synctool", []string{"--conf=" + dir + "/none"}, 2, []string{dir + "/none"}},
		"no port":         {"synctool", []string{"--conf=" + file("b", "zookeeper.cluster=z:1\nzookeeper.root_path=/x\nsync_task.progress_path=/tmp/p\n")}, 2, []string{"server.port", "required"}},
		"unknown key":     {"synctool", []string{"--conf=" + file("c", "server.port=1\nzookeeper.cluster=z:1\nzookeeper.root_path=/x\nsync_task.progres_path=/tmp/p\n")}, 2, []string{"sync_task.progres_path", "sync_task.progress_path"}},
		"port taken":      {"synctool", []string{"--conf=" + file("d", "server.host=127.0.0.1\nserver.port="+taken+"\nzookeeper.cluster=127.0.0.1:1\nzookeeper.root_path=/x\nlog.dir=\nsync_task.progress_path="+dir+"/p\n")}, 3, []string{taken}},
		"collector port":  {"data_collector", []string{"--endpoint=127.0.0.1:" + taken, "--zk_cluster=127.0.0.1:1", "--openmldb_log_dir=", "--collector_datadir=" + dir + "/data"}, 3, []string{taken}},
		"check, all well": {"synctool", []string{"--check-config", "--conf=" + file("e", "server.port=8848\nzookeeper.cluster=z:1\nzookeeper.root_path=/x\nsync_task.progress_path=/tmp/p\n")}, 0, nil},
		"version":         {"data_collector", []string{"--version"}, 0, []string{"omsync"}},
		"help":            {"synctool", []string{"--help"}, 0, []string{"--conf", "--check-config"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(bin, c.command), c.args...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit %d, want %d (%v): %s", code, c.code, err, out)
			}
			for _, says := range c.says {
				if !strings.Contains(string(out), says) {
					t.Errorf("it does not say %q: %s", says, out)
				}
			}
		})
	}
}
