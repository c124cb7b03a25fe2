package process

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"omsync/conf"
)

func TestLogGoesToItsFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	log, file, err := OpenLog("synctool", conf.Log{Dir: dir, Level: "warning", Format: "json", MaxBytes: 1 << 20, MaxFiles: 2})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not this one")
	log.Warn("this one", "table", "db.t")
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "synctool.log"))
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(b, &line); err != nil || line["msg"] != "this one" || line["table"] != "db.t" {
		t.Errorf("%v: %s", err, b)
	}
}

func TestLogRotates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, file, err := OpenLog("x", conf.Log{Dir: dir, Level: "info", Format: "text", MaxBytes: 1 << 20, MaxFiles: 1})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 64<<10)
	for range 40 {
		log.Info(long)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, "x.log"))
	if err != nil || st.Size() > 1<<20 {
		t.Errorf("the log has %d bytes, %v", st.Size(), err)
	}
}

func TestLogSaysWhyItCanNotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "x.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenLog("x", conf.Log{Dir: dir}); err == nil || !strings.Contains(err.Error(), "x.log") {
		t.Error(err)
	}
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenLog("x", conf.Log{Dir: filepath.Join(file, "d")}); err == nil || !strings.Contains(err.Error(), "log directory") {
		t.Error(err)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if v := Version(); !strings.HasPrefix(v, "omsync dev") || !strings.Contains(v, "go1.") {
		t.Error(v)
	}
}
