package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"omsync/conf"
	"omsync/daemon/collector"
	"omsync/daemon/process"
)

const help = `data_collector - reads the disk tables of the TabletServers on this host for the synctool

Usage:
  data_collector --flagfile=conf/data_collector.flags [--name=value ...]
  data_collector --flagfile=conf/data_collector.flags --check-config
  data_collector --version | --help

Run one per tablet host, as the user that owns the tablets' data; a second one on the same host stands by. Flags are those of the flagfile, in the
notation of gflags; later ones win. Every one of them is explained in the shipped conf/data_collector.flags.

Ends at SIGTERM or SIGINT; what it holds for its subtasks stays, and the next start goes on from there. Exit codes: 0 stopped, 2 command line or conf
file, 3 port or data directory taken by another process, 4 fatal.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	is := func(names ...string) func(string) bool {
		return func(a string) bool {
			return slices.Contains(names, strings.TrimLeft(a, "-")) && strings.HasPrefix(a, "-")
		}
	}
	switch {
	case slices.ContainsFunc(args, is("help", "h")):
		fmt.Fprint(out, help)
		return process.Stopped
	case slices.ContainsFunc(args, is("version")):
		fmt.Fprintln(out, process.Version())
		return process.Stopped
	}
	given := slices.DeleteFunc(slices.Clone(args), is("check-config", "check_config"))
	c, err := conf.LoadCollector(given)
	if err != nil {
		return process.Complain(errs, "data_collector", process.Usage, fmt.Errorf("%w\n(see data_collector --help)", err))
	}
	if len(given) < len(args) {
		for _, w := range c.Warnings {
			fmt.Fprintln(out, "warning:", w)
		}
		fmt.Fprintln(out, "the configuration is fine")
		return process.Stopped
	}
	return serve(c, errs)
}

// serve runs the daemon until a signal and returns the exit code.
func serve(c *conf.Collector, errs io.Writer) int {
	log, file, err := process.OpenLog("data_collector", c.Log)
	if err != nil {
		return process.Complain(errs, "data_collector", process.Usage, err)
	}
	ctx, release := process.UntilSignal(log)
	defer release()
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	err = work(ctx, c, log)
	code := process.Stopped
	switch {
	case errors.Is(err, collector.ErrTaken):
		code = process.Taken
	case errors.Is(err, collector.ErrConf):
		code = process.Usage
	case err != nil:
		code = process.Fatal
	}
	if err != nil {
		log.Error("ended", "error", err)
		process.Complain(errs, "data_collector", code, err)
	} else {
		log.Info("ended")
	}
	if err := file.Close(); err != nil {
		return process.Complain(errs, "data_collector", max(code, process.Fatal), fmt.Errorf("close log: %w", err))
	}
	return code
}
