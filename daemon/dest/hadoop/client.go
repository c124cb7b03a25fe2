package hadoop

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"
)

// Client is what a conf says to those who write files.
type Client struct {
	DefaultFS    string // fs.defaultFS; empty when it is not set
	Replication  int
	BlockSize    int64
	Umask        fs.FileMode
	UseHostnames bool // DataNodes are dialed by name, not by address
	// SocketTimeout is dfs.client.socket-timeout, which DataNodes have as well: how long one waits for the next.
	SocketTimeout time.Duration

	Kerberos     bool
	NameNodeSPN  string // dfs.namenode.kerberos.principal
	DataTransfer string // authentication, integrity, privacy or empty; the highest that is offered
	Encrypt      bool   // dfs.encrypt.data.transfer
}

// Client reads the keys.
func (c *Conf) Client() (Client, error) {
	var errs []error
	get := func(key, def string) string {
		v, err := c.Get(key, def)
		if err != nil {
			errs = append(errs, err)
		}
		return v
	}
	out := Client{
		DefaultFS: get("fs.defaultFS", ""), UseHostnames: get("dfs.client.use.datanode.hostname", "false") == "true",
		Kerberos:    strings.EqualFold(get("hadoop.security.authentication", "simple"), "kerberos"),
		NameNodeSPN: get("dfs.namenode.kerberos.principal", ""), Encrypt: get("dfs.encrypt.data.transfer", "false") == "true",
	}
	for _, p := range strings.Split(strings.ToLower(get("dfs.data.transfer.protection", "")), ",") {
		switch p = strings.TrimSpace(p); p {
		case "":
		case "authentication", "integrity", "privacy": // in the order of the alphabet, as it happens
			out.DataTransfer = max(out.DataTransfer, p)
		default:
			errs = append(errs, c.bad("dfs.data.transfer.protection", fmt.Errorf("%q is not one of authentication, integrity, privacy", p)))
		}
	}
	number := func(key, def string, read func(string) error) {
		if err := read(get(key, def)); err != nil {
			errs = append(errs, c.bad(key, err))
		}
	}
	number("dfs.replication", "3", func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > math.MaxInt16 {
			return fmt.Errorf("%q is not a number of copies", v)
		}
		out.Replication = n
		return nil
	})
	number("dfs.blocksize", "134217728", func(v string) (err error) {
		out.BlockSize, err = bytes(v)
		return err
	})
	number("fs.permissions.umask-mode", "022", func(v string) (err error) {
		out.Umask, err = umask(v)
		return err
	})
	number("dfs.client.socket-timeout", "60000", func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 86_400_000 {
			return fmt.Errorf("%q is not a number of milliseconds", v)
		}
		out.SocketTimeout = time.Duration(n) * time.Millisecond
		return nil
	})
	return out, errors.Join(errs...)
}

// bytes reads a size as Hadoop writes it: 134217728, 128m, 1g.
func bytes(v string) (int64, error) {
	num, unit := strings.ToLower(v), int64(1)
	for i, u := range []string{"k", "m", "g", "t", "p"} {
		if n, ok := strings.CutSuffix(num, u); ok {
			num, unit = n, int64(1)<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(num), 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size: 134217728, or 128m", v)
	}
	return n * unit, nil
}

// umask reads an octal one (022) or a symbolic one (u=rwx,g=rx,o=), which says what is allowed.
func umask(v string) (fs.FileMode, error) {
	if n, err := strconv.ParseUint(v, 8, 16); err == nil && n <= 0o1777 {
		return fs.FileMode(n & 0o777), nil
	}
	mask := fs.FileMode(0o777)
	for _, part := range strings.Split(v, ",") {
		who, what, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return 0, fmt.Errorf("%q is not a umask: 022, or u=rwx,g=rx,o=", v)
		}
		var bits fs.FileMode
		for _, r := range what {
			switch r {
			case 'r':
				bits |= 4
			case 'w':
				bits |= 2
			case 'x':
				bits |= 1
			default:
				return 0, fmt.Errorf("%q is not a umask: %q is neither r, w nor x", v, r)
			}
		}
		if who == "" {
			who = "a"
		}
		for _, r := range who {
			switch r {
			case 'u':
				mask = mask&^0o700 | (7&^bits)<<6
			case 'g':
				mask = mask&^0o070 | (7&^bits)<<3
			case 'o':
				mask = mask&^0o007 | 7&^bits
			case 'a':
				mask = (7&^bits)<<6 | (7&^bits)<<3 | 7&^bits
			default:
				return 0, fmt.Errorf("%q is not a umask: %q is neither u, g, o nor a", v, r)
			}
		}
	}
	return mask, nil
}
