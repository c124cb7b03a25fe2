package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"omsync/conf"
	"omsync/daemon/process"
	"omsync/daemon/synctool"
)

const help = `The synctool owns the sync tasks of one OpenMLDB cluster. Run one per cluster; a second one on the same ZooKeeper root stands by and takes over.
Tasks are created and watched with omsync-tui.

  synctool --conf conf/synctool.properties
  synctool --conf conf/synctool.properties --set server.port=8849
  synctool --conf conf/synctool.properties --check-config

Ends at SIGTERM or SIGINT once open segments are committed. Exit codes: 0 stopped, 2 command line or conf file, 3 port or spool directory taken by
another process, 4 fatal.`

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	code := process.Stopped
	cmd := &cli.Command{
		Name: "synctool", Usage: "exports OpenMLDB disk tables with the data_collectors of a cluster", Description: help,
		Writer: out, ErrWriter: errs, HideHelpCommand: true, DisableSliceFlagSeparator: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "conf", Value: "conf/synctool.properties", TakesFile: true, Usage: "conf file `FILE`, Java properties"},
			&cli.StringSliceFlag{Name: "set", Usage: "`KEY=VALUE` instead of the conf file's; may be repeated"},
			&cli.BoolFlag{Name: "check-config", Usage: "read the conf file, say what is wrong with it, and end"},
			&cli.BoolFlag{Name: "version", Usage: "print the version and end"},
		},
		OnUsageError:   func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return fmt.Errorf("%q: the synctool takes no arguments; see synctool --help", cmd.Args().First())
			}
			if cmd.Bool("version") {
				_, err := fmt.Fprintln(out, process.Version())
				return err
			}
			c, err := conf.LoadSynctool(cmd.String("conf"), cmd.StringSlice("set"))
			if err != nil {
				return err
			}
			if cmd.Bool("check-config") {
				for _, w := range c.Warnings {
					fmt.Fprintln(out, "warning:", w)
				}
				_, err := fmt.Fprintf(out, "%s: fine\n", cmd.String("conf"))
				return err
			}
			code = serve(c, errs)
			return nil
		},
	}
	if err := cmd.Run(context.Background(), args); err != nil {
		return process.Complain(errs, "synctool", process.Usage, err)
	}
	return code
}

// serve runs the daemon until a signal and returns the exit code.
func serve(c *conf.Synctool, errs io.Writer) int {
	log, file, err := process.OpenLog("synctool", c.Log)
	if err != nil {
		return process.Complain(errs, "synctool", process.Usage, err)
	}
	ctx, release := process.UntilSignal(log)
	defer release()
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	err = work(ctx, c, log)
	code := process.Stopped
	switch {
	case errors.Is(err, synctool.ErrTaken):
		code = process.Taken
	case errors.Is(err, synctool.ErrConf):
		code = process.Usage
	case err != nil:
		code = process.Fatal
	}
	if err != nil {
		log.Error("ended", "error", err)
		process.Complain(errs, "synctool", code, err)
	} else {
		log.Info("ended")
	}
	if err := file.Close(); err != nil {
		return process.Complain(errs, "synctool", max(code, process.Fatal), fmt.Errorf("close log: %w", err))
	}
	return code
}
