//go:build hdfs

package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	native "github.com/colinmarc/hdfs/v2"

	"omsync/daemon/dest/hadoop"
	"omsync/testenv/daemons"
	"omsync/testenv/hdfsserver"
)

// look is what the NameNode knows of a file.
func look(t *testing.T, d *Dir, name string) *native.FileStatus {
	t.Helper()
	p, err := d.path(name, true)
	must(t, err)
	var st *native.FileStatus
	must(t, d.service.call(t.Context(), "stat", p, func(c *native.Client) error {
		i, err := c.Stat(p)
		if err == nil {
			st = i.Sys().(*native.FileStatus)
		}
		return err
	}))
	return st
}

// TestConfIsApplied: replication, block size and umask of the xml, which the native client ignores; and files longer than a block.
func TestConfIsApplied(t *testing.T) {
	dir := t.TempDir()
	must(t, shared.ClientConf(dir, hdfsserver.Conf{
		"dfs.replication": "2", "dfs.blocksize": "${block}", "block": "2m", "fs.permissions.umask-mode": "u=rwx,g=rx,o=",
	}))
	conf, err := hadoop.Load(dir)
	must(t, err)
	for _, tr := range transports {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			d := open(t, shared, Options{Transport: tr, Conf: conf})
			data := pattern(2<<20 + 4711) // one block and a bit: the first is not reported yet when the second is done
			mustPut(t, d, "sub/f", data)
			f, parent := look(t, d, "sub/f"), look(t, d, "sub")
			if f.GetBlockReplication() != 2 || f.GetBlocksize() != 2<<20 || f.GetPermission().GetPerm() != 0o640 || parent.GetPermission().GetPerm() != 0o750 {
				t.Errorf("%d copies, blocks of %d, file %o, directory %o", f.GetBlockReplication(), f.GetBlocksize(), f.GetPermission().GetPerm(), parent.GetPermission().GetPerm())
			}
			if f.GetLength() != uint64(len(data)) {
				t.Errorf("%d bytes of %d", f.GetLength(), len(data))
			}
			mustHold(t, d, "sub/f", data)
		})
	}
}

// TestCloseWaitsForReports: "replication in progress" is the usual answer after clean writes. The writer asks on.
func TestCloseWaitsForReports(t *testing.T) {
	t.Parallel()
	d := open(t, shared, Options{Transport: Native})
	mustPut(t, d, "first", nil)
	p, err := d.path("raw", false)
	must(t, err)
	x, err := d.service.borrow(t.Context())
	must(t, err)
	raw, err := x.client.CreateFile(p, 3, 1<<20, 0o644)
	must(t, err)
	_, err = raw.Write(pattern(1000))
	must(t, err)
	if err := raw.Close(); !native.IsErrReplicating(err) {
		t.Fatalf("the NameNode has heard of the block at once: %v", err)
	}
	x.close()
	w, err := d.Create(t.Context(), "f")
	must(t, err)
	_, err = w.Write(pattern(1000))
	must(t, err)
	must(t, w.Close())
	if err := w.Close(); !errors.Is(err, fs.ErrClosed) { // the native client would panic
		t.Errorf("closed twice: %v", err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("written after Close: %v", err)
	}
	mustHold(t, d, "f", pattern(1000))
}

// TestBrokenOffWriter: once a file failed, nothing makes it whole; it can be removed by its name, though the client lives on.
func TestBrokenOffWriter(t *testing.T) {
	for _, tr := range transports {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			d := open(t, shared, Options{Transport: tr})
			ctx, cancel := context.WithCancel(t.Context())
			w, err := d.Create(ctx, "f")
			must(t, err)
			_, err = w.Write(pattern(1 << 20))
			must(t, err)
			cancel()
			if _, err := w.Write(pattern(1 << 20)); !errors.Is(err, context.Canceled) {
				t.Errorf("written after the context's end: %v", err)
			}
			if err := w.Close(); !errors.Is(err, context.Canceled) {
				t.Errorf("closed after a failed write: %v", err)
			}
			mustPut(t, d, "g", pattern(100))
			// A DataNode that was about to make the file for WebHDFS may do so after it was removed.
			must(t, daemons.Until(t.Context(), "the file is gone", 50*time.Millisecond, func(ctx context.Context) (bool, error) {
				if err := d.Remove(ctx, "f"); err != nil {
					return false, err
				}
				l, err := d.List(ctx, "")
				return len(l) == 1 && l[0].Name == "g", err
			}))
		})
	}
}

// open files of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(l)
}

// settled waits until neither goroutines nor descriptors are more than before.
func settled(t *testing.T, goroutines, files int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := daemons.Until(ctx, "nothing leaks", 50*time.Millisecond, func(context.Context) (bool, error) {
		return runtime.NumGoroutine() <= goroutines && openFiles(t) <= files, nil
	})
	if err != nil {
		buf := make([]byte, 1<<20)
		t.Fatalf("%v: %d goroutines after %d, %d files after %d\n%s", err, runtime.NumGoroutine(), goroutines, openFiles(t), files, buf[:runtime.Stack(buf, true)])
	}
}

// TestDataNodeGoesWhileWritten: whichever DataNode of a pipeline is killed or stops in the middle of a file, the writer says so in time, leaves
// nothing behind, and never takes a short or corrupt file for whole.
func TestDataNodeGoesWhileWritten(t *testing.T) {
	for _, how := range []string{"kill", "freeze"} {
		for i := range shared.DataNodes {
			t.Run(fmt.Sprintf("%s %d", how, i+1), func(t *testing.T) {
				cs := clusters(t, shared, Options{Transport: Native})
				d := openAt(t, cs, fmt.Sprintf("/t%d/d", dirs.Add(1)))
				mustPut(t, d, "before", pattern(100))
				goroutines, files := runtime.NumGoroutine(), openFiles(t)
				w, err := d.Create(t.Context(), "f")
				must(t, err)
				_, err = w.Write(pattern(1 << 20))
				must(t, err)
				back := takeAway(t, i, how)
				began := time.Now()
				for range 64 {
					if _, err = w.Write(pattern(1 << 20)); err != nil {
						break
					}
				}
				if cerr := w.Close(); cerr == nil {
					t.Error("the file is closed as if it were whole")
				} else if err != nil && !errors.Is(cerr, err) {
					t.Errorf("Close says %v after %v", cerr, err)
				}
				if took := time.Since(began); took > 4*timeout {
					t.Errorf("it took %s", took)
				}
				must(t, d.Remove(t.Context(), "f"))
				settled(t, goroutines, files)
				back()
				mustPut(t, d, "after", pattern(100))
			})
		}
	}
}

// takeAway kills or freezes a DataNode and returns what brings it back.
func takeAway(t *testing.T, i int, how string) (back func()) {
	t.Helper()
	n, gone := shared.DataNodes[i], true
	again := n.Thaw
	if how == "kill" {
		must(t, n.Kill())
		again = func() error { return shared.Return(context.Background(), i) }
	} else {
		must(t, n.Freeze())
	}
	back = func() {
		if gone {
			must(t, again())
		}
		gone = false
	}
	t.Cleanup(back)
	return back
}

// TestCommitsGoOn: with one DataNode of three down and the NameNode not missing it, every native file with three copies would fail. In auto, files
// go through WebHDFS until a native one succeeds again.
func TestCommitsGoOn(t *testing.T) {
	for _, how := range []string{"kill", "freeze"} {
		t.Run(how, func(t *testing.T) {
			d := open(t, shared, Options{})
			mustPut(t, d, "before", pattern(100))
			back := takeAway(t, 1, how)
			data, began, failed, n := pattern(300<<10), time.Now(), 0, 0
			for stored := 0; stored < 2; {
				n++
				name := fmt.Sprintf("f%d", n)
				err := put(t.Context(), d, name, data)
				switch {
				case err == nil:
					stored++
					if st := look(t, d, name); st.GetLength() != uint64(len(data)) {
						t.Errorf("%s: stored with %d bytes of %d", name, st.GetLength(), len(data))
					}
				case errors.Is(err, fs.ErrPermission):
					t.Errorf("%s: %v", name, err)
				default:
					failed++
					t.Logf("after %s: %v", time.Since(began), err)
				}
				if time.Since(began) > 90*time.Second {
					t.Fatalf("only %d files stored, %d failed in %s", stored, failed, time.Since(began))
				}
			}
			if failed == 0 {
				t.Error("no file failed: the DataNode was not missed")
			}
			detour := func(until time.Time) {
				r := &d.service.route
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.fails == 0 {
					t.Error("files go straight on")
				}
				r.until = until
			}
			detour(time.Now().Add(time.Hour))
			back()
			mustPut(t, d, "still around", data)
			detour(time.Now())
			mustPut(t, d, "straight", data)
			if d.service.route.detour() {
				t.Error("files still go around after one went straight")
			}
		})
	}
}

// TestNameNodeStops: one that hangs blocks nobody for longer than the timeout, and the connection it left is not used again.
func TestNameNodeStops(t *testing.T) {
	d := open(t, shared, Options{})
	mustPut(t, d, "f", pattern(100))
	w, err := d.Create(t.Context(), "open")
	must(t, err)
	nn := shared.NameNodes[0]
	must(t, nn.Freeze())
	t.Cleanup(func() { must(t, nn.Thaw()) })
	began := time.Now()
	for range 2 {
		if _, err := d.Stat(t.Context(), "f"); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "NameNode 127.0.0.1:") {
			t.Errorf("stat: %v", err)
		}
	}
	_, werr := w.Write(pattern(100))
	if err := w.Close(); err == nil || werr == nil {
		t.Errorf("write: %v, close: %v", werr, err)
	}
	if took := time.Since(began); took > 8*timeout {
		t.Errorf("three calls took %s", took)
	}
	must(t, nn.Thaw())
	for range 3 {
		if _, err := d.Stat(t.Context(), "f"); err != nil {
			t.Errorf("stat, when it answers again: %v", err)
		}
	}
	mustPut(t, d, "g", pattern(100))
	if d.service.route.detour() {
		t.Error("a NameNode that hangs sends files around the DataNodes")
	}
}

// TestNameNodeRestarts: files that are under way fail, what follows is told of the safe mode, and then it goes on: no error but such as pass.
func TestNameNodeRestarts(t *testing.T) {
	c := hdfsserver.Require(t, hdfsserver.Options{SafeMode: 3 * time.Second})
	for _, tr := range []Transport{Auto, WebHDFS} {
		t.Run(string(tr), func(t *testing.T) {
			d := open(t, c, Options{Transport: tr})
			mustPut(t, d, "before", pattern(100))
			w, err := d.Create(t.Context(), "open")
			must(t, err)
			_, err = w.Write(pattern(100))
			must(t, err)
			must(t, c.NameNodes[0].Kill())
			if err := w.Close(); err == nil {
				t.Error("a file was completed without a NameNode")
			}
			must(t, c.NameNodes[0].Up())
			safe, end := false, time.Now().Add(2*time.Minute)
			for n := 0; ; n++ {
				err := put(t.Context(), d, fmt.Sprintf("f%d", n), pattern(1000))
				if err == nil {
					break
				}
				for _, e := range []error{fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, syscall.EXDEV} {
					if errors.Is(err, e) {
						t.Errorf("an error that does not pass: %v", err)
					}
				}
				safe = safe || strings.Contains(err.Error(), "safe mode")
				if time.Now().After(end) {
					t.Fatal(err)
				}
			}
			if !safe {
				t.Error("nobody was told of the safe mode")
			}
			mustHold(t, d, "before", pattern(100))
		})
	}
}

// TestPermission: who may not is told who he is, over each transport.
func TestPermission(t *testing.T) {
	t.Parallel()
	owner := open(t, shared, Options{})
	mustPut(t, owner, "f", pattern(10))
	for _, tr := range append(transports, Auto) {
		d := openAt(t, clusters(t, shared, Options{Transport: tr, User: "alice"}), owner.root)
		for what, err := range map[string]error{
			"create": put(t.Context(), d, "g", nil), "create deep": put(t.Context(), d, "x/y/g", nil), "rename": d.Rename(t.Context(), "f", "g"), "remove": d.Remove(t.Context(), "f"),
			"remove all": d.RemoveAll(t.Context(), "f"), "write": d.WriteFile(t.Context(), "f", nil),
		} {
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), `"alice"`) || !strings.Contains(err.Error(), owner.root) {
				t.Errorf("%s, %s: %v", tr, what, err)
			}
		}
		mustHold(t, d, "f", pattern(10))
	}
}

// TestFileInTheWay: a file where a directory is needed is an error that says so.
func TestFileInTheWay(t *testing.T) {
	for _, tr := range transports {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			cs := clusters(t, shared, Options{Transport: tr})
			d := openAt(t, cs, fmt.Sprintf("/t%d", dirs.Add(1)))
			mustPut(t, d, "f", pattern(10))
			_, create := d.Create(t.Context(), "f/g")
			_, list := d.List(t.Context(), "f")
			name, err := cs.Canonical("")
			must(t, err)
			_, opened := cs.Open(t.Context(), name, d.root+"/f")
			for what, err := range map[string]error{"create": create, "rename": d.Rename(t.Context(), "f", "f/g"), "list": list, "open": opened} {
				if err == nil || !strings.Contains(err.Error(), d.root) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestSessionsGrowOld: the native client keeps its encryption key for ever, so it is not kept for ever.
func TestSessionsGrowOld(t *testing.T) {
	t.Parallel()
	d := open(t, shared, Options{})
	x, err := d.service.borrow(t.Context())
	must(t, err)
	d.service.give(x, true)
	y, err := d.service.borrow(t.Context())
	must(t, err)
	if y != x {
		t.Error("an idle session was not used again")
	}
	y.born = time.Now().Add(-maxAge)
	d.service.give(y, true)
	z, err := d.service.borrow(t.Context())
	must(t, err)
	if z == y || y.fault() == nil {
		t.Error("an old session is used on")
	}
	z.lines = nil // a DataNode that answers "rspauth" wrongly fails the write, after which the writer gives its session back as not well
	d.service.give(z, false)
	if z.fault() == nil {
		t.Error("a session is kept after an error")
	}
}
