package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"omsync/testenv/daemons"
)

// mutant is one way to break the code, and the test that must notice.
type mutant struct {
	name    string
	file    string // below the module's root
	old     string // stands in the file exactly once
	new     string
	pkg     string
	test    string // of pkg; passes on the whole code
	because string // the rule it breaks
}

func main() {
	only := flag.String("only", "", "play mutants whose names contain this")
	list := flag.Bool("list", false, "print the mutants and end")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: go run ./testenv/cmd/mutants [flags]\n\nBreaks the code in known ways and sees a named test turn red for each.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *list {
		for _, m := range mutants {
			fmt.Printf("%-24s %s: %s\n", m.name, m.test, m.because)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	root, err := daemons.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "omsync-mutants-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	played, lived := 0, 0
	for _, m := range mutants {
		if !strings.Contains(m.name, only) {
			continue
		}
		played++
		began := time.Now()
		err := m.play(ctx, root, dir)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			lived++
			fmt.Printf("LIVES   %-24s %v\n", m.name, err)
			continue
		}
		fmt.Printf("caught  %-24s by %s (%s): %s\n", m.name, m.test, time.Since(began).Round(100*time.Millisecond), m.because)
	}
	switch {
	case played == 0:
		return fmt.Errorf("no mutant's name contains %q", only)
	case lived > 0:
		return fmt.Errorf("%d of %d mutants were not caught", lived, played)
	}
	fmt.Printf("mutants=%d caught=%d\n", played, played-lived)
	return nil
}

// play makes the mutant, and returns nil when the test passes on the whole code and fails on the broken one. A mutant that does not build is no
// mutant: the error says so.
func (m mutant) play(ctx context.Context, root, dir string) error {
	path := filepath.Join(root, m.file)
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the code: %w", err)
	}
	if n := strings.Count(string(b), m.old); n != 1 {
		return fmt.Errorf("%s has %d places that read %q, want one: the code has moved on", m.file, n, m.old)
	}
	broken := filepath.Join(dir, strings.ReplaceAll(m.name, " ", "_")+".go")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(b), m.old, m.new, 1)), 0o644); err != nil {
		return fmt.Errorf("write the mutant: %w", err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: broken}})
	if err != nil {
		return err
	}
	with := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(with, overlay, 0o644); err != nil {
		return fmt.Errorf("write the overlay: %w", err)
	}
	if out, err := m.goTest(ctx, root); err != nil {
		return fmt.Errorf("%s does not pass on the whole code: %w\n%s", m.test, err, out)
	}
	if out, err := command(ctx, root, "go", "vet", "-overlay", with, m.pkg); err != nil {
		return fmt.Errorf("the mutant does not build: %w\n%s", err, out)
	}
	out, err := m.goTest(ctx, root, "-overlay", with)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("%s passes on the broken code", m.test)
	case !errors.As(err, &exit):
		return err
	case !bytes.Contains(out, []byte("--- FAIL: ")) && !bytes.Contains(out, []byte("panic: ")):
		return fmt.Errorf("%s did not fail by itself: %s", m.test, out)
	}
	return nil
}

func (m mutant) goTest(ctx context.Context, root string, more ...string) ([]byte, error) {
	args := append([]string{"test", "-count=1", "-timeout=3m"}, more...)
	out, err := command(ctx, root, "go", append(args, "-run", "^"+m.test+"$", "-v", m.pkg)...)
	if err == nil && !bytes.Contains(out, []byte("--- PASS: "+m.test)) {
		return out, fmt.Errorf("there is no %s in %s", m.test, m.pkg)
	}
	return out, err
}

func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	return c.CombinedOutput()
}
