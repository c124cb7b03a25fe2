package process

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// Rotated files go by number and by age; log_overdue_days=0 and log_max_files=0 keep them all.
func TestRotatedFilesGo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		days, files int
		old, recent bool // what is left
	}{
		"all are kept": {0, 0, true, true}, "by age": {2, 0, false, true}, "by number": {0, 1, false, false},
	} {
		dir := t.TempDir()
		put := func(age time.Duration) string {
			path := filepath.Join(dir, "x-"+time.Now().Add(-age).Format("2006-01-02T15-04-05.000")+"-size.log")
			if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			return path
		}
		old, recent := put(72*time.Hour), put(24*time.Hour)
		log, file, err := OpenLog("x", conf.Log{Dir: dir, Level: "info", Format: "text", MaxBytes: 1 << 20, MaxFiles: tc.files, OverdueDays: tc.days})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // one rotation
			log.Info(strings.Repeat("x", 64<<10))
		}
		if err := file.Close(); err != nil { // waits for the removal
			t.Fatal(err)
		}
		for path, want := range map[string]bool{old: tc.old, recent: tc.recent} {
			if _, err := os.Stat(path); (err == nil) != want {
				t.Errorf("%s: %s: kept %t, want %t", name, filepath.Base(path), err == nil, want)
			}
		}
		all, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(all) < 2 {
			t.Errorf("%s: %v %v", name, all, err)
		}
		for _, f := range all {
			if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o644 {
				t.Errorf("%s: %s: %v %v", name, f, st.Mode(), err)
			}
		}
	}
}

func TestLineThatTheFileDoesNotTake(t *testing.T) {
	t.Parallel()
	_, file, err := OpenLog("x", conf.Log{Dir: t.TempDir(), Level: "info", Format: "text", MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	l := file.(*logFile)
	l.instead = &b
	if _, err := l.Write([]byte(strings.Repeat("y", 2<<20))); err == nil || !strings.Contains(b.String(), "yyy") || !strings.Contains(b.String(), "exceeds") {
		t.Errorf("%v: %.100s", err, b.String())
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
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
