package conf

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSynctoolInUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "synctool.properties")
	text := "# mine\nzookeeper.cluster=a:1,b:2\nserver.port = 9000\npassword=geheim\nflink.slots=3\nflink.x=4\nzookeeper.cert=\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := SynctoolInUse(file)
	if err != nil {
		t.Fatal(err)
	}
	flink := "a leftover of a Flink sink, without effect upstream too"
	want := []Setting{
		{"server.port", "9000", "file", 3, ""}, {"zookeeper.cluster", "a:1,b:2", "file", 2, ""}, {"zookeeper.cert", "", "file", 7, ""},
		{"password", "***", "file", 4, ""}, {"flink.slots", "3", "file", 5, flink}, {"flink.x", "4", "file", 6, flink},
	}
	if len(got) < len(want) || !reflect.DeepEqual(got[:len(want)], want) {
		t.Errorf(" got %v\nwant %v", got, want)
	}
	seen := map[string]bool{}
	for _, s := range got {
		seen[s.Key] = true
		if s.Key == "segment_bytes" && (s.Value != "64MiB" || s.Source != "default") || strings.Contains(s.Value, "geheim") {
			t.Errorf("%+v", s)
		}
	}
	for _, k := range SynctoolKeys() {
		if k.Ignored == "" && !seen[k.Name] {
			t.Errorf("%s is not listed", k.Name)
		}
	}
	if _, err := SynctoolInUse(file + ".nope"); err == nil {
		t.Error("a missing file is taken")
	}
}
