package hdfsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"omsync/testenv/daemons"
)

// Options of a Cluster.
type Options struct {
	Dir         string // for data, conf and logs; required
	DataNodes   int    // default 1
	Replication int    // dfs.replication; default: the number of DataNodes
	HA          bool   // two NameNodes of the nameservice ns1, of which the first is made active
	// SafeMode is how long a NameNode stays in safe mode after its DataNodes have reported; default 0.
	SafeMode time.Duration
	// DeadAfter is when the NameNode takes a silent DataNode for dead: on real clusters 630 s, here the default is 14 s.
	DeadAfter time.Duration
	KDC       *KDC // Kerberos; nil = simple authentication
	Core      Conf // more properties of core-site.xml, servers' and clients'
	HDFS      Conf // the same of hdfs-site.xml
}

// Nameservice is the name of an HA cluster.
const Nameservice = "ns1"

// Cluster is one HDFS.
type Cluster struct {
	NameNodes []*Node
	DataNodes []*Node

	o          Options
	java, jars string
	ports      []int // RPC ports of the NameNodes
	core, hdfs Conf
	callers    []*caller // one per DataNode
}

// Start makes a cluster and waits until it takes files.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Dir == "" {
		return nil, errors.New("start HDFS: a directory is needed")
	}
	if o.DataNodes <= 0 {
		o.DataNodes = 1
	}
	if o.Replication <= 0 {
		o.Replication = o.DataNodes
	}
	if o.DeadAfter <= 0 {
		o.DeadAfter = 14 * time.Second
	}
	c := &Cluster{o: o}
	var err error
	if c.java, c.jars, err = findJava(); err != nil {
		return nil, err
	}
	if err := c.lay(); err != nil {
		return nil, errors.Join(fmt.Errorf("start HDFS: %w", err), c.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.boot(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start HDFS: %w", err), c.Close())
	}
	return c, nil
}

// Require starts a cluster for one test or fails it with the remedy. The cluster ends with the test.
func Require(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Close kills all processes.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range append(append([]*Node{}, c.NameNodes...), c.DataNodes...) {
		errs = append(errs, n.Kill())
	}
	for _, p := range c.callers {
		errs = append(errs, p.close())
	}
	c.callers = nil
	return errors.Join(errs...)
}

// ConfDir is a directory of core-site.xml and hdfs-site.xml for clients.
func (c *Cluster) ConfDir() string { return filepath.Join(c.o.Dir, "client") }

// ClientConf writes another conf directory for clients, with more properties of hdfs-site.xml.
func (c *Cluster) ClientConf(dir string, more Conf) error {
	if err := c.core.write(filepath.Join(dir, "core-site.xml")); err != nil {
		return err
	}
	return c.hdfs.with(more).write(filepath.Join(dir, "hdfs-site.xml"))
}

// URI is fs.defaultFS.
func (c *Cluster) URI() string { return c.core["fs.defaultFS"] }

// Address is the host:port of a NameNode's RPC.
func (c *Cluster) Address(nameNode int) string {
	return net.JoinHostPort(c.nameHost(), strconv.Itoa(c.ports[nameNode]))
}

// nameHost is a name under Kerberos, whose principals hold it.
func (c *Cluster) nameHost() string {
	if c.o.KDC != nil {
		return "localhost"
	}
	return "127.0.0.1"
}

// lay chooses ports and writes every conf.
func (c *Cluster) lay() error {
	names := []string{"nn1"}
	if c.o.HA {
		names = append(names, "nn2")
	}
	var err error
	free, err := freePorts(2 * len(names))
	if err != nil {
		return err
	}
	c.ports = free[:len(names)]
	pages := free[len(names):]
	dir := func(sub ...string) string { return filepath.Join(append([]string{c.o.Dir}, sub...)...) }
	for _, d := range []string{"log", "shared", "client"} {
		if err := os.MkdirAll(dir(d), 0o755); err != nil {
			return err
		}
	}
	c.core = Conf{"fs.defaultFS": "hdfs://" + c.Address(0)}
	c.hdfs = Conf{
		"dfs.replication": strconv.Itoa(c.o.Replication),
		// 10 heartbeats plus twice the recheck interval make a DataNode dead.
		"dfs.heartbeat.interval":                             "1",
		"dfs.namenode.heartbeat.recheck-interval":            strconv.FormatInt(max(0, c.o.DeadAfter-10*time.Second).Milliseconds()/2, 10),
		"dfs.namenode.redundancy.interval.seconds":           "1s",
		"dfs.namenode.safemode.extension":                    strconv.FormatInt(c.o.SafeMode.Milliseconds(), 10),
		"dfs.namenode.safemode.min.datanodes":                "1",
		"dfs.client.socket-timeout":                          "4000", // DataNode to DataNode; 60 s on real clusters
		"dfs.datanode.fsdatasetcache.max.threads.per.volume": "1",
		"dfs.namenode.redundancy.considerLoad":               "false", // every live DataNode is as good as the others
		"dfs.namenode.handler.count":                         "4",
		"dfs.datanode.handler.count":                         "2",
	}
	if c.o.HA {
		c.core["fs.defaultFS"] = "hdfs://" + Nameservice
		c.hdfs["dfs.nameservices"] = Nameservice
		c.hdfs["dfs.ha.namenodes."+Nameservice] = "nn1,nn2"
		c.hdfs["dfs.client.failover.proxy.provider."+Nameservice] = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
		for i, n := range names {
			c.hdfs["dfs.namenode.rpc-address."+Nameservice+"."+n] = c.Address(i)
			c.hdfs["dfs.namenode.http-address."+Nameservice+"."+n] = net.JoinHostPort(c.nameHost(), strconv.Itoa(pages[i]))
		}
	} else {
		c.hdfs["dfs.namenode.http-address"] = net.JoinHostPort(c.nameHost(), strconv.Itoa(pages[0]))
	}
	if c.o.KDC != nil {
		c.core, c.hdfs = c.core.with(c.o.KDC.core()), c.hdfs.with(c.o.KDC.hdfs())
	}
	c.core, c.hdfs = c.core.with(c.o.Core), c.hdfs.with(c.o.HDFS)
	if err := c.core.write(dir("client", "core-site.xml")); err != nil {
		return err
	}
	if err := c.hdfs.write(dir("client", "hdfs-site.xml")); err != nil {
		return err
	}
	for i, name := range names {
		own := Conf{
			"dfs.namenode.name.dir": "file://" + dir("name-"+name), "dfs.namenode.rpc-bind-host": "127.0.0.1",
			"dfs.namenode.datanode.registration.ip-hostname-check": "false",
		}
		if c.o.HA {
			own = own.with(Conf{
				"dfs.namenode.shared.edits.dir": "file://" + dir("shared"), "dfs.ha.fencing.methods": "shell(/bin/true)", "dfs.ha.namenode.id": name,
				"dfs.ha.tail-edits.period": "1s", "dfs.ha.log-roll.period": "5s",
			})
		}
		n := &Node{Name: name, HTTP: net.JoinHostPort(c.nameHost(), strconv.Itoa(pages[i]))}
		if n.command, err = c.node(name, own, "org.apache.hadoop.hdfs.server.namenode.NameNode"); err != nil {
			return err
		}
		c.NameNodes = append(c.NameNodes, n)
	}
	for i := range c.o.DataNodes {
		name, host := fmt.Sprintf("dn%d", i+1), fmt.Sprintf("127.0.0.%d", 11+i)
		own := Conf{
			"dfs.datanode.data.dir": "file://" + dir("data-"+name), "dfs.datanode.hostname": host, "dfs.datanode.address": host + ":0",
			"dfs.datanode.http.address": host + ":0", "dfs.datanode.ipc.address": host + ":0",
		}
		p, err := newCaller(host)
		if err != nil {
			return err
		}
		c.callers = append(c.callers, p)
		own["hadoop.rpc.socket.factory.class.DatanodeProtocolPB"], own["hadoop.socks.server"] = "org.apache.hadoop.net.SocksSocketFactory", p.addr()
		n := &Node{Name: name, Host: host}
		if n.command, err = c.node(name, own, "org.apache.hadoop.hdfs.server.datanode.DataNode"); err != nil {
			return err
		}
		c.DataNodes = append(c.DataNodes, n)
	}
	return nil
}

// node writes a server's conf and makes its command.
func (c *Cluster) node(name string, own Conf, class string, args ...string) (daemons.Command, error) {
	conf := filepath.Join(c.o.Dir, "conf-"+name)
	core := c.core.with(Conf{"hadoop.tmp.dir": filepath.Join(c.o.Dir, "tmp-"+name)})
	if err := writeConf(conf, core, c.hdfs.with(own)); err != nil {
		return daemons.Command{}, err
	}
	return c.tool(name, conf, class, args...), nil
}

// tool makes the command of a class with a server's conf.
func (c *Cluster) tool(name, conf, class string, args ...string) daemons.Command {
	log := filepath.Join(c.o.Dir, "log")
	java := javaArgs("128m", log)
	if c.o.KDC != nil {
		java = append(java, "-Djava.security.krb5.conf="+c.o.KDC.Krb5Conf())
	}
	java = append(java, "-cp", conf+":"+c.jars, class)
	return daemons.Command{Name: name, Path: c.java, Args: append(java, args...), Dir: log}
}

// boot formats the NameNodes, starts everything and waits.
func (c *Cluster) boot(ctx context.Context) error {
	first := c.NameNodes[0]
	format := first.command
	format.Name, format.Args = "format", append(append([]string{}, format.Args...), "-format", "-nonInteractive")
	if err := run(ctx, format); err != nil {
		return err
	}
	if err := first.Up(); err != nil {
		return err
	}
	for _, n := range c.DataNodes {
		if err := n.Up(); err != nil {
			return err
		}
	}
	if c.o.HA {
		if err := c.serves(ctx, 0); err != nil {
			return err
		}
		second := c.NameNodes[1]
		copied := second.command
		copied.Name, copied.Args = "bootstrap", append(append([]string{}, copied.Args...), "-bootstrapStandby", "-nonInteractive")
		if err := run(ctx, copied); err != nil {
			return err
		}
		if err := second.Up(); err != nil {
			return err
		}
		if err := c.serves(ctx, 1); err != nil {
			return err
		}
		if err := c.Activate(ctx, 0); err != nil {
			return err
		}
	}
	return c.Await(ctx, len(c.DataNodes))
}

// Activate makes a NameNode of an HA pair the active one; the other becomes a standby first, if it answers.
func (c *Cluster) Activate(ctx context.Context, i int) error {
	if s, err := c.State(ctx, 1-i); err == nil && s.Active {
		if err := c.Demote(ctx, 1-i); err != nil {
			return err
		}
	}
	return c.haAdmin(ctx, "-transitionToActive", "--forceactive", c.NameNodes[i].Name)
}

// Demote makes a NameNode of an HA pair a standby.
func (c *Cluster) Demote(ctx context.Context, i int) error {
	return c.haAdmin(ctx, "-transitionToStandby", c.NameNodes[i].Name)
}

func (c *Cluster) haAdmin(ctx context.Context, args ...string) error {
	return run(ctx, c.tool("haadmin", filepath.Join(c.o.Dir, "conf-nn1"), "org.apache.hadoop.hdfs.tools.DFSHAAdmin", args...))
}

// Admin runs dfsadmin with the first NameNode's conf.
func (c *Cluster) Admin(ctx context.Context, args ...string) error {
	return run(ctx, c.tool("dfsadmin", filepath.Join(c.o.Dir, "conf-nn1"), "org.apache.hadoop.hdfs.tools.DFSAdmin", args...))
}

func freePorts(n int) ([]int, error) {
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}
