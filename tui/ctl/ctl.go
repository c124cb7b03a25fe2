package ctl

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

// Main runs `omsync-tui args…` and returns the exit code. Errors are written to e.Err.
func Main(ctx context.Context, args []string, e Env) int {
	err := e.root().Run(ctx, append([]string{"omsync-tui"}, args...))
	if err != nil {
		if text := err.Error(); text != "" {
			e.say("omsync-tui: %s", text)
		}
	}
	return ExitCode(err)
}

// root is the whole command line.
func (e *Env) root() *cli.Command {
	commands := []*cli.Command{e.ctl()}
	texts := []string{"omsync-tui ctl VERB [flags]"}
	for _, c := range e.More {
		e.quietAll(c)
		commands, texts = append(commands, c), append(texts, c.UsageText)
	}
	return e.quiet(&cli.Command{
		Name:      "omsync-tui",
		Usage:     "console and scripted mode of omsync",
		UsageText: strings.Join(append(texts, "omsync-tui version"), "\n"),
		Version:   e.Version,
		Writer:    e.Out, ErrWriter: e.Err, Reader: e.In,
		Commands: append(commands,
			e.quiet(&cli.Command{Name: "version", Usage: "print the version", Action: func(_ context.Context, cmd *cli.Command) error {
				if err := noWords(cmd); err != nil {
					return err
				}
				_, err := fmt.Fprintln(e.Out, e.Version)
				return err
			}})),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noVerb(cmd); err != nil {
				return err
			}
			e.say("The console comes with a later release. The scripted mode is here:\n")
			cmd.Root().Writer = e.Err
			if err := cli.ShowSubcommandHelp(cmd.Command("ctl")); err != nil {
				return err
			}
			return &Error{ExitUsage, ""}
		},
	})
}

// ctl declares the helper's letters once, for all verbs: before the verb or after it they mean the same. Declared a second time on a verb,
// what stands before the verb would read empty.
func (e *Env) ctl() *cli.Command {
	return e.quiet(&cli.Command{
		Name:  "ctl",
		Usage: "create, delete, watch and recover sync tasks from scripts",
		UsageText: `omsync-tui ctl create -t db.table -m 2 -d /warehouse/db/table
omsync-tui ctl status
omsync-tui ctl VERB --help`,
		Description: `The letters are those of synctool_helper.py. The synctool is found by
  -s host:port · --zk host:port (its leader node) · server.port in conf/synctool.properties · ` + defaultServer + `

Data goes to standard output, messages to standard error. Exit codes:
  0 done · 1 refused by the synctool · 2 wrong usage · 3 no such table or task · 4 the task exists
  5 synctool or ZooKeeper unreachable · 6 dry run found a problem · 7 --timeout · 8 --wait ended in FAILED
  9 --wait lost sight of the task · 130 interrupted`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "t", Aliases: []string{"table"}, Usage: "table, as `db.table`"},
			&cli.StringFlag{Name: "m", Aliases: []string{"mode"}, Usage: "`mode`: 0 FULL, 1 INCREMENTAL_BY_TIMESTAMP, 2 FULL_AND_CONTINUOUS"},
			&cli.StringFlag{Name: "ts", Usage: "start of mode 1: `ms` since 1970, RFC 3339, or a span before now like -2h"},
			&cli.StringFlag{Name: "d", Aliases: []string{"dest"}, Usage: "destination `directory`: an absolute path or a URI"},
			&cli.StringFlag{Name: "s", Aliases: []string{"server"}, Usage: "synctool, as `host:port`"},
			&cli.StringFlag{Name: "zk", Usage: "ZooKeeper `servers`, host:port separated by commas"},
			&cli.StringFlag{Name: "zk-root", Value: "/openmldb", Usage: "OpenMLDB's root `node` in ZooKeeper"},
			&cli.StringFlag{Name: "zk-cert", Usage: "`user:password` for ZooKeeper", Sources: cli.EnvVars("OMSYNC_ZK_CERT")},
			&cli.StringFlag{Name: "conf", Aliases: []string{"synctool_conf"}, Usage: "synctool.properties to read addresses from (`file`)"},
			&cli.StringFlag{Name: "o", Value: "table", Usage: "output: `table` or json"},
			&cli.DurationFlag{Name: "timeout", DefaultText: "none", Usage: "give up after this long (`30s`, 5m); exit 7"},
		},
		Commands: []*cli.Command{e.create(), e.delete(), e.status(), e.recover(), e.get()},
		Action:   group,
	})
}

// quiet keeps cli from printing help or exiting by itself: Main says what is wrong, once.
func (e *Env) quiet(c *cli.Command) *cli.Command {
	c.HideHelpCommand = true
	c.OnUsageError = func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
		return usage("%s: %v: see %s --help", cmd.FullName(), err, cmd.FullName())
	}
	c.ExitErrHandler = func(context.Context, *cli.Command, error) {}
	return c
}

// quietAll is quiet for a command with all below it.
func (e *Env) quietAll(c *cli.Command) {
	e.quiet(c)
	for _, sub := range c.Commands {
		e.quietAll(sub)
	}
}

// verb returns a command that takes no words, and of the letters only those it has a meaning for.
func (e *Env) verb(name, short, help, letters string, flags []cli.Flag, do func(ctx context.Context, cmd *cli.Command) error) *cli.Command {
	return e.quiet(&cli.Command{
		Name: name, Usage: short, Description: strings.TrimSpace(help), Flags: flags,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noWords(cmd); err != nil {
				return err
			}
			for _, l := range []string{"t", "m", "ts", "d"} {
				if cmd.IsSet(l) && !strings.Contains(" "+letters+" ", " "+l+" ") {
					return usage("-%s means nothing to %s", l, cmd.FullName())
				}
			}
			return do(ctx, cmd)
		},
	})
}

// group is the action of a command that only has verbs.
func group(_ context.Context, cmd *cli.Command) error {
	if err := noVerb(cmd); err != nil {
		return err
	}
	return usage("%s what? %s: see %s --help", cmd.FullName(), strings.Join(names(cmd), ", "), cmd.FullName())
}

func noVerb(cmd *cli.Command) error {
	if word := cmd.Args().First(); word != "" {
		return usage("%s: there is no %q: %s", cmd.FullName(), word, strings.Join(names(cmd), ", "))
	}
	return nil
}

func noWords(cmd *cli.Command) error {
	if cmd.Args().Len() > 0 {
		return usage("%s: stray word %q: everything is given by flags, see %s --help", cmd.FullName(), cmd.Args().First(), cmd.FullName())
	}
	return nil
}

func names(cmd *cli.Command) []string {
	var all []string
	for _, c := range cmd.VisibleCommands() {
		all = append(all, c.Name)
	}
	return all
}

// needTable reads -t, which the verb can not do without.
func needTable(cmd *cli.Command) (db, table string, err error) {
	if !cmd.IsSet("t") {
		return "", "", usage("%s: which table? give -t db.table", cmd.FullName())
	}
	return tableName(cmd.String("t"))
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
