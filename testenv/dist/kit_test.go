package dist

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"omsync/testenv/daemons"
	"omsync/testenv/memzk"
)

const version = "0.0.1-test"

// built is where the tarball, built once, and an unpacked copy of it are.
type built struct{ tarball, unpacked string }

var (
	work  string // removed at the end
	build = sync.OnceValues(func() (b built, err error) {
		if b.tarball, err = Build(context.Background(), work, version); err != nil {
			return b, err
		}
		b.unpacked = filepath.Join(work, "unpacked")
		if err := os.Mkdir(b.unpacked, 0o755); err != nil {
			return b, err
		}
		return b, Unpack(b.tarball, b.unpacked)
	})
)

// the returns what is built. It is first called by a test, not before them: go test knows what a test looks at from then on only.
func the(t *testing.T) built {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMain(m *testing.M) {
	var err error
	if work, err = os.MkdirTemp("", "omsync-dist-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(work); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// kit is a package of its own, at a path with a blank, with conf files for one of each daemon on a ZooKeeper in memory.
type kit struct {
	t *testing.T
	Tree
	collector, synctool string // addresses
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t, Tree: Tree{Dir: filepath.Join(t.TempDir(), "the package")}}
	unpacked := the(t).unpacked
	k.must(filepath.WalkDir(unpacked, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(unpacked, path)
		if err != nil {
			return err
		}
		to := filepath.Join(k.Dir, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		return os.Link(path, to)
	}))
	zk, err := memzk.Start(memzk.Options{})
	k.must(err)
	t.Cleanup(func() {
		k.none()
		k.must(zk.Close())
	})
	k.collector, err = daemons.FreePort("127.0.0.1")
	k.must(err)
	k.synctool, err = daemons.FreePort("127.0.0.1")
	k.must(err)
	_, port, err := net.SplitHostPort(k.synctool)
	k.must(err)
	k.write("conf/data_collector.flags", "--endpoint="+k.collector+"\n--zk_cluster="+zk.Addr()+"\n--zk_root_path=/openmldb\n--collector_datadir="+k.path("data")+
		"\n--openmldb_log_dir=./logs\n")
	k.write("conf/synctool.properties", "server.host=127.0.0.1\nserver.port="+port+"\nzookeeper.cluster="+zk.Addr()+"\nzookeeper.root_path=/openmldb\nsync_task.progress_path="+
		k.path("progress")+"\nlog.dir=./logs\n")
	return k
}

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) path(rel string) string { return filepath.Join(k.Dir, rel) }

// write replaces a file; those of the tarball are links that all tests share.
func (k *kit) write(rel, text string) {
	k.t.Helper()
	k.must(os.MkdirAll(filepath.Dir(k.path(rel)), 0o755))
	if err := os.Remove(k.path(rel)); err != nil && !os.IsNotExist(err) {
		k.t.Fatal(err)
	}
	k.must(os.WriteFile(k.path(rel), []byte(text), 0o644))
}

func (k *kit) read(rel string) string {
	k.t.Helper()
	b, err := os.ReadFile(k.path(rel))
	k.must(err)
	return string(b)
}

// run runs start.sh from elsewhere and checks its exit status and what it says.
func (k *kit) run(status int, args []string, says ...string) string {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 2*time.Minute)
	defer cancel()
	out, got, err := k.StartSh(ctx, os.TempDir(), args...)
	k.must(err)
	if got != status {
		k.t.Errorf("start.sh %s: exit status %d, want %d:\n%s", strings.Join(args, " "), got, status, out)
	}
	for _, s := range says {
		if !strings.Contains(out, s) {
			k.t.Errorf("start.sh %s does not say %q:\n%s", strings.Join(args, " "), s, out)
		}
	}
	return out
}

// pid reads a pid file; 0 when there is none.
func (k *kit) pid(rel string) int {
	k.t.Helper()
	b, err := os.ReadFile(k.path(rel))
	if os.IsNotExist(err) {
		return 0
	}
	k.must(err)
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil && len(b) > 0 {
		k.t.Fatal(err)
	}
	return n
}

func (k *kit) until(what string, cond func() bool) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
	defer cancel()
	k.must(daemons.Until(ctx, what, 10*time.Millisecond, func(context.Context) (bool, error) { return cond(), nil }))
}

// kill is kill -9, of a process of this package only.
func (k *kit) kill(pid int) {
	k.t.Helper()
	all, err := k.Processes()
	k.must(err)
	for _, p := range all {
		if p == pid {
			k.must(syscall.Kill(pid, syscall.SIGKILL))
			return
		}
	}
	k.t.Fatalf("process %d is not one of %v", pid, all)
}

// gone checks that nothing runs and no pid file is left.
func (k *kit) gone() {
	k.t.Helper()
	all, err := k.Processes()
	k.must(err)
	files, err := filepath.Glob(filepath.Join(strings.ReplaceAll(k.Dir, "[", `\[`), "bin", "*.pid*"))
	k.must(err)
	for _, f := range files {
		if !strings.HasSuffix(f, ".lock") {
			k.t.Errorf("%s is left", f)
		}
	}
	if len(all) > 0 {
		k.t.Errorf("processes are left: %v", all)
	}
}

// none is gone at the end of every test; what is left is killed.
func (k *kit) none() {
	all, err := k.Processes()
	k.must(err)
	for _, p := range all {
		k.t.Errorf("process %d is left", p)
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			k.t.Error(err)
		}
	}
}

// serves tells whether something takes connections there.
func serves(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		err = c.Close()
	}
	return err == nil
}
