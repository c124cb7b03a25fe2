package toolstatus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"

	"omsync/conf"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
	"omsync/tui/state"
)

// Env is the outside world of the command.
type Env struct {
	Out, Err  io.Writer
	Now       func() time.Time
	ConfFiles []string // places of synctool.properties, tried in order
	Dial      func(addr string) (*grpc.ClientConn, error)
	Cluster   func(ctx context.Context, servers []string, root, cert string) (*Cluster, error)
}

// Error is wrong usage: exit code 2.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

// ExitCode is the process's.
func (e *Error) ExitCode() int { return 2 }

func usage(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

const help = `
Shows, from the synctool's conf file: the properties in use; whether the synctool answers and leads; the files of the progress mirror, decoded, and
what is left over beside them; and what stands in ZooKeeper: leader, epoch, collectors, tasks and the state of every partition. Run it on the
synctool's host, for the mirror is local. A part that can not be had, ZooKeeper or the synctool, is said to be down and does not hide the rest.

Examples:
  omsync-tui tool-status
  omsync-tui tool-status -f /opt/openmldb/conf/synctool.properties
  omsync-tui tool-status -o json | jq -r '.items[0].zookeeper.tasks[].subtasks[] | select(.status == "FAILED") | .reason'

Exit codes: 0 the report was made, whatever it says · 2 wrong usage, or a conf file that the synctool would refuse`

// Command is `tool-status`.
func Command(e Env) *cli.Command {
	return &cli.Command{
		Name: "tool-status", Usage: "everything about the synctool of a conf file", UsageText: "omsync-tui tool-status [-f conf/synctool.properties] [-o json]",
		Description: strings.TrimSpace(help),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "f", Aliases: []string{"synctool_conf", "conf"}, Usage: "the synctool's conf `file`", DefaultText: "conf/synctool.properties"},
			&cli.StringFlag{Name: "o", Value: "table", Usage: "output: `table` or json"},
			&cli.DurationFlag{Name: "timeout", Value: 5 * time.Second, Usage: "how long to wait for the synctool, and for ZooKeeper (`5s`)"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			switch o := cmd.String("o"); {
			case cmd.Args().Len() > 0:
				return usage("tool-status: stray word %q: everything is given by flags, see omsync-tui tool-status --help", cmd.Args().First())
			case o != "table" && o != "json":
				return usage("-o %q: table or json", o)
			case cmd.Duration("timeout") <= 0:
				return usage("--timeout %s is no time to ask anybody in", cmd.Duration("timeout"))
			}
			r, err := e.report(ctx, cmd.String("f"), cmd.Duration("timeout"))
			if err != nil {
				return err
			}
			if cmd.String("o") == "json" {
				return e.json(r)
			}
			return r.write(e.Out, e.Now())
		},
	}
}

// report asks everybody.
func (e Env) report(ctx context.Context, given string, timeout time.Duration) (*Report, error) {
	file, c, err := e.conf(given)
	if err != nil {
		return nil, err
	}
	r := &Report{Conf: file, Warnings: append([]string{}, c.Warnings...)}
	if r.Properties, err = conf.SynctoolInUse(file); err != nil {
		return nil, usage("%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() { r.Synctool = e.ask(ctx, c) })
	both.Go(func() { r.ZooKeeper = e.look(ctx, c) })
	both.Wait()
	r.Mirror = readMirror(c.ProgressPath, c.SpoolPath, r.ZooKeeper.partitions())
	return r, nil
}

func (e Env) conf(given string) (string, *conf.Synctool, error) {
	places := e.ConfFiles
	if given != "" {
		places = []string{given}
	}
	for _, file := range places {
		c, err := conf.LoadSynctool(file, nil)
		if errors.Is(err, fs.ErrNotExist) && given == "" {
			continue
		}
		if err != nil {
			return file, nil, usage("%v", err)
		}
		return file, c, nil
	}
	return "", nil, usage("which synctool? there is no %s: give -f with its conf file", strings.Join(places, ", nor "))
}

// ask asks the synctool at the conf file's address; one that listens everywhere is asked on this host.
func (e Env) ask(ctx context.Context, c *conf.Synctool) Synctool {
	host := c.Host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	s := Synctool{Address: net.JoinHostPort(host, strconv.Itoa(c.Port))}
	cc, err := e.Dial(s.Address)
	if err != nil {
		s.State, s.Reason = "unreachable", err.Error()
		return s
	}
	defer cc.Close()
	l, err := omsyncpb.NewSyncToolClient(cc).List(ctx, &omsyncpb.ListRequest{})
	if f, ok := fault.Of(err); ok {
		s.State, s.Reason = "answers", fault.Text(f)
		return s
	}
	if err != nil {
		// gRPC wraps the system's "dial tcp 10.0.0.9:8848: connect: connection refused" twice.
		_, reason, ok := strings.Cut(fault.From(err).GetReason(), "Error while dialing: ")
		if reason = strings.TrimSuffix(reason, `"`); !ok {
			reason = fault.From(err).GetReason()
		}
		s.State, s.Reason = "unreachable", reason
		return s
	}
	s.State, s.Leader, s.Epoch, s.Tasks = "leads", l.GetLeader(), l.GetEpoch(), len(l.GetTasks())
	return s
}

func (e Env) look(ctx context.Context, c *conf.Synctool) ZooKeeper {
	z := ZooKeeper{Servers: c.ZooKeeper, Root: c.ZooKeeperRoot}
	found, err := e.Cluster(ctx, c.ZooKeeper, c.ZooKeeperRoot, c.ZooKeeperCert)
	if err != nil {
		z.Problem = err.Error()
		return z
	}
	z.Cluster = *found
	return z
}

// partitions are those that have a state; nil where ZooKeeper did not say.
func (z *ZooKeeper) partitions() map[[2]uint32]bool {
	if z.Problem != "" {
		return nil
	}
	out := map[[2]uint32]bool{}
	for _, t := range z.Tasks {
		for _, s := range t.Subtasks {
			out[[2]uint32{t.TID, s.PID}] = true
		}
	}
	return out
}

// json writes the report in the envelope all answers share.
func (e Env) json(r *Report) error {
	word := func(problem string) string {
		if problem == "" {
			return "ok"
		}
		return "unreachable"
	}
	sources := map[string]string{"conf": "ok", "zk": word(r.ZooKeeper.Problem), "synctool": "ok"}
	if r.Synctool.State == "unreachable" {
		sources["synctool"] = "unreachable"
	}
	w := json.NewEncoder(e.Out)
	w.SetEscapeHTML(false)
	w.SetIndent("", "  ")
	if err := w.Encode(state.Envelope{APIVersion: state.APIVersion, Kind: "ToolStatus", ObservedAt: e.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		Sources: sources, Items: []*Report{r}}); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
