//go:build hdfs

package hdfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"omsync/daemon/dest"
	"omsync/daemon/dest/hadoop"
	"omsync/testenv/hdfsserver"
)

// shared is an HDFS of three DataNodes for all tests here that need nothing else. Tests that disturb it put it right again; they are not parallel.
var shared *hdfsserver.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "omsync-hdfs")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	// A DataNode that is silent is not missed for ten minutes, as on real clusters; and what a DataNode stored it reports a moment later.
	shared, err = hdfsserver.Start(context.Background(), hdfsserver.Options{
		Dir: dir, DataNodes: 3, DeadAfter: 10 * time.Minute, HDFS: hdfsserver.Conf{"dfs.blockreport.incremental.intervalMsec": "100"},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

var dirs atomic.Int64

// timeout of clients in tests; DataNodes give each other 4 s.
const timeout = 3 * time.Second

// clusters makes a client of a cluster's conf.
func clusters(t *testing.T, c *hdfsserver.Cluster, o Options) *Clusters {
	t.Helper()
	if o.Conf == nil {
		conf, err := hadoop.Load(c.ConfDir())
		if err != nil {
			t.Fatal(err)
		}
		o.Conf = conf
	}
	if o.Timeout == 0 {
		o.Timeout = timeout
	}
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	out, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	return out
}

// open opens a fresh directory.
func open(t *testing.T, c *hdfsserver.Cluster, o Options) *Dir {
	t.Helper()
	return openAt(t, clusters(t, c, o), fmt.Sprintf("/t%d/d", dirs.Add(1)))
}

func openAt(t *testing.T, cs *Clusters, path string) *Dir {
	t.Helper()
	name, err := cs.Canonical("")
	if err != nil {
		t.Fatal(err)
	}
	d, err := cs.Open(t.Context(), name, path)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*Dir)
}

func put(ctx context.Context, d *Dir, name string, data []byte) error {
	w, err := d.Create(ctx, name)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

func mustPut(t *testing.T, d *Dir, name string, data []byte) {
	t.Helper()
	if err := put(t.Context(), d, name, data); err != nil {
		t.Fatal(err)
	}
}

func mustHold(t *testing.T, d *Dir, name string, want []byte) {
	t.Helper()
	b, err := d.ReadFile(t.Context(), name)
	if err != nil || !bytes.Equal(b, want) {
		t.Errorf("%s holds %d bytes, want %d: %v", name, len(b), len(want), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pattern is bytes whose place can be told from their value.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

var transports = []Transport{Native, WebHDFS}

// TestLife: what a Dest promises, over each transport.
func TestLife(t *testing.T) {
	for _, tr := range transports {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			ctx, d := t.Context(), open(t, shared, Options{Transport: tr})
			if _, ok := d.Local(); ok {
				t.Error("HDFS is no local directory")
			}
			if l, err := d.List(ctx, ""); err != nil || len(l) != 0 {
				t.Errorf("a directory that is not there: %v, %v", l, err)
			}
			if _, err := d.Stat(ctx, "x"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("stat of nothing: %v", err)
			}
			for _, err := range []error{d.Remove(ctx, "x"), d.RemoveAll(ctx, "x/y")} {
				if err != nil {
					t.Errorf("remove nothing: %v", err)
				}
			}
			big := pattern(3<<20 + 17)
			mustPut(t, d, "_omsync/stage/a.csv", big)
			mustPut(t, d, "_omsync/stage/empty.csv", nil)
			if _, err := d.Create(ctx, "_omsync/stage/a.csv"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a name is used twice: %v", err)
			}
			must(t, d.Rename(ctx, "_omsync/stage/a.csv", "deep/er/a.csv"))
			mustHold(t, d, "deep/er/a.csv", big)
			if i, err := d.Stat(ctx, "deep/er/a.csv"); err != nil || i != (dest.Info{Name: "deep/er/a.csv", Size: int64(len(big))}) {
				t.Errorf("%+v, %v", i, err)
			}
			if i, err := d.Stat(ctx, "deep"); err != nil || i != (dest.Info{Name: "deep", Dir: true}) {
				t.Errorf("%+v, %v", i, err)
			}
			for _, text := range []string{"first", "second, longer"} {
				must(t, d.WriteFile(ctx, "deep/owner 1%.json", []byte(text)))
				mustHold(t, d, "deep/owner 1%.json", []byte(text))
			}
			l, err := d.List(ctx, "deep")
			if err != nil || len(l) != 2 || l[0] != (dest.Info{Name: "er", Dir: true}) || l[1] != (dest.Info{Name: "owner 1%.json", Size: 14}) {
				t.Errorf("%+v, %v", l, err)
			}
			must(t, d.Remove(ctx, "deep/owner 1%.json"))
			must(t, d.RemoveAll(ctx, "deep"))
			if l, err := d.List(ctx, ""); err != nil || len(l) != 1 || l[0].Name != "_omsync" {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

// TestRenameNeverOverwrites: the native client would.
func TestRenameNeverOverwrites(t *testing.T) {
	for _, tr := range transports {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			d := open(t, shared, Options{Transport: tr})
			mustPut(t, d, "stage", []byte("new"))
			mustPut(t, d, "final", []byte("old"))
			mustPut(t, d, "dir/x", nil)
			for _, to := range []string{"final", "dir"} {
				if err := d.Rename(t.Context(), "stage", to); !errors.Is(err, fs.ErrExist) {
					t.Errorf("rename onto %s: %v", to, err)
				}
			}
			mustHold(t, d, "final", []byte("old"))
			mustHold(t, d, "stage", []byte("new"))
			for _, to := range []string{"other", "no/such/dir/other"} {
				if err := d.Rename(t.Context(), "nothing", to); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("rename nothing to %s: %v", to, err)
				}
			}
		})
	}
}

// TestNamesStayBelow: no name leads out of the directory.
func TestNamesStayBelow(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), open(t, shared, Options{})
	for _, name := range []string{"../secret", "a/../../secret", "/etc/passwd", ".", "..", "a//b", "a/"} {
		_, create := d.Create(ctx, name)
		_, stat := d.Stat(ctx, name)
		_, read := d.ReadFile(ctx, name)
		_, list := d.List(ctx, name)
		for what, err := range map[string]error{
			"create": create, "stat": stat, "read": read, "list": list, "write": d.WriteFile(ctx, name, nil), "remove": d.Remove(ctx, name),
			"remove all": d.RemoveAll(ctx, name), "rename": d.Rename(ctx, name, "x"), "rename to": d.Rename(ctx, "x", name),
		} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
}
