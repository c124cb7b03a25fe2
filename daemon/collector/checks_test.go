package collector

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"omsync/openmldb/pb/apipb"
)

// refuseLinks makes link(2) fail below dir, "" = everywhere.
func refuseLinks(dir string, errno syscall.Errno) *crashFS {
	return &crashFS{FS: OS(), fail: func(op, name string) error {
		if op == "link" && strings.HasPrefix(name, dir) {
			return &os.LinkError{Op: "link", Old: name, New: "collector_datadir", Err: errno}
		}
		return nil
	}}
}

// TestDataDirThatDoesNotFit: where no table of the host can ever be linked the collector ends at once and says what to change.
func TestDataDirThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		errno syscall.Errno
		says  []string
	}{
		"another file system": {syscall.EXDEV, []string{"Invalid cross-device link", "set collector_datadir in data_collector.flags", "ssd_root_path"}},
		"may not link":        {syscall.EPERM, []string{"operation not permitted", "run the data_collector as the tablet's user"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, tab, tool := newWords(t, "ts", 0), startTablet(t), newTool(t, 1)
			fill(t, p, 0, 1)
			tab.serve(p)
			o := tool.options(endpoint, t.TempDir())
			o.Files = refuseLinks("", c.errno)
			c2 := run(t, o, newFakeCluster(tool, tab.node()))
			err := <-c2.done
			if !errors.Is(err, ErrConf) {
				t.Fatalf("%v", err)
			}
			contains(t, err.Error(), append(c.says, o.DataDir, filepath.Dir(p.Dir()))...)
		})
	}
}

// TestAnotherFileSystemWithoutFiles: devices are compared where the partition has no file to link yet.
func TestAnotherFileSystemWithoutFiles(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	here, err := os.Stat(s.c.c.o.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	proc, err := os.Stat("/proc/self")
	if err != nil || identityOf(proc).dev == identityOf(here).dev {
		t.Fatalf("/proc is no file system of its own: %v", err)
	}
	for _, src := range []source{{Snapshots: "/proc/self", Logs: "/proc/self"}, {Snapshots: "/proc/self", Logs: "/proc/self/no such directory"}} {
		err := s.c.c.tryLink(&src)
		if !errors.Is(err, syscall.EXDEV) {
			t.Fatalf("%v", err)
		}
		contains(t, err.Error(), "Invalid cross-device link", "/proc/self", s.c.c.o.DataDir)
	}
	none := filepath.Join(t.TempDir(), "none")
	if err := s.c.c.tryLink(&source{Snapshots: none, Logs: none}); !errors.Is(err, errNothingToLink) {
		t.Errorf("nothing there: %v", err)
	}
}

// TestOneRootOfTwo: tables below another root can be exported, so the collector works on, and /health says which can not.
func TestOneRootOfTwo(t *testing.T) {
	t.Parallel()
	bad := openWords(t, filepath.Join(t.TempDir(), "second root", "8_0"), "ts", 0, apipb.TableMode_kTableLeader)
	bad.TID = 8
	fill(t, bad, 0, 1)
	s := newScene(t, nil, nil)
	words, last := fill(t, s.p, 0, 3)
	s.tab.serve(bad)
	s.c = s.collector(func(o *Options) { o.Files = refuseLinks(bad.Dir(), syscall.EXDEV) })
	s.c.ill("Invalid cross-device link", filepath.Dir(bad.Dir()))
	s.assign(2)
	s.exported(last)
	if got := s.words(); len(got) != len(words) {
		t.Errorf("%q", got)
	}
	f := refusalOf(t, s.c.add(s.tool.assign(s.tab.assignment(bad, 2))))
	if f.GetCode() != codeCrossDevice {
		t.Errorf("%v", f)
	}
}

// TestNotCheckedYet: what can not be looked at yet is a warning on /health, until it can be.
func TestNotCheckedYet(t *testing.T) {
	t.Parallel()
	t.Run("no tablet", func(t *testing.T) {
		t.Parallel()
		tab, tool := startTablet(t), newTool(t, 1)
		fake := newFakeCluster(tool)
		c := run(t, tool.options(endpoint, t.TempDir()), fake)
		c.ended()
		c.ill("no tablet is registered yet")
		p := newWords(t, "ts", 0)
		fill(t, p, 0, 1)
		tab.serve(p)
		fake.mu.Lock()
		fake.tablets = []Tablet{tab.node()}
		fake.mu.Unlock()
		fake.touch()
		c.well()
	})
	t.Run("ZooKeeper does not tell", func(t *testing.T) {
		t.Parallel()
		p, tab, tool := newWords(t, "ts", 0), startTablet(t), newTool(t, 1)
		fill(t, p, 0, 1)
		tab.serve(p)
		fake := newFakeCluster(tool, tab.node())
		fake.unknown = true
		c := run(t, tool.options(endpoint, t.TempDir()), fake)
		c.ended()
		c.ill("the tablets can not be read from ZooKeeper yet")
		fake.mu.Lock()
		fake.unknown = false
		fake.mu.Unlock()
		fake.touch()
		c.well()
	})
	t.Run("no table", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil, nil)
		s.tab.drop(s.p.TID, s.p.PID)
		c := s.collector(nil)
		c.ill("hold no table on disk yet")
		fill(t, s.p, 0, 1)
		s.tab.serve(s.p)
		c.well()
	})
	t.Run("the tablet does not answer", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil, nil)
		fill(t, s.p, 0, 1)
		s.tab.set(nil, errors.New("the tablet is busy"))
		c := s.collector(nil)
		c.ill("does not answer", s.tab.addr, "the tablet is busy")
		s.tab.set(nil, nil)
		c.well()
	})
	t.Run("the table is loading", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil, nil)
		fill(t, s.p, 0, 1)
		s.tab.set(noPaths(apipb.TableState_kTableLoading), nil)
		c := s.collector(nil)
		c.ill("hold no table on disk yet")
		s.tab.set(nil, nil)
		c.well()
	})
}

// TestHostOfNoTablet: a collector under a host that no tablet has would never be found; a loopback address is the classic.
func TestHostOfNoTablet(t *testing.T) {
	t.Parallel()
	for host, classic := range map[string]bool{"127.0.0.1": true, "localhost": true, "10.0.0.9": false} {
		tool := newTool(t, 1)
		fake := newFakeCluster(tool, Tablet{Node: "10.0.0.5:10921", Address: "10.0.0.5:10921", Host: "10.0.0.5"})
		c := run(t, tool.options(host+":1", t.TempDir()), fake)
		c.ended()
		c.ill("endpoint "+host+":1", "no tablet is registered on host "+host, "10.0.0.5", "set --endpoint in data_collector.flags")
		if _, body := c.health(); strings.Contains(body, "loopback") != classic {
			t.Errorf("%s: %s", host, body)
		}
		fake.mu.Lock() // names are resolved before they are compared
		fake.names = map[string]string{host + ":1": "10.0.0.5:10922"}
		fake.tablets[0].Address = fake.tablets[0].Node
		fake.mu.Unlock()
		fake.touch()
		until(t, "the host fits", func() bool { _, body := c.health(); return !strings.Contains(body, "no tablet is registered on host") })
	}
}

// TestTaken: a data directory and a port are for one collector.
func TestTaken(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	o := s.tool.options(endpoint, s.c.c.o.DataDir)
	o.DialSynctool = func(string) (SynctoolConn, error) { return nil, errors.New("not dialed") }
	c, err := New(o, s.fake)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), o.DataDir) {
		t.Errorf("data directory: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o.DataDir, o.Listen = t.TempDir(), l.Addr().String()
	if c, err = New(o, s.fake); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), o.Listen) {
		t.Errorf("port: %v", err)
	}
}
