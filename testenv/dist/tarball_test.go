package dist

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"
)

func TestUnpacksOverAPackage(t *testing.T) {
	t.Parallel()
	tarball := the(t).tarball
	if base := filepath.Base(tarball); base != "omsync-"+version+"-linux-amd64.tar.gz" {
		t.Error(base)
	}
	dir := t.TempDir()
	for _, d := range []string{"bin", "conf"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"bin/openmldb", "bin/data_collector", "conf/tablet.flags"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("theirs"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := Unpack(tarball, dir); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"bin/openmldb", "conf/tablet.flags"} {
		if b, err := os.ReadFile(filepath.Join(dir, f)); err != nil || string(b) != "theirs" {
			t.Errorf("%s: %q %v", f, b, err)
		}
	}
	for _, f := range []string{"conf/data_collector.flags", "conf/synctool.properties", "docs/operating.md", "docs/configuration.md", "docs/LICENSE"} {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Size() == 0 || st.Mode().Perm()&0o111 != 0 {
			t.Errorf("%s: %v %v", f, st, err)
		}
	}
	for _, b := range []string{"data_collector", "synctool", "omsync-tui"} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "bin", b), "--version").CombinedOutput()
		if err != nil || !strings.Contains(string(out), version) {
			t.Errorf("%s --version: %v: %s", b, err, out)
		}
	}
	for _, args := range [][]string{{"data_collector", "--flagfile=conf/data_collector.flags"}, {"synctool", "--conf=conf/synctool.properties"}} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "bin", args[0]), args[1], "--check-config")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("the shipped conf of %s: %v: %s", args[0], err, out)
		}
	}
}

// TestUnits: the units start files of the tarball with arguments that these take, and tell systemd when they serve.
func TestUnits(t *testing.T) {
	t.Parallel()
	unpacked := the(t).unpacked
	paths, err := filepath.Glob(filepath.Join(unpacked, "systemd", "*.service"))
	if err != nil || len(paths) != 2 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		options, err := unit.DeserializeOptions(f)
		if cerr := f.Close(); err != nil || cerr != nil {
			t.Fatal(path, err, cerr)
		}
		value := map[string]string{}
		for _, o := range options {
			value[o.Section+"."+o.Name] = o.Value
		}
		for name, want := range map[string]string{"Service.Type": "notify", "Service.Restart": "on-failure", "Service.RestartPreventExitStatus": "2", "Service.WorkingDirectory": "/opt/openmldb"} {
			if value[name] != want {
				t.Errorf("%s: %s=%q, want %q", path, name, value[name], want)
			}
		}
		if value["Service.User"] == "" || value["Install.WantedBy"] == "" {
			t.Errorf("%s: %v", path, value)
		}
		for _, name := range []string{"Service.ExecStartPre", "Service.ExecStart"} {
			words := strings.Fields(value[name])
			bin, ok := strings.CutPrefix(words[0], "/opt/openmldb/")
			if !ok {
				t.Fatalf("%s: %s=%s", path, name, value[name])
			}
			args := words[1:]
			if !slices.Contains(args, "--check-config") {
				args = append(args, "--check-config")
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(unpacked, bin), args...)
			cmd.Dir = unpacked
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v: %s", path, name, err, out)
			}
		}
	}
}
