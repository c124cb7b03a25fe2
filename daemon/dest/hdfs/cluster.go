package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	native "github.com/colinmarc/hdfs/v2"
	"github.com/colinmarc/hdfs/v2/hadoopconf"

	"omsync/daemon/dest"
	"omsync/daemon/dest/hadoop"
)

// Transport is how files are written.
type Transport string

const (
	// Auto writes natively, and through WebHDFS for a while after a DataNode failed.
	Auto Transport = "auto"
	// Native is Hadoop's RPC and block protocol only.
	Native Transport = "native"
	// WebHDFS does all over HTTP.
	WebHDFS Transport = "webhdfs"
)

// Options of Clusters.
type Options struct {
	Conf      *hadoop.Conf
	Transport Transport     // default Auto
	Timeout   time.Duration // longest silence of a NameNode or DataNode; default 30 s
	User      string        // without Kerberos; default hadoop.User
	// Principal and Keytab are for Kerberos; Krb5 is its conf file, default $KRB5_CONFIG, else /etc/krb5.conf.
	Principal, Keytab, Krb5 string
	Logger                  *slog.Logger
}

const (
	defaultTimeout = 30 * time.Second
	maxCalls       = 8
)

// Clusters opens directories in any HDFS that the conf, or a URI itself, says how to reach. It is safe for concurrent use; Close it.
type Clusters struct {
	o      Options
	client hadoop.Client
	login  *login

	mu   sync.Mutex
	open map[string]*service
}

// New checks the conf. It connects to nobody.
func New(o Options) (*Clusters, error) {
	if o.Conf == nil {
		o.Conf = &hadoop.Conf{}
	}
	if o.Transport == "" {
		o.Transport = Auto
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Clusters{o: o, open: map[string]*service{}}
	var err error
	if c.client, err = o.Conf.Client(); err != nil {
		return nil, err
	}
	if !c.client.Kerberos {
		if c.o.User == "" {
			if c.o.User, err = hadoop.User(); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	if o.Principal == "" || o.Keytab == "" {
		return c, nil // ready says so to whoever wants HDFS
	}
	c.login, err = newLogin(o.Principal, o.Keytab, o.Krb5)
	return c, err
}

// DefaultFS is fs.defaultFS of the conf; empty when it is not set.
func (c *Clusters) DefaultFS() string { return c.client.DefaultFS }

// Canonical returns the one spelling of an HDFS, of which a URI gives some.
func (c *Clusters) Canonical(authority string) (string, error) {
	if err := c.ready(); err != nil {
		return "", err
	}
	if authority == "" {
		rest, ok := strings.CutPrefix(c.client.DefaultFS, "hdfs://")
		if !ok {
			return "", errors.New("it names no NameNode, and fs.defaultFS of the Hadoop conf is none either: write hdfs://host:port/path")
		}
		authority, _, _ = strings.Cut(rest, "/")
	}
	s, err := c.o.Conf.Service(authority)
	return s.Name, err
}

// ready tells what of the conf is missing.
func (c *Clusters) ready() error {
	switch {
	case !c.client.Kerberos:
		return nil
	case c.login == nil:
		return errors.New("hadoop.security.authentication of the Hadoop conf is kerberos: set hadoop.kerberos.principal and hadoop.kerberos.keytab")
	case c.client.NameNodeSPN == "":
		return errors.New("hadoop.security.authentication of the Hadoop conf is kerberos, but dfs.namenode.kerberos.principal is missing there")
	}
	return nil
}

// Open opens a directory, which need not exist yet, of an HDFS as Canonical spells it. The NameNode must answer.
func (c *Clusters) Open(ctx context.Context, name, root string) (dest.Dest, error) {
	s, err := c.service(name)
	if err != nil {
		return nil, err
	}
	d := &Dir{service: s, root: root}
	st, err := d.stat(ctx, "", root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && !st.Dir {
		return nil, s.explain("open", root, errNotDir)
	}
	return d, nil
}

var errNotDir = fmt.Errorf("a file is there: %w", syscall.ENOTDIR)

func (c *Clusters) service(name string) (*service, error) {
	if err := c.ready(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		return nil, fs.ErrClosed
	}
	if s := c.open[name]; s != nil {
		return s, nil
	}
	where, err := c.o.Conf.Service(name)
	if err != nil {
		return nil, err
	}
	s := &service{
		name: where.Name, user: c.o.User, client: c.client, transport: c.o.Transport, timeout: c.o.Timeout, login: c.login,
		calls: make(chan struct{}, maxCalls), log: c.o.Logger,
	}
	for _, n := range where.NameNodes {
		s.rpc, s.http = append(s.rpc, n.RPC), append(s.http, n.HTTP)
	}
	// ClientOptionsFromConf sets a field that nothing else can: DataNodes on privileged ports do without SASL.
	s.options = native.ClientOptionsFromConf(hadoopconf.HadoopConf{
		"dfs.encrypt.data.transfer": fmt.Sprint(c.client.Encrypt), "dfs.data.transfer.protection": c.client.DataTransfer,
		"dfs.namenode.kerberos.principal": c.client.NameNodeSPN, "dfs.client.use.datanode.hostname": fmt.Sprint(c.client.UseHostnames),
	})
	s.options.User = s.user
	if c.login != nil {
		s.user = c.login.user
	}
	s.web = newWeb(s)
	c.open[name] = s
	return s, nil
}

// Close ends all connections. Files that are being written fail.
func (c *Clusters) Close() error {
	c.mu.Lock()
	all := c.open
	c.open = nil
	c.mu.Unlock()
	for _, s := range all {
		s.close()
	}
	if c.login != nil {
		c.login.close()
	}
	return nil
}
