package dist

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"omsync/testenv/daemons"
)

// Build makes the tarball in dir, with scripts/dist.sh, and returns its path.
func Build(ctx context.Context, dir, version string) (string, error) {
	root, err := daemons.Root()
	if err != nil {
		return "", err
	}
	if err := lookAt(root); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "dist.sh"), dir)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "VERSION="+version)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("scripts/dist.sh: %w\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// lookAt looks at every file the tarball is made of. go test runs a test again only if a file changed that the test itself looked at, and knows nothing of
// what a script reads.
func lookAt(root string) error {
	for _, dir := range []string{"bin", "cmd", "conf", "daemon", "docs", "failpoint", "openmldb", "rpc", "scripts", "systemd", "tui"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("look at what the tarball is made of: %w", err)
		}
	}
	return nil
}

// Unpack unpacks a tarball over what is in dir.
func Unpack(tarball, dir string) (err error) {
	f, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", tarball, err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", tarball, err)
		}
		if err := unpackOne(r, h, dir); err != nil {
			return fmt.Errorf("unpack %s: %s: %w", tarball, h.Name, err)
		}
	}
}

func unpackOne(r io.Reader, h *tar.Header, dir string) error {
	if !filepath.IsLocal(h.Name) {
		return errors.New("it lies outside")
	}
	path := filepath.Join(dir, h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeReg:
		// A running binary can not be written to, only replaced.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, h.FileInfo().Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("an entry of type %q is not expected", h.Typeflag)
}

// Tree is an unpacked package.
type Tree struct {
	Dir string
	Env []string // added to the own environment
}

// StartSh runs bin/start.sh with these arguments and returns what it printed. An exit status other than 0 is no error here.
func (t Tree) StartSh(ctx context.Context, cwd string, args ...string) (out string, status int, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(t.Dir, "bin", "start.sh"), args...)
	cmd.Dir, cmd.Env = cwd, append(os.Environ(), t.Env...)
	b, err := cmd.CombinedOutput()
	var e *exec.ExitError
	if errors.As(err, &e) && e.Exited() {
		return string(b), e.ExitCode(), nil
	}
	if err != nil {
		return string(b), -1, fmt.Errorf("start.sh %s: %w\n%s", strings.Join(args, " "), err, b)
	}
	return string(b), 0, nil
}

// Processes lists the living processes that work in the tree or run a file of it.
func (t Tree) Processes() ([]int, error) {
	dir, err := filepath.EvalSymlinks(t.Dir)
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", t.Dir, err)
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", t.Dir, err)
	}
	var out []int
	for _, p := range all {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(p), "%d", &pid); err != nil || pid == os.Getpid() {
			continue
		}
		for _, link := range []string{"cwd", "exe"} {
			// A process that ends meanwhile, or another user's, has no links.
			if to, err := os.Readlink(filepath.Join(p, link)); err == nil && (to == dir || strings.HasPrefix(to, dir+"/")) {
				out = append(out, pid)
				break
			}
		}
	}
	return out, nil
}
