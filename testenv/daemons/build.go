package daemons

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Root finds the module's directory, from the working directory up.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module omsync\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find module: no go.mod of omsync here or above: run this inside the repository")
		}
	}
}

// BuildOptions of Build.
type BuildOptions struct {
	Tags []string // e.g. failpoints
	Race bool
}

// Build builds commands (cmd/synctool, …) into dir, each under its last name, without cgo unless Race asks for it.
func Build(ctx context.Context, dir string, o BuildOptions, commands ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if len(o.Tags) > 0 {
		args = append(args, "-tags", strings.Join(o.Tags, ","))
	}
	env := append(os.Environ(), "CGO_ENABLED=0")
	if o.Race {
		args = append(args, "-race")
		env = os.Environ()
	}
	for _, c := range commands {
		args = append(args, "./"+c)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("build daemons: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = root, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", strings.Join(commands, " "), err, out)
	}
	return nil
}
