package conf

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// Key declares one key of a conf file.
type Key struct {
	Name     string
	Default  string // as it would stand in the file
	Shipped  string // value of the shipped file; empty = the shipped line is a comment
	Unit     string // of a bare number: ms, s, bytes; empty for texts and counts
	Help     string // one or two sentences
	Upstream bool   // OpenMLDB's own name and meaning (formats.md §9)
	Ignored  string // not empty: accepted with a warning, and why it has no effect
	Required bool
	Secret   bool               // never printed
	isBool   bool               // may stand without a value though no default says so
	set      func(string) error // parses into the struct that is being filled; nil when Ignored
}

// Error is a refused conf file or command line: what is wrong, where, and what to write instead.
type Error struct {
	Source string // file, or "command line"
	Line   int    // 1-based, 0 = not of one line
	Key    string
	Reason string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Source)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		fmt.Fprintf(&b, "%s: ", e.Key)
	}
	b.WriteString(e.Reason)
	return b.String()
}

// keys indexes a declaration table by name.
type keys struct {
	list    []*Key
	by      map[string]*Key
	foreign func(name string) (foreignFlag, bool) // flags of upstream's libraries; nil = none
}

func newKeys(list []*Key) keys {
	k := keys{list: list, by: make(map[string]*Key, len(list))}
	for _, one := range list {
		if k.by[one.Name] != nil {
			panic("conf: key declared twice: " + one.Name)
		}
		k.by[one.Name] = one
	}
	return k
}

// find returns the key for a name. A table entry "rest.*" stands for every name with that beginning, and flags of upstream's libraries are keys
// without effect; a slip of the pen in a key that counts is neither.
func (k keys) find(name string) *Key {
	if one := k.by[name]; one != nil {
		return one
	}
	if near := k.by[k.nearest(name)]; near != nil && near.Ignored == "" && distance(name, near.Name) <= 2 && len(name) > 4 {
		return nil
	}
	if k.foreign != nil {
		if f, ok := k.foreign(name); ok {
			return &Key{Name: name, Upstream: true, Ignored: f.reason(name), isBool: f.isBool}
		}
	}
	for _, one := range k.list {
		if p, ok := strings.CutSuffix(one.Name, "*"); ok && strings.HasPrefix(name, p) {
			return one
		}
	}
	return nil
}

// nearest names the known key with the smallest edit distance, empty when none is close.
func (k keys) nearest(name string) string {
	best, at := "", math.MaxInt
	for _, one := range k.list {
		if strings.HasSuffix(one.Name, "*") {
			continue
		}
		if d := distance(name, one.Name); d < at {
			best, at = one.Name, d
		}
	}
	if at > max(2, len(name)/3) {
		return ""
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

func text(to *string) func(string) error {
	return func(s string) error { *to = s; return nil }
}

func oneOf(to *string, allowed ...string) func(string) error {
	return func(s string) error {
		for _, a := range allowed {
			if s == a {
				*to = s
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", s, strings.Join(allowed, ", "))
	}
}

func boolean(to *bool) func(string) error {
	return func(s string) error {
		switch strings.ToLower(s) { // gflags' own spellings
		case "true", "t", "1", "yes", "y":
			*to = true
		case "false", "f", "0", "no", "n":
			*to = false
		default:
			return fmt.Errorf("%q is neither true nor false", s)
		}
		return nil
	}
}

func integer(to *int, low, high int) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < low || n > high {
			return fmt.Errorf("%q is not a whole number from %d to %d", s, low, high)
		}
		*to = n
		return nil
	}
}

// size reads bytes: a bare number, or one with KiB, MiB, GiB or TiB (also K, M, G, T).
func size(to *int64, low, high int64) func(string) error {
	return func(s string) error {
		num, unit := s, int64(1)
		for i, u := range []string{"K", "M", "G", "T"} {
			for _, suffix := range []string{u + "iB", u + "B", u} {
				if n, ok := strings.CutSuffix(s, suffix); ok && unit == 1 {
					num, unit = n, int64(1)<<(10*(i+1))
				}
			}
		}
		n, err := strconv.ParseInt(strings.TrimSpace(num), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit {
			return fmt.Errorf("%q is not a size: write bytes, or 64MiB, 10GiB", s)
		}
		if n *= unit; n < low || n > high {
			return fmt.Errorf("%q is out of range: from %d to %d bytes", s, low, high)
		}
		*to = n
		return nil
	}
}

// duration reads a bare number in unit, or Go's notation (500ms, 60s, 5m).
func duration(to *time.Duration, unit, low, high time.Duration) func(string) error {
	return func(s string) error {
		s = strings.TrimSpace(s)
		d, err := time.ParseDuration(s)
		if n, e := strconv.ParseInt(s, 10, 64); e == nil {
			if n < 0 || n > int64(math.MaxInt64/unit) {
				return fmt.Errorf("%q is out of range: from %s to %s", s, low, high)
			}
			d, err = time.Duration(n)*unit, nil
		}
		if err != nil {
			return fmt.Errorf("%q is not a duration: write a number of %s, or 500ms, 60s, 5m", s, map[time.Duration]string{time.Millisecond: "milliseconds", time.Second: "seconds"}[unit])
		}
		if d < low || d > high {
			return fmt.Errorf("%q is out of range: from %s to %s", s, low, high)
		}
		*to = d
		return nil
	}
}

// endpoint reads host:port with a port from 1 to 65535.
func endpoint(to *string, empty bool) func(string) error {
	return func(s string) error {
		if s == "" && empty {
			*to = s
			return nil
		}
		host, port, err := net.SplitHostPort(s)
		if err != nil || host == "" {
			return fmt.Errorf("%q is not host:port", s)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q: the port is not a number from 1 to 65535", s)
		}
		*to = s
		return nil
	}
}

// servers reads a comma-separated list of host:port.
func servers(to *[]string) func(string) error {
	return func(s string) error {
		var out []string
		for _, one := range strings.Split(s, ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			var e string
			if err := endpoint(&e, false)(one); err != nil {
				return err
			}
			out = append(out, e)
		}
		*to = out
		return nil
	}
}

// znode reads an absolute ZooKeeper path without a slash at its end.
func znode(to *string) func(string) error {
	return func(s string) error {
		if !strings.HasPrefix(s, "/") || s == "/" || strings.HasSuffix(s, "/") || strings.Contains(s, "//") {
			return fmt.Errorf("%q is not a ZooKeeper path: write it like /openmldb", s)
		}
		*to = s
		return nil
	}
}

// list reads comma-separated texts.
func list(to *[]string) func(string) error {
	return func(s string) error {
		*to = nil
		for _, one := range strings.Split(s, ",") {
			if one = strings.TrimSpace(one); one != "" {
				*to = append(*to, one)
			}
		}
		return nil
	}
}

func zone(to **time.Location) func(string) error {
	return func(s string) error {
		if s == "" {
			*to = time.Local
			return nil
		}
		l, err := time.LoadLocation(s)
		if err != nil {
			return fmt.Errorf("%q is not a time zone: write it like Asia/Shanghai or UTC", s)
		}
		*to = l
		return nil
	}
}
