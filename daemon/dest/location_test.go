package dest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	c := Config{DefaultFS: "file:///", AllowedPrefixes: []string{"/data/out", "/mnt/"}}
	for in, want := range map[string]string{
		"/data/out/t":            "file:///data/out/t",
		"/data/out":              "file:///data/out",
		"/data//out/./t/":        "file:///data/out/t",
		"file:///mnt/a b":        "file:///mnt/a b",
		"file:/mnt/a":            "file:///mnt/a",
		"FILE://localhost/mnt/a": "file:///mnt/a",
		"/data/out/a:b":          "file:///data/out/a:b",
	} {
		if l, err := Parse(in, c); err != nil || l.String() != want {
			t.Errorf("%q: %v, %v, want %s", in, l, err, want)
		}
	}
	for in, reason := range map[string]string{
		"":                        "relative",
		"t":                       "relative",
		"./t":                     "relative",
		"file:t":                  "relative",
		"file://":                 "no directory",
		"file://host2/data/out/t": "another host, host2",
		"/":                       "root directory",
		"file:///":                "root directory",
		"/data/out/../../etc":     `".."`,
		"/data/outer":             "dest.allowed_prefixes (/data/out, /mnt/)",
		"/etc":                    "dest.allowed_prefixes",
		"/data/out/a\nb":          "control characters",
		"s3://bucket/x":           `"s3" is not known`,
		"hdfs://nn:8020/x":        "HDFS is not set up",
	} {
		_, err := Parse(in, c)
		var r *RefusedError
		if !errors.As(err, &r) || r.Dest != in || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want %s", in, err, reason)
		}
	}
	if _, err := Parse("/x", Config{AllowedPrefixes: []string{"/"}}); err == nil || !strings.Contains(err.Error(), "dest.default_fs") {
		t.Errorf("no default file system: %v", err)
	}
	if _, err := Parse("file:///x", Config{}); err == nil || !strings.Contains(err.Error(), "list the directories") {
		t.Errorf("no prefixes: %v", err)
	}
	if l, err := Parse("/x", Config{DefaultFS: "file", AllowedPrefixes: []string{"/"}}); err != nil || l.String() != "file:///x" {
		t.Errorf("a default without slashes: %v, %v", l, err)
	}
}

// remote is an HDFS conf with one NameNode, nn:8020.
type remote struct{ fs string }

func (r remote) DefaultFS() string { return r.fs }

func (r remote) Canonical(authority string) (string, error) {
	switch authority {
	case "", "nn", "NN:8020", "nn:8020":
		return "nn:8020", nil
	}
	return "", errors.New("who is " + authority + "?")
}

func (r remote) Open(context.Context, string, string) (Dest, error) { return nil, errors.New("closed") }

// TestParseHDFS: plain paths go to the default file system of the Hadoop conf, and every spelling of a place is one location.
func TestParseHDFS(t *testing.T) {
	t.Parallel()
	for in, c := range map[string]Config{
		"/a/b":               {HDFS: remote{"hdfs://nn"}},
		"/a//b/":             {HDFS: remote{"hdfs://NN:8020/"}},
		"/a/./b":             {HDFS: remote{"hdfs://nn/ignored"}},
		"hdfs://nn/a/b":      {HDFS: remote{}},
		"hdfs:///a/b":        {HDFS: remote{"file:///"}},
		"HDFS://nn:8020/a/b": {DefaultFS: "file:///", HDFS: remote{"hdfs://other"}},
	} {
		if l, err := Parse(in, c); err != nil || l.String() != "hdfs://nn:8020/a/b" {
			t.Errorf("%q: %v, %v", in, l, err)
		}
	}
	for in, reason := range map[string]string{
		"/a":               "default file system", // neither conf names one
		"hdfs://else/a":    "who is else?",
		"hdfs://nn/a:b":    "no \":\" in names",
		"hdfs://nn":        "names no directory",
		"hdfs://nn/a/../b": "..",
	} {
		var r *RefusedError
		if _, err := Parse(in, Config{HDFS: remote{}}); !errors.As(err, &r) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want %s", in, err, reason)
		}
	}
	if l, err := Parse("/x", Config{DefaultFS: "file:///", AllowedPrefixes: []string{"/"}, HDFS: remote{"hdfs://nn"}}); err != nil || l.String() != "file:///x" {
		t.Errorf("dest.default_fs comes first: %v, %v", l, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/a/b", "file:///a", "file://h/a", "a", "://", "file:", "/a/..", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := Config{DefaultFS: "file:///", AllowedPrefixes: []string{"/a"}}
		l, err := Parse(s, c)
		if err != nil {
			return
		}
		if l.path != "/a" && !strings.HasPrefix(l.path, "/a/") || strings.Contains(l.path+"/", "/../") {
			t.Errorf("%q is taken for %s", s, l.path)
		}
		if again, err := Parse(l.String(), c); err != nil || again != l {
			t.Errorf("%q: %v is read back as %v, %v", s, l, again, err)
		}
	})
}

func TestOverlaps(t *testing.T) {
	t.Parallel()
	c := Config{DefaultFS: "file:///", AllowedPrefixes: []string{"/"}}
	for _, x := range []struct {
		a, b string
		want bool
	}{
		{"/a/b", "/a/b/", true}, {"/a/b", "file:///a/b", true}, {"/a", "/a/b", true}, {"/a/b/c", "/a/b", true},
		{"/a/b", "/a/bc", false}, {"/a/b", "/a/c", false},
	} {
		a, aerr := Parse(x.a, c)
		b, berr := Parse(x.b, c)
		if aerr != nil || berr != nil || Overlaps(a, b) != x.want || Overlaps(b, a) != x.want {
			t.Errorf("%s and %s: %t, %v %v", x.a, x.b, !x.want, aerr, berr)
		}
	}
}

// TestLinksStayAllowed: a symbolic link below an allowed prefix leads where it leads.
func TestLinksStayAllowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, d := range []string{in, out, filepath.Join(in, "real")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"away": out, "near": filepath.Join(in, "real"), "loop": filepath.Join(in, "loop")} {
		if err := os.Symlink(to, filepath.Join(in, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(in, filepath.Join(dir, "alias")); err != nil {
		t.Fatal(err)
	}
	open := func(path string, prefixes ...string) (Dest, error) {
		c := Config{DefaultFS: "file:///", AllowedPrefixes: prefixes}
		l, err := Parse(path, c)
		if err != nil {
			t.Fatal(err)
		}
		return Open(t.Context(), l, c)
	}
	var r *RefusedError
	if _, err := open(in+"/away/t", in); !errors.As(err, &r) || !strings.Contains(err.Error(), out) {
		t.Errorf("a link out: %v", err)
	}
	if d, err := open(in+"/near/t", in); err != nil || d.String() != filepath.Join(in, "real", "t") {
		t.Errorf("a link inside: %v, %v", d, err)
	}
	if d, err := open(dir+"/alias/t/u", dir+"/alias"); err != nil || d.String() != filepath.Join(in, "t", "u") {
		t.Errorf("an allowed link: %v, %v", d, err)
	}
	if _, err := open(in+"/loop/t", in); err == nil {
		t.Error("a loop was opened")
	}
	for _, x := range []struct {
		a, b string
		want bool
	}{
		{in + "/near/t", in + "/real/t", true}, {in + "/near/t/deeper", in + "/real/t", true}, {in + "/real", in + "/near/t", true},
		{in + "/near/t", in + "/real/u", false}, {in + "/loop/t", in + "/real", false}, {in + "/loop/t", in + "/loop/t/u", true},
	} {
		c := Config{DefaultFS: "file:///", AllowedPrefixes: []string{in}}
		a, aerr := Parse(x.a, c)
		b, berr := Parse(x.b, c)
		if aerr != nil || berr != nil || Overlaps(a, b) != x.want || Overlaps(b, a) != x.want {
			t.Errorf("%s and %s overlap: %t, %v %v", x.a, x.b, !x.want, aerr, berr)
		}
	}
}
