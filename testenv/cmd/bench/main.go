//go:build rocksdb

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type conf struct {
	rows       int
	partitions int
	dir        string
	out        string
	dialect    string
	profile    string
	only       string
	timeout    time.Duration
}

func parse(args []string) (conf, error) {
	var c conf
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&c.rows, "rows", 10_000_000, "rows of the table, 200 bytes each")
	f.IntVar(&c.partitions, "partitions", 4, "partitions of the table")
	f.StringVar(&c.dir, "dir", "", "directory for the table, the daemons and the files; kept. Default: a temporary one, removed afterwards")
	f.StringVar(&c.out, "json", "build/bench.jsonl", "file that JSON lines {name, value, unit, floor} are appended to")
	f.StringVar(&c.dialect, "dialect", "upstream", "CSV dialect: upstream or standard")
	f.StringVar(&c.only, "only", "", "run benchmarks whose names contain this: csv, scan, export")
	f.StringVar(&c.profile, "profile", "", "directory for CPU profiles of the daemons, taken over 4 s of the export (go tool pprof reads them)")
	f.DurationVar(&c.timeout, "timeout", 20*time.Minute, "give up after this long")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "Usage: go run -tags rocksdb ./testenv/cmd/bench [flags]\n\n"+
			"Makes tables with RocksDB and measures\n"+
			"  csv     row bytes encoded per CPU-second, by dialect\n"+
			"  scan    the snapshot reader beside RocksDB's own iterator on the same files\n"+
			"  export  a mode-0 task to a local directory through the real daemons: rows per CPU-second of collector and\n"+
			"          synctool together, and the most memory each was seen to hold\n\n")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return c, err
	}
	switch {
	case f.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q: see --help", f.Arg(0))
	case c.rows < 1000:
		return c, errors.New("--rows: at least 1000")
	case c.partitions < 1 || c.partitions > 64:
		return c, errors.New("--partitions: 1 to 64")
	}
	return c, nil
}

func main() {
	c, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	err = run(ctx, c)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c conf) (err error) {
	dir := c.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "omsync-bench-"); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	var results []figure
	for _, b := range []struct {
		name string
		run  func() ([]figure, error)
	}{
		{"csv", func() ([]figure, error) { return csv(c.rows) }},
		{"scan", func() ([]figure, error) { return scans(filepath.Join(dir, "scan"), min(c.rows, 2_000_000)) }},
		{"export", func() ([]figure, error) { return export(ctx, c, filepath.Join(dir, "export")) }},
	} {
		if !strings.Contains(b.name, c.only) {
			continue
		}
		f, err := b.run()
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		results = append(results, f...)
	}
	if len(results) == 0 {
		return fmt.Errorf("no benchmark's name contains %q: csv, scan, export", c.only)
	}
	return report(c.out, results)
}
