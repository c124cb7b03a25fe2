package dist

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestStartStopRestart(t *testing.T) {
	t.Parallel()
	for _, component := range []string{"data_collector", "synctool"} {
		t.Run(component, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			address := map[string]string{"data_collector": k.collector, "synctool": k.synctool}[component]
			pidfile := "bin/" + component + ".pid"
			out := k.run(0, []string{"start", component}, "Start "+component+" success", "serves "+address)
			if !serves(address) {
				t.Errorf("nothing serves %s after:\n%s", address, out)
			}
			if warned := strings.Contains(out, "warning: no tablet is registered yet"); warned != (component == "data_collector") {
				t.Errorf("start-up checks: %s", out)
			}
			first := k.pid(pidfile)
			k.run(0, []string{"start", component}, fmt.Sprintf("%s already running as process %d", component, first))
			k.run(0, []string{"start", component, "mon"}, "already running")
			k.run(0, []string{"restart", component}, "Stop "+component+" success", "Start "+component+" success")
			if second := k.pid(pidfile); second == first || second == 0 || !serves(address) {
				t.Errorf("process %d after %d", second, first)
			}
			k.run(0, []string{"stop", component}, "Stop "+component+" success")
			k.gone()
			if serves(address) {
				t.Errorf("%s is still served", address)
			}
			if log := k.read("logs/" + component + ".log"); strings.Count(log, "msg=ready") != 2 || strings.Count(log, "msg=ended") != 2 {
				t.Errorf("the log: %s", log)
			}
			k.run(0, []string{"stop", component}, component+" is not running")
		})
	}
}

func TestMonRestartsAKilledDaemon(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.run(0, []string{"start", "synctool", "mon"}, "Start synctool success", "monitored by process")
	mon, first := k.pid("bin/synctool.pid"), k.pid("bin/synctool.pid.child")
	if mon == 0 || first == 0 || mon == first {
		t.Fatalf("monitor %d, process %d", mon, first)
	}
	k.run(0, []string{"start", "synctool"}, fmt.Sprintf("already running as process %d", mon))
	k.kill(first)
	k.until("the monitor starts it again", func() bool {
		second := k.pid("bin/synctool.pid.child")
		return second != first && second != 0 && serves(k.synctool)
	})
	second := k.pid("bin/synctool.pid.child")
	k.kill(second)
	k.until("and again", func() bool {
		third := k.pid("bin/synctool.pid.child")
		return third != second && third != 0 && serves(k.synctool)
	})
	k.run(0, []string{"stop", "synctool"}, "Stop synctool success")
	k.gone()
	log := k.read("logs/synctool_mon.log")
	for _, want := range []string{
		fmt.Sprintf("process %d ended: ended by signal 9 (KILL)", first), "starting again in 1s", fmt.Sprintf("process %d ended: ended by signal 9", second), "starting again in 2s",
		"ended: it ended by itself (exit code 0)", fmt.Sprintf("monitor %d ends", mon),
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the monitor's log:\n%s", want, log)
		}
	}
}

// TestMonitorGone: whoever kills the monitor leaves the daemon; start says so, stop ends it.
func TestMonitorGone(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.run(0, []string{"start", "data_collector", "mon"}, "Start data_collector success")
	k.kill(k.pid("bin/data_collector.pid"))
	child := k.pid("bin/data_collector.pid.child")
	k.run(0, []string{"start", "data_collector"}, fmt.Sprintf("already running as process %d, but its monitor is gone", child))
	k.run(0, []string{"restart", "data_collector", "mon"}, "Stop data_collector success", "monitored by process")
	k.run(0, []string{"stop", "data_collector", "mon"}, "Stop data_collector success")
	k.gone()
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for component, address := range map[string]string{"data_collector": k.collector, "synctool": k.synctool} {
		l, err := net.Listen("tcp", address)
		k.must(err)
		out := k.run(1, []string{"start", component}, "Start "+component+" failed", "exit code 3", "address already in use", address)
		if strings.Contains(out, "success") {
			t.Error(out)
		}
		k.gone()
		k.run(1, []string{"start", component, "mon"}, "Start "+component+" failed; it is not monitored", "exit code 3", "address already in use")
		k.gone()
		k.must(l.Close())
		k.run(0, []string{"start", component}, "success")
		k.run(0, []string{"stop", component}, "success")
	}
}

func TestBadConf(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write("conf/data_collector.flags", k.read("conf/data_collector.flags")+"--max_pak_size=1\n")
	k.write("conf/synctool.properties", k.read("conf/synctool.properties")+"segment_age=soon\n")
	for _, mon := range [][]string{nil, {"mon"}} {
		k.run(1, append([]string{"start", "data_collector"}, mon...), "Start data_collector failed", "exit code 2", "did you mean max_pack_size?")
		k.run(1, append([]string{"start", "synctool"}, mon...), "Start synctool failed", "exit code 2", "segment_age", `"soon"`)
	}
	k.run(1, []string{"restart", "synctool"}, "synctool is not running", "Start synctool failed")
	k.must(os.Remove(k.path("bin/synctool")))
	k.run(1, []string{"start", "synctool"}, "bin/synctool is not there")
	k.gone()
}

// TestDiesWhileStarting: the conf file is fine, but the collector finds out at work that it can not go on.
func TestDiesWhileStarting(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write("data", "a file where the data directory should be")
	k.run(1, []string{"start", "data_collector"}, "Start data_collector failed", "data_collector.out says:", k.path("data"))
	k.gone()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, args := range [][]string{{}, {"start"}, {"status", "synctool"}, {"start", "synctool", "man"}, {"start", "synctool", "mon", "x"}, {"start", "zookeeper"}} {
		k.run(1, args, "Usage: start.sh start|stop|restart <component> [mon]", "data_collector synctool")
	}
	k.run(1, []string{"start", "zookeeper"}, "No component named zookeeper")
	k.gone()
}

// TestOtherComponents: sbin/start-all.sh of OpenMLDB calls bin/start.sh for tablets too.
func TestOtherComponents(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.run(1, []string{"start", "tablet"}, "OpenMLDB's own start.sh", "bin/start-openmldb.sh")
	k.write("bin/start-openmldb.sh", "#!/bin/bash\necho \"theirs: $*\"\nexit 7\n")
	k.must(os.Chmod(k.path("bin/start-openmldb.sh"), 0o755))
	k.run(7, []string{"start", "tablet", "mon"}, "theirs: start tablet mon")
	// Our own file, saved by mistake, would call itself for ever.
	k.write("bin/start-openmldb.sh", k.read("bin/start.sh"))
	k.must(os.Chmod(k.path("bin/start-openmldb.sh"), 0o755))
	k.run(1, []string{"stop", "nameserver"}, "OpenMLDB's own start.sh")
}

func TestStalePidFiles(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ended := exec.Command("true")
	k.must(ended.Run())
	other := exec.Command("sleep", "1000") // a living process of something else
	k.must(other.Start())
	t.Cleanup(func() {
		k.must(other.Process.Kill())
		if err := other.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("start.sh ended a process that is not the daemon: %v", err)
		}
	})
	for name, pid := range map[string]string{
		"ended": fmt.Sprint(ended.Process.Pid), "of another program, with NUL bytes": fmt.Sprintf("%d\x00\x00", other.Process.Pid), "empty": "", "text": "nonsense\n",
	} {
		k.write("bin/synctool.pid", pid)
		k.write("bin/synctool.pid.child", pid)
		k.run(0, []string{"stop", "synctool"}, "synctool is not running")
		k.write("bin/synctool.pid", pid)
		out := k.run(0, []string{"start", "synctool"}, "bin/synctool.pid is stale", "Start synctool success")
		if k.pid("bin/synctool.pid") == 0 {
			t.Errorf("%s: %s", name, out)
		}
		k.run(0, []string{"stop", "synctool"}, "Stop synctool success")
	}
	k.gone()
}

func TestCopyOfTheConfDiffers(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write("synctool/conf/synctool.properties", k.read("conf/synctool.properties")+"user=other\n")
	k.run(0, []string{"start", "synctool"}, "warning: ", "synctool/conf/synctool.properties differs", "in user: only", "success")
	k.run(0, []string{"stop", "synctool"})
	k.gone()
	if log := k.read("logs/synctool.log"); !strings.Contains(log, "differs from") {
		t.Errorf("the log: %s", log)
	}
}

// TestThroughALink: an operator may have linked start.sh into a directory of PATH.
func TestThroughALink(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	link := filepath.Join(t.TempDir(), "omsync")
	k.must(os.Symlink(k.path("bin/start.sh"), link))
	out, err := exec.CommandContext(t.Context(), link, "start", "synctool").CombinedOutput()
	if err != nil || !serves(k.synctool) {
		t.Errorf("%v: %s", err, out)
	}
	k.run(0, []string{"stop", "synctool"}, "Stop synctool success")
	k.gone()
}

// script puts a program of the test in a daemon's place. It answers --check-config.
func (k *kit) script(component, body string) {
	k.t.Helper()
	k.write("bin/"+component, "#!/bin/bash\nfor a; do [ \"$a\" != --check-config ] || exit 0; done\n"+body+"\n")
	k.must(os.Chmod(k.path("bin/"+component), 0o755))
}

func TestSilentDaemon(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.Env = []string{"OMSYNC_START_TIMEOUT=1"}
	k.script("synctool", "echo I say this and never serve; exec sleep 1000")
	k.run(1, []string{"start", "synctool"}, "does not serve after 1s", "I say this and never serve")
	k.gone()
	k.run(1, []string{"start", "synctool", "mon"}, "does not serve after 1s", "I say this and never serve")
	k.gone()
}

func TestDeafDaemon(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.Env = []string{"OMSYNC_STOP_TIMEOUT=1"}
	k.script("synctool", "trap '' TERM; echo ready 1.2.3.4:5 >&3; exec 3>&-; while :; do read -t 1 <> <(:); done")
	k.run(0, []string{"start", "synctool"}, "serves 1.2.3.4:5")
	pid := k.pid("bin/synctool.pid")
	k.run(1, []string{"stop", "synctool"}, fmt.Sprintf("process %d runs 1s after SIGTERM", pid), "kill -9")
	k.run(1, []string{"restart", "synctool"}, "Stop synctool failed")
	k.kill(pid)
	k.until("it is gone", func() bool {
		all, err := k.Processes()
		k.must(err)
		return len(all) == 0
	})
	k.run(0, []string{"stop", "synctool"}, "synctool is not running")
	k.gone()
}
