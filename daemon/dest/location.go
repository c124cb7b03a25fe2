package dest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Config is what the conf file says of destinations.
type Config struct {
	DefaultFS       string   // dest.default_fs: the file system of plain paths, file:/// or hdfs://host:port
	AllowedPrefixes []string // dest.allowed_prefixes: local directories that destinations may lie in
	HDFS            Remote   // nil: none
}

// Remote is a kind of file system that is reached over the network: daemon/dest/hdfs.
type Remote interface {
	// DefaultFS is the default file system of its own conf, as a URI; it may be empty.
	DefaultFS() string
	// Canonical returns the one spelling of a URI's authority; "" stands for the default one.
	Canonical(authority string) (string, error)
	// Open opens a directory, given the canonical authority.
	Open(ctx context.Context, authority, path string) (Dest, error)
}

// defaultFS is that of dest.default_fs, else that of the Hadoop conf.
func (c Config) defaultFS() string {
	if c.DefaultFS == "" && c.HDFS != nil {
		return c.HDFS.DefaultFS()
	}
	return c.DefaultFS
}

// Location is a checked spelling of a destination.
type Location struct {
	scheme, host string
	path         string // absolute and clean
}

// String is the location as a URI.
func (l Location) String() string { return l.scheme + "://" + l.host + l.path }

// RefusedError: a destination that can not be, whatever lies there.
type RefusedError struct{ Dest, Reason string }

func (e *RefusedError) Error() string { return fmt.Sprintf("destination %q: %s", e.Dest, e.Reason) }

// Parse checks how a destination is spelled: an absolute path on the default file system, or a URI. Errors are *RefusedError.
func Parse(dest string, c Config) (Location, error) {
	refuse := func(format string, args ...any) (Location, error) {
		return Location{}, &RefusedError{dest, fmt.Sprintf(format, args...)}
	}
	if strings.ContainsFunc(dest, unicode.IsControl) {
		return refuse("it holds control characters")
	}
	uri := dest
	if !hasScheme(dest) {
		if !strings.HasPrefix(dest, "/") {
			return refuse("a relative path: give an absolute one, or a URI like hdfs://host:port/path")
		}
		if uri = rootOf(c.defaultFS()); uri == "" {
			return refuse("there is no default file system: set dest.default_fs (file:/// for local directories) or hadoop.conf.dir, or give a URI")
		}
		uri += dest
	}
	scheme, rest, _ := strings.Cut(uri, ":")
	l := Location{scheme: strings.ToLower(scheme)}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		i := strings.Index(after, "/")
		if i < 0 {
			return refuse("it names no directory")
		}
		l.host, rest = after[:i], after[i:]
	}
	if !strings.HasPrefix(rest, "/") {
		return refuse("a relative path: give an absolute one")
	}
	if slices.Contains(strings.Split(rest, "/"), "..") {
		return refuse("it leads through \"..\": write the path out")
	}
	if l.path = path.Clean(rest); l.path == "/" {
		return refuse("the root directory: choose one below it")
	}
	switch l.scheme {
	case "file":
		if l.host != "" && l.host != "localhost" {
			return refuse("file:// of another host, %s: write file:///path", l.host)
		}
		l.host = ""
		if !allowed(l.path, c.AllowedPrefixes) {
			return Location{}, notAllowed(dest, c)
		}
		return l, nil
	case "hdfs":
		if c.HDFS == nil {
			return refuse("HDFS is not set up here")
		}
		if strings.Contains(l.path, ":") {
			return refuse("HDFS takes no \":\" in names")
		}
		var err error
		if l.host, err = c.HDFS.Canonical(l.host); err != nil {
			return refuse("%v", err)
		}
		return l, nil
	}
	return refuse("file system %q is not known: file or hdfs", l.scheme)
}

// rootOf takes scheme and authority of a default file system, which may be written in short: file:/// is file:, as file is.
func rootOf(defaultFS string) string {
	scheme, rest, _ := strings.Cut(defaultFS, ":")
	if scheme == "" {
		return ""
	}
	authority, _, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "/")
	if authority == "" {
		return scheme + ":"
	}
	return scheme + "://" + authority
}

// hasScheme tells a URI from a path: letters, then a colon, before any slash.
func hasScheme(s string) bool {
	i := strings.IndexAny(s, ":/")
	return i > 0 && s[i] == ':'
}

func notAllowed(dest string, c Config) *RefusedError {
	if len(c.AllowedPrefixes) == 0 {
		return &RefusedError{dest, "local destinations are not allowed: list the directories they may lie in, in dest.allowed_prefixes"}
	}
	return &RefusedError{dest, "not allowed: it lies in none of dest.allowed_prefixes (" + strings.Join(c.AllowedPrefixes, ", ") + ")"}
}

func allowed(p string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return within(p, path.Clean(prefix)) })
}

// within tells whether p is dir or lies in it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// Overlaps tells whether two locations are the same, or one lies in the other, by their spelling or, on this machine, by where symbolic links lead.
func Overlaps(a, b Location) bool {
	if a.scheme != b.scheme || a.host != b.host {
		return false
	}
	if within(a.path, b.path) || within(b.path, a.path) {
		return true
	}
	if a.scheme != "file" {
		return false
	}
	one, err1 := resolve(a.path)
	other, err2 := resolve(b.path)
	return err1 == nil && err2 == nil && (within(one, other) || within(other, one))
}

// Open opens a location that Parse has passed. For a local one symbolic links on the way must not lead out of the allowed prefixes.
func Open(ctx context.Context, l Location, c Config) (Dest, error) {
	if l.scheme == "hdfs" {
		return c.HDFS.Open(ctx, l.host, l.path)
	}
	real, err := resolve(l.path)
	if err != nil {
		return nil, fmt.Errorf("open destination: %w", err)
	}
	prefixes := slices.Clone(c.AllowedPrefixes)
	for _, p := range c.AllowedPrefixes {
		r, err := resolve(filepath.Clean(p))
		if err != nil {
			return nil, fmt.Errorf("open destination: dest.allowed_prefixes: %w", err)
		}
		prefixes = append(prefixes, r)
	}
	if !allowed(real, prefixes) {
		return nil, &RefusedError{l.String(), "a symbolic link leads it to " + real + ", which lies in none of dest.allowed_prefixes"}
	}
	return NewLocal(real), nil
}

// resolve follows the symbolic links of as much of a path as exists.
func resolve(p string) (string, error) {
	rest := ""
	for at := p; ; at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == "/" {
			return "", err
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}
