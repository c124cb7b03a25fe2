package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

type conf struct {
	rows    int
	dir     string
	plain   bool
	timeout time.Duration
}

func parse(args []string, out io.Writer) (conf, error) {
	var c conf
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(out)
	f.IntVar(&c.rows, "rows", 200_000, "rows to export, over both tables")
	f.StringVar(&c.dir, "dir", "", "directory for tablets, daemons and files; kept. Default: a temporary one, removed when all is well")
	f.BoolVar(&c.plain, "plain", false, "print progress and end by itself, on a terminal too")
	f.DurationVar(&c.timeout, "timeout", 10*time.Minute, "give up after this long")
	f.Usage = func() {
		fmt.Fprint(out, "Usage: go run ./testenv/cmd/demo [flags]\n\nExports two simulated tables while they are written and daemons are killed, then checks the files.\n\n")
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
	}
	return c, nil
}

func main() {
	c, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	sum, err := play(ctx, c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	if sum != nil {
		fmt.Printf("rows=%d lost=%d duplicate=%d\n", sum.Rows, sum.Lost, sum.Duplicate)
	}
	if err != nil || sum == nil || sum.Lost+sum.Duplicate+sum.Phantom > 0 {
		os.Exit(1)
	}
}

// play runs the demo on a screen or on plain output.
func play(ctx context.Context, c conf) (sum *result, err error) {
	dir, keep := c.dir, c.dir != ""
	if !keep {
		if dir, err = os.MkdirTemp("", "omsync-demo-"); err != nil {
			return nil, fmt.Errorf("make a directory: %w", err)
		}
		defer func() {
			if err != nil || sum == nil || sum.Lost+sum.Duplicate+sum.Phantom > 0 {
				fmt.Fprintln(os.Stderr, "demo: logs and files are kept in", dir)
				return
			}
			err = os.RemoveAll(dir)
		}()
	}
	if !c.plain && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		s, err := openScreen(os.Stdin, os.Stdout)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return tell(ctx, c, dir, s)
	}
	return tell(ctx, c, dir, &lines{out: os.Stdout, began: time.Now()})
}
