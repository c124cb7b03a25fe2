package hadoop

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, dir, name string, properties ...string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n<configuration xmlns:xi=\"http://www.w3.org/2001/XInclude\">\n")
	for i := 0; i < len(properties); i += 2 {
		if properties[i] == "include" {
			b.WriteString("<xi:include href=\"" + properties[i+1] + "\"/>\n")
			continue
		}
		b.WriteString("<property><name>" + properties[i] + "</name><value>\n" + properties[i+1] + "\n</value></property>\n")
	}
	b.WriteString("</configuration>\n")
	if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, dir string) *Conf {
	t.Helper()
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLoad: both files, the later one wins; includes, ${}, former names, trimmed values.
func TestLoad(t *testing.T) {
	t.Setenv("OMSYNC_TEST_HOST", "envhost")
	dir := t.TempDir()
	write(t, dir, "core-site.xml", "fs.default.name", "hdfs://${host}:9000", "host", "${env.OMSYNC_TEST_HOST}", "x", "core",
		"chain", "${a}-${env.OMSYNC_TEST_NONE:-none}-${env.OMSYNC_TEST_NONE-unset}", "a", "${b}", "b", "deep", "unknown", "${no.such.key}/x", "open", "${a",
		"loop", "${loop2}", "loop2", "${loop}", "include", "more.xml")
	write(t, dir, "more.xml", "included", "yes")
	write(t, dir, "hdfs-site.xml", "x", "hdfs", "dfs.block.size", "64M", "dfs.umaskmode", "027", "dfs.replication", "2")
	c := load(t, dir)
	for key, want := range map[string]string{
		"fs.defaultFS": "hdfs://envhost:9000", "x": "hdfs", "chain": "deep-none-unset", "unknown": "${no.such.key}/x", "open": "${a", "included": "yes", "none": "default",
	} {
		if got, err := c.Get(key, "default"); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", key, got, err, want)
		}
	}
	if _, err := c.Get("loop", ""); err == nil || !strings.Contains(err.Error(), "loop") || !strings.Contains(err.Error(), dir) {
		t.Errorf("a value that refers to itself: %v", err)
	}
	got, err := c.Client()
	if want := (Client{DefaultFS: "hdfs://envhost:9000", Replication: 2, BlockSize: 64 << 20, Umask: 0o027, SocketTimeout: time.Minute}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// TestWhere: hadoop.conf.dir, else HADOOP_CONF_DIR, else HADOOP_HOME/etc/hadoop, else Hadoop's defaults.
func TestWhere(t *testing.T) {
	conf, home := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "etc/hadoop"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, conf, "core-site.xml", "fs.defaultFS", "hdfs://conf")
	write(t, filepath.Join(home, "etc/hadoop"), "core-site.xml", "fs.defaultFS", "hdfs://home")
	fs := func(dir string) string {
		c, err := load(t, dir).Client()
		if err != nil || c.Replication != 3 || c.BlockSize != 128<<20 || c.Umask != 0o022 {
			t.Errorf("%+v, %v", c, err)
		}
		return c.DefaultFS
	}
	t.Setenv("HADOOP_CONF_DIR", "")
	t.Setenv("HADOOP_HOME", "")
	if got := fs(""); got != "" {
		t.Error(got)
	}
	t.Setenv("HADOOP_HOME", home)
	if got := fs(""); got != "hdfs://home" {
		t.Error(got)
	}
	t.Setenv("HADOOP_CONF_DIR", conf)
	if got := fs(""); got != "hdfs://conf" {
		t.Error(got)
	}
	if got := fs(filepath.Join(home, "etc/hadoop")); got != "hdfs://home" {
		t.Error(got)
	}
	if _, err := Load(home); err == nil || !strings.Contains(err.Error(), "hadoop.conf.dir") {
		t.Errorf("a directory without conf files: %v", err)
	}
}

// TestBroken: what can not be read is named, with file or key.
func TestBroken(t *testing.T) {
	t.Parallel()
	for value, says := range map[string]string{"dfs.replication": "number of copies", "dfs.blocksize": "128m", "fs.permissions.umask-mode": "umask", "dfs.data.transfer.protection": "privacy", "dfs.client.socket-timeout": "milliseconds"} {
		dir := t.TempDir()
		write(t, dir, "hdfs-site.xml", value, "rubbish")
		if _, err := load(t, dir).Client(); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v", value, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "core-site.xml"), []byte("<configuration><property>"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "core-site.xml") {
		t.Errorf("cut short: %v", err)
	}
	write(t, dir, "core-site.xml", "include", "core-site.xml")
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "include each other") {
		t.Errorf("a file that includes itself: %v", err)
	}
}

func TestUmask(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]fs.FileMode{"022": 0o022, "77": 0o077, "u=rwx,g=rx,o=": 0o027, "u=rwx,g=rwx,o=rx": 0o002, "a=r": 0o333, "=rwx": 0, "o=": 0o777} {
		if got, err := umask(in); err != nil || got != want {
			t.Errorf("%s: %o, %v, want %o", in, got, err, want)
		}
	}
	for _, in := range []string{"", "9", "u+x", "u=q", "z=r", "77777"} {
		if got, err := umask(in); err == nil {
			t.Errorf("%s: %o", in, got)
		}
	}
}

// TestService: nameservices, federation, NameNodes by address, defaults of ports.
func TestService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "hdfs-site.xml", "dfs.nameservices", "ns1, ns2,remote", "dfs.ha.namenodes.ns1", "a,b",
		"dfs.namenode.rpc-address.ns1.a", "A.example:8020", "dfs.namenode.rpc-address.ns1.b", "b.example:9000",
		"dfs.namenode.http-address.ns1.b", "0.0.0.0:50070", "dfs.namenode.rpc-address.ns2", "c.example:8020", "dfs.namenode.http-address.ns2", "web.example:80")
	c := load(t, dir)
	ns1 := Service{"ns1", []NameNode{{"a.example:8020", "http://a.example:9870"}, {"b.example:9000", "http://b.example:50070"}}}
	ns2 := Service{"ns2", []NameNode{{"c.example:8020", "http://web.example:80"}}}
	for in, want := range map[string]Service{
		"ns1": ns1, "NS1": ns1, "a.example": ns1, "B.example:9000": ns1, "ns2": ns2, "c.example:8020": ns2,
		"Other":      {"other:8020", []NameNode{{"other:8020", "http://other:9870"}}},
		"b.example":  {"b.example:8020", []NameNode{{"b.example:8020", "http://b.example:9870"}}},
		"[::1]:9000": {"[::1]:9000", []NameNode{{"[::1]:9000", "http://[::1]:9870"}}},
	} {
		got, err := c.Service(in)
		if err != nil || got.Name != want.Name || len(got.NameNodes) != len(want.NameNodes) || got.NameNodes[0] != want.NameNodes[0] || got.NameNodes[len(got.NameNodes)-1] != want.NameNodes[len(want.NameNodes)-1] {
			t.Errorf("%s: %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "ns1:8020"} {
		if got, err := c.Service(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
	secure := t.TempDir()
	write(t, secure, "hdfs-site.xml", "dfs.http.policy", "HTTPS_ONLY", "dfs.namenode.https-address", "nn:9999")
	if got, err := load(t, secure).Service("nn"); err != nil || got.NameNodes[0].HTTP != "https://nn:9999" {
		t.Errorf("%+v, %v", got, err)
	}
	write(t, dir, "core-site.xml", "dfs.nameservices", "x", "dfs.namenode.rpc-address.x", "noport")
	write(t, dir, "hdfs-site.xml")
	if _, err := load(t, dir).Service("x"); err == nil || !strings.Contains(err.Error(), "dfs.namenode.rpc-address.x") {
		t.Errorf("an address without a port: %v", err)
	}
}

func TestUser(t *testing.T) {
	t.Setenv("HADOOP_USER_NAME", "alice")
	if u, err := User(); err != nil || u != "alice" {
		t.Errorf("%q, %v", u, err)
	}
	t.Setenv("HADOOP_USER_NAME", "")
	if u, err := User(); err != nil || u == "" || u == "alice" {
		t.Errorf("%q, %v", u, err)
	}
}
