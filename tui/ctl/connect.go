package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"omsync/conf"
	"omsync/rpc/omsyncpb"
)

// defaultServer is the helper's own default.
const defaultServer = "127.0.0.1:8848"

// callTimeout is how long one call may take, unless --timeout is shorter.
const callTimeout = 10 * time.Second

// target is the synctool to talk to, and how it was found.
type target struct {
	addr   string
	source string // for messages: "-s", "ZooKeeper", the conf file's name, "default address"
}

// find says where the synctool is: -s, --zk, the conf file, the helper's default.
func (e *Env) find(ctx context.Context, cmd *cli.Command) (target, error) {
	if s := cmd.String("s"); s != "" {
		return target{s, "-s"}, checkAddress("-s", s)
	}
	if cmd.IsSet("zk") {
		zk, err := e.zooKeeper(cmd)
		if err != nil {
			return target{}, err
		}
		if e.Cluster == nil {
			return target{}, noZooKeeper("--zk")
		}
		addr, err := e.Cluster.Leader(ctx, zk)
		switch {
		case err != nil && ctx.Err() != nil:
			return target{}, ended(ctx, "asking ZooKeeper at "+strings.Join(zk.Servers, ","))
		case err != nil:
			return target{}, &Error{ExitUnreachable, fmt.Sprintf("cannot ask ZooKeeper at %s for the synctool: %v", strings.Join(zk.Servers, ","), err)}
		case addr == "":
			return target{}, &Error{ExitUnreachable, fmt.Sprintf("no synctool leads below %s in ZooKeeper at %s: start one, or give -s host:port", zk.Root, strings.Join(zk.Servers, ","))}
		}
		return target{addr, "leader in ZooKeeper"}, nil
	}
	file, c, err := e.conf(cmd)
	if err != nil {
		return target{}, err
	}
	if c != nil {
		host := c.Host
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		return target{net.JoinHostPort(host, strconv.Itoa(c.Port)), file}, nil
	}
	return target{defaultServer, "default address"}, nil
}

// conf reads the synctool's conf file: the one of --conf, or the first of the usual places that exists; nil when none does.
func (e *Env) conf(cmd *cli.Command) (file string, c *conf.Synctool, err error) {
	places := e.ConfFiles
	if given := cmd.String("conf"); given != "" {
		places = []string{given}
	}
	for _, file := range places {
		c, err := conf.LoadSynctool(file, nil)
		if errors.Is(err, fs.ErrNotExist) && !cmd.IsSet("conf") {
			continue
		}
		if err != nil {
			return file, nil, &Error{ExitUsage, err.Error()}
		}
		return file, c, nil
	}
	return "", nil, nil
}

// zooKeeper says which ZooKeeper to ask: --zk with --zk-root, or the conf file's.
func (e *Env) zooKeeper(cmd *cli.Command) (ZooKeeper, error) {
	zk := ZooKeeper{Root: cmd.String("zk-root"), Cert: cmd.String("zk-cert")}
	if cmd.IsSet("zk") {
		for one := range strings.SplitSeq(cmd.String("zk"), ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			if err := checkAddress("--zk", one); err != nil {
				return zk, err
			}
			zk.Servers = append(zk.Servers, one)
		}
		if len(zk.Servers) == 0 {
			return zk, usage("--zk is empty: give host:port, several separated by commas")
		}
	} else {
		_, c, err := e.conf(cmd)
		if err != nil {
			return zk, err
		}
		if c == nil {
			return zk, usage("which ZooKeeper? give --zk host:port (and --zk-root), or run where conf/synctool.properties is")
		}
		zk.Servers = c.ZooKeeper
		if !cmd.IsSet("zk-root") {
			zk.Root = c.ZooKeeperRoot
		}
		if zk.Cert == "" {
			zk.Cert = c.ZooKeeperCert
		}
	}
	if !strings.HasPrefix(zk.Root, "/") || zk.Root != "/" && strings.HasSuffix(zk.Root, "/") {
		return zk, usage("--zk-root %q is not a ZooKeeper path: write it like /openmldb", zk.Root)
	}
	return zk, nil
}

func checkAddress(flag, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if n, e := strconv.Atoi(port); err != nil || host == "" || e != nil || n < 1 || n > 65535 {
		return usage("%s %q is not host:port", flag, addr)
	}
	return nil
}

// session is one command's connection.
type session struct {
	target
	api omsyncpb.SyncToolClient
}

// withServer finds the synctool, connects, runs do and explains what went wrong. The context given to do ends at --timeout.
func (e *Env) withServer(ctx context.Context, cmd *cli.Command, do func(ctx context.Context, s *session) error) error {
	ctx, cancel, err := e.bounded(ctx, cmd)
	if err != nil {
		return err
	}
	defer cancel()
	t, err := e.find(ctx, cmd)
	if err != nil {
		return err
	}
	cc, err := e.Dial(t.addr)
	if err != nil {
		return usage("%s: %v", t.source, err)
	}
	defer cc.Close()
	return explain(ctx, t, do(ctx, &session{t, omsyncpb.NewSyncToolClient(cc)}))
}

// bounded applies --timeout.
func (e *Env) bounded(ctx context.Context, cmd *cli.Command) (context.Context, context.CancelFunc, error) {
	d := cmd.Duration("timeout")
	if cmd.IsSet("timeout") && d <= 0 {
		return nil, nil, usage("--timeout %s is no time to do anything in", d)
	}
	if d <= 0 {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	return ctx, cancel, nil
}

// short bounds one call.
func short(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// noZooKeeper refuses what needs a Cluster where there is none.
func noZooKeeper(what string) error {
	return usage("%s: this build of omsync-tui can not ask ZooKeeper: give -s host:port", what)
}
