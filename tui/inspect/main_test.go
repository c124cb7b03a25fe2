package inspect_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v3"

	"omsync/tui/ctl"
	"omsync/tui/inspect"
)

// now lies between the fixtures' rows that have always expired (2020) and those that have not for long (2100).
var now = time.UnixMilli(1_795_313_021_000)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"omsync-tui": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(ctl.Main(ctx, os.Args[1:], ctl.Env{Out: os.Stdout, Err: os.Stderr, More: []*cli.Command{
			inspect.Command(inspect.Env{Out: os.Stdout, Err: os.Stderr, Now: func() time.Time { return now }}),
		}}))
	}})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	disk, err := filepath.Abs("../../testdata/disk")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DISK", disk)
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "partition": partition, "flip": flip, "cut": cut, "lines": lines},
	})
}

// exits N command… runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		got = ee.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// partition NAME copies a fixture here, to be broken.
func partition(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(filepath.Join(ts.Getenv("DISK"), args[0]))))
}

// flip FILE OFFSET breaks a byte; a negative offset counts from the end.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := []byte(ts.ReadFile(args[0]))
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 0x40
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// cut FILE BYTES shortens a file by so many.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b[:len(b)-n]), 0o644))
}

// lines N: standard output has so many.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	for _, c := range ts.ReadFile("stdout") {
		if c == '\n' {
			n++
		}
	}
	if strconv.Itoa(n) != args[0] {
		ts.Fatalf("%d lines, want %s", n, args[0])
	}
}
