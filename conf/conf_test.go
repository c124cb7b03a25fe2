package conf

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the shipped conf files and docs/configuration.md from the tables")

const configurationHead = `# Configuration
One row per key, made from the tables in conf/ (` + "`go test ./conf -update`" + ` rewrites this page and the shipped files). No key is re-read
while a daemon runs: change the file, restart the daemon; tasks go on from their last commit. Durations also take 500ms, 60s, 5m;
sizes also take 64MiB, 10GiB. An unknown key is refused with the nearest known one; flags of
brpc, glog and gflags, which a flagfile in service may hold, are accepted with a warning. ` + "`--check-config`" + ` reads everything and ends.

`

func TestShippedFilesEqualTheTables(t *testing.T) {
	doc := configurationHead + "## conf/data_collector.flags\n\n" + Markdown(CollectorKeys()) + "\n## conf/synctool.properties\n\n" + Markdown(SynctoolKeys())
	for path, want := range map[string]string{
		"data_collector.flags":     Flagfile(CollectorKeys()),
		"synctool.properties":      Properties(SynctoolKeys()),
		"../docs/configuration.md": doc,
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s differs from the tables: go test ./conf -update", path)
		}
	}
}

func TestShippedFilesLoad(t *testing.T) {
	c, err := LoadCollector([]string{"--flagfile=data_collector.flags", "--enable_status_service=true"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Endpoint != "127.0.0.1:8888" || c.MaxPackSize != 1<<20 || c.HandoffSettle != time.Minute || len(c.Warnings) != 0 {
		t.Errorf("unexpected: %+v", c)
	}
	s, err := LoadSynctool("synctool.properties", []string{"server.advertise=10.0.0.9:8848"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Port != 8848 || s.CheckPeriod != 10*time.Second || s.Advertise != "10.0.0.9:8848" || s.Cluster != "openmldb_cluster" || s.SpoolPath != "/tmp/sync_task_progress.spool" {
		t.Errorf("unexpected: %+v", s)
	}
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "data.cache_path") {
		t.Errorf("warnings: %q", s.Warnings)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCollectorRefusals(t *testing.T) {
	t.Parallel()
	ok := "--endpoint=10.0.0.1:8888\n--zk_cluster=10.0.0.1:2181\n"
	for name, tc := range map[string]struct{ file, want string }{
		"no endpoint":     {"--zk_cluster=a:1\n", "endpoint: required and not set"},
		"bad port":        {"--endpoint=10.0.0.1:99999\n--zk_cluster=a:1\n", "port is not a number from 1 to 65535"},
		"wildcard":        {"--endpoint=0.0.0.0:8888\n--zk_cluster=a:1\n", "cannot be dialed from elsewhere"},
		"unknown, near":   {ok + "--max_pak_size=1\n", "data_collector.flags:3: max_pak_size: unknown key: did you mean max_pack_size?"},
		"unknown, far":    {ok + "--qqqqqqqqqq=1\n", "qqqqqqqqqq: unknown key"},
		"not of brpc":     {ok + "--socket_max_unwriten_bytes=1\n", "did you mean socket_max_unwritten_bytes?"},
		"no value":        {ok + "--max_pack_size\n", "a value must follow"},
		"not a flag":      {ok + "max_pack_size=5\n", `"max_pack_size=5" is not a flag`},
		"not a number":    {ok + "--request_timeout_ms=soon\n", "not a duration: write a number of milliseconds"},
		"too small":       {ok + "--max_pack_size=1\n", "out of range"},
		"bad znode":       {ok + "--zk_root_path=openmldb\n", "not a ZooKeeper path"},
		"bad bool":        {ok + "--enable_status_service=maybe\n", "neither true nor false"},
		"missing file":    {ok + "--flagfile=nowhere.flags\n", "nowhere.flags"},
		"own flagfile":    {ok + "--flagfile=data_collector.flags\n", "name each other"},
		"overflow":        {ok + "--zk_session_timeout=99999999999999999999\n", "not a duration"},
		"size overflow":   {ok + "--hold_budget_bytes=99999999999TiB\n", "not a size"},
		"negative":        {ok + "--hold_budget_bytes=-5\n", "not a size"},
		"several at once": {"--endpoint=x\n--zk_cluster=y\n", "zk_cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadCollector([]string{"--flagfile=" + write(t, "data_collector.flags", tc.file)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestCollectorArguments(t *testing.T) {
	t.Parallel()
	file := write(t, "f", "# comment\r\n\r\n--endpoint=10.0.0.1:1\n--zk_cluster=a:1, b:2\n-hold_budget_bytes=10GiB\n--noenable_status_service\n--brpc_max_body=5\n--log_overdue_days=3\n")
	c, err := LoadCollector([]string{"--endpoint", "10.9.9.9:9", "--flagfile", file, "--zk_session_timeout=4s", "-enable_status_service"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Endpoint != "10.0.0.1:1" || c.Advertise != "10.0.0.1:1" || len(c.ZooKeeper) != 2 || c.ZooKeeper[1] != "b:2" || c.HoldBudget != 10<<30 ||
		!c.StatusService || c.SessionTimeout != 4*time.Second || c.Log.OverdueDays != 3 {
		t.Errorf("unexpected: %+v", c)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "brpc_max_body: accepted without effect") {
		t.Errorf("warnings: %q", c.Warnings)
	}
}

func TestFlagsOfUpstreamsLibraries(t *testing.T) {
	t.Parallel()
	given := map[string]string{
		"--max_body_size=1024": "socket_max_unwritten_bytes", "--bthread_concurrency=16": "brpc", "--usercode_in_pthread": "brpc", "--noenable_rpcz": "brpc",
		"--alsologtostderr": "glog", "--v=1": "log_level", "--minloglevel=2": "log_level", "--nolog_prefix": "glog", "--logtostderr=true": "openmldb_log_dir",
		"--undefok=x": "gflags", "--socket_recv_buffer_size=7": "brpc",
	}
	lines := "--endpoint=10.0.0.1:1\n--zk_cluster=a:1\n"
	for l := range given {
		lines += l + "\n"
	}
	c, err := LoadCollector([]string{"--flagfile=" + write(t, "f", lines)})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(c.Warnings, "\n")
	if len(c.Warnings) != len(given) {
		t.Errorf("%d flags, %d warnings:\n%s", len(given), len(c.Warnings), all)
	}
	for l, want := range given {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(l, "--"), "no"), "=")
		if !slices.ContainsFunc(c.Warnings, func(w string) bool {
			return strings.Contains(w, " "+name+": accepted without effect") && strings.Contains(w, want)
		}) {
			t.Errorf("no warning for %s with %q in it:\n%s", l, want, all)
		}
	}
	s, err := LoadSynctool(write(t, "p", "server.port=1\nserver.host=10.0.0.1\nzookeeper.cluster=a:1\nzookeeper.root_path=/r\nsync_task.progress_path=/p\nmax_body_size=1\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "max_body_size: unknown key") {
		t.Errorf("a C++ flag in the synctool's file: %+v, %v", s, err)
	}
}

func TestSynctoolRefusals(t *testing.T) {
	t.Parallel()
	ok := "server.port=1\nserver.host=10.0.0.1\nzookeeper.cluster=a:1\nzookeeper.root_path=/r\nsync_task.progress_path=/p\n"
	for name, tc := range map[string]struct{ file, want string }{
		"nothing":       {"", "server.port: required and not set"},
		"unknown, near": {ok + "zookeper.cert=1\n", ":6: zookeper.cert: unknown key: did you mean zookeeper.cert?"},
		"time zone":     {ok + "dest.time_zone=Mars/Olympus\n", "not a time zone"},
		"dialect":       {ok + "dest.csv_dialect=excel\n", "not one of upstream, standard"},
		"bad escape":    {ok + "user=\\u00zz\n", "synctool.properties"},
		"cluster name":  {ok + "cluster.name=a/b\n", "only letters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadSynctool(write(t, "synctool.properties", tc.file), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
	s, err := LoadSynctool(write(t, "p", ok+"flink.slots=32\nrest.address=x\nhigh-availability.mode=z\npassword=${HOME}\ndest.allowed_prefixes=/a, /b\n"), []string{"segment_age=5"})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Warnings) != 3 || s.Password != "${HOME}" || len(s.AllowedPrefixes) != 2 || s.SegmentAge != 5*time.Second || s.Advertise != "10.0.0.1:1" {
		t.Errorf("unexpected: %+v", s)
	}
	if _, err := LoadSynctool(write(t, "p", ok), []string{"segment_age"}); err == nil {
		t.Error("an override without = was taken")
	}
}

func TestSideCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine, theirs := filepath.Join(dir, "conf", "synctool.properties"), filepath.Join(dir, "synctool", "conf", "synctool.properties")
	text := "server.port=1\nserver.host=10.0.0.1\nzookeeper.cluster=a:1\nzookeeper.root_path=/r\nsync_task.progress_path=/p\npassword=hush\n"
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(mine, text)
	for name, tc := range map[string]struct {
		copied string
		want   []string
	}{
		"none":     {"", nil},
		"equal":    {"# another comment\n" + text, nil},
		"differs":  {strings.Replace(text, "hush", "loud", 1) + "user=x\n", []string{"synctool/conf/synctool.properties differs", "in password, user: only"}},
		"less":     {strings.Replace(text, "server.port=1\n", "", 1), []string{"in server.port: only"}},
		"no sense": {"user=\\u00zz\n", []string{"is not read, and whether it equals"}},
	} {
		if tc.copied != "" {
			put(theirs, tc.copied)
		}
		s, err := LoadSynctool(mine, []string{"segment_age=5"})
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Join(s.Warnings, "\n")
		if len(tc.want) == 0 && all != "" || strings.Contains(all, "hush") || strings.Contains(all, "loud") {
			t.Errorf("%s: %s", name, all)
		}
		for _, w := range tc.want {
			if !strings.Contains(all, w) {
				t.Errorf("%s: no %q in %q", name, w, all)
			}
		}
		if err := os.RemoveAll(filepath.Dir(theirs)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(theirs), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(mine, theirs); err != nil {
		t.Fatal(err)
	}
	if s, err := LoadSynctool(mine, nil); err != nil || len(s.Warnings) != 0 {
		t.Errorf("a link to the file: %v %+v", err, s)
	}
}

func FuzzFlagfile(f *testing.F) {
	f.Add("--endpoint=a:1\n--zk_cluster=b:2\n#x\n--noenable_status_service\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "flagfile") {
			return // would read files of this machine
		}
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if c, err := LoadCollector([]string{"--flagfile=" + path}); err == nil && c.Endpoint == "" {
			t.Error("accepted without endpoint")
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add("server.port=1\nzookeeper.cluster=a:1\nzookeeper.root_path=/r\nsync_task.progress_path=/p\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "p")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := LoadSynctool(path, nil); err == nil && s.Port == 0 {
			t.Error("accepted without port")
		}
	})
}
