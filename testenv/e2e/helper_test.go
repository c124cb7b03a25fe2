//go:build e2e && helper

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"omsync/testenv/daemons"
	"omsync/testenv/load"
	"omsync/testenv/scene"
)

// TestUnmodifiedHelper runs OpenMLDB's own tools/synctool_helper.py against our synctool and our conf files. The script is not ours and is not kept
// here: OMSYNC_HELPER names it. OMSYNC_PYTHON is a python3 that has the module requests; default: that of build/venv.
func TestUnmodifiedHelper(t *testing.T) {
	t.Parallel()
	script, python := os.Getenv("OMSYNC_HELPER"), os.Getenv("OMSYNC_PYTHON")
	if script == "" {
		t.Fatal("OMSYNC_HELPER is not set: give the path of OpenMLDB's tools/synctool_helper.py")
	}
	if python == "" {
		python = "../../build/venv/bin/python"
	}
	k := newScene(t, 1, scene.Options{})
	d, err := k.StartSynctool(k.ctx, "s", daemons.Conf{"data.cache_path": "/tmp/sync_task_cache"})
	k.must(err)
	k.onFailure(d)
	tb := k.table(load.Wide("db", "orders", 2, 1))
	k.write(tb, 200, load.Options{Keys: 50})

	helper := func(code int, args ...string) string {
		k.Helper()
		c := exec.CommandContext(k.ctx, python, append([]string{script}, args...)...)
		out, err := c.CombinedOutput()
		if c.ProcessState == nil || c.ProcessState.ExitCode() != code {
			k.Fatalf("helper %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	prints := func(out string, wants ...string) {
		k.Helper()
		for _, w := range wants {
			if !strings.Contains(out, w) {
				k.Errorf("%q is missing in:\n%s", w, out)
			}
		}
	}
	const good = "{\n  \"code\": 0\n}\n"
	dest := k.Dest("orders")
	create := []string{"create", "-s", d.Addr, "-t", "db.orders", "-m", "2", "-d", dest}
	if out := helper(0, "status", "-s", d.Addr); out != "no task\n" {
		t.Errorf("status without a task: %s", out)
	}
	prints(helper(0, create...), `"code": -1`, "living data collector in host")
	k.collector("c", 0)
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		out := helper(0, create...)
		if out == good {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("create: %s", out)
		}
	}
	prints(helper(0, create...), `"code": -1`, "sync task already exists(creating or created)")
	prints(helper(0, "create", "-s", d.Addr, "-t", "db.nope", "-m", "0", "-d", "/x"), `"code": -1`)
	prints(helper(0, "create", "-s", d.Addr, "-t", "db.orders", "-m", "7", "-d", dest), `"code": -1`, "mode: 7 is none of")
	prints(helper(0, "create", "-s", d.Addr, "-t", "db.orders", "-d", dest), `"code": -1`)
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		out := helper(0, "status", "-s", d.Addr)
		if strings.Count(out, "'status': 'RUNNING'") == 2 {
			prints(out, "2 tasks(tid-pid)", "'mode': 'kFullAndContinuous'", "'startTs': '0'", "'syncPoint': {'type': 'k", "pid parts: dict_keys([0, 1])", "all tasks are running")
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("never RUNNING: %s", out)
		}
	}
	conf := filepath.Join(k.dir, "s", "synctool.properties")
	prints(helper(0, "tool-status", "-f", conf), "'server.port': '", "sync task progress in sync tool fs", "/0.progress", "/1.progress")
	shipped, err := filepath.Abs("../../conf/synctool.properties")
	k.must(err)
	prints(helper(0, "tool-status", "-f", shipped), "'server.port': '8848'", "'data.cache_path': '", "sync task progress in sync tool fs")
	if out := helper(0, "delete", "-s", d.Addr, "-t", "db.orders"); out != good {
		t.Errorf("delete: %s", out)
	}
	if out := helper(0, "delete", "-s", d.Addr, "-t", "db.orders"); out != good {
		t.Errorf("delete of what is gone: %s", out)
	}
	prints(helper(0, "delete", "-s", d.Addr, "-t", "db.nope"), `"code": -1`)
	if out := helper(0, "status", "-s", d.Addr); out != "no task\n" {
		t.Errorf("status after delete: %s", out)
	}
}
