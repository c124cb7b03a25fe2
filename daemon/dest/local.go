package dest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Local is a directory of this machine. It is safe for concurrent use.
type Local struct{ root string }

// NewLocal returns the Dest of a directory, which need not exist yet.
func NewLocal(dir string) *Local { return &Local{filepath.Clean(dir)} }

// path of a name. empty says whether the directory itself may be meant.
func (l *Local) path(name string, empty bool) (string, error) {
	if name == "" && empty {
		return l.root, nil
	}
	if !fs.ValidPath(name) || name == "." {
		return "", fmt.Errorf("%q below %s: %w", name, l.root, fs.ErrInvalid)
	}
	return filepath.Join(l.root, filepath.FromSlash(name)), nil
}

// Create implements Dest.
func (l *Local) Create(_ context.Context, name string) (Writer, error) {
	p, err := l.path(name, false)
	if err != nil {
		return nil, err
	}
	if err := mkdirAll(filepath.Dir(p)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &localWriter{f: f}, nil
}

// localWriter remembers that a write failed: what Close says must not make a file whole.
type localWriter struct {
	f      *os.File
	failed error
}

func (w *localWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil && w.failed == nil {
		w.failed = err
	}
	return n, err
}

func (w *localWriter) Sync() error {
	if err := w.f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(w.f.Name()))
}

func (w *localWriter) Close() error { return errors.Join(w.f.Close(), w.failed) }

// Stat implements Dest.
func (l *Local) Stat(_ context.Context, name string) (Info, error) {
	p, err := l.path(name, false)
	if err != nil {
		return Info{}, err
	}
	st, err := os.Stat(p)
	if err != nil {
		return Info{}, err
	}
	return info(name, st), nil
}

func info(name string, st fs.FileInfo) Info {
	i := Info{Name: name, Dir: st.IsDir()}
	if !i.Dir {
		i.Size = st.Size()
	}
	return i
}

// Rename implements Dest.
func (l *Local) Rename(_ context.Context, from, to string) error {
	a, err := l.path(from, false)
	if err != nil {
		return err
	}
	b, err := l.path(to, false)
	if err != nil {
		return err
	}
	if err := mkdirAll(filepath.Dir(b)); err != nil {
		return err
	}
	if err := moveNew(a, b); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(b)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(a))
}

// moveNew renames without replacing. File systems that do not know how (NFS, some FUSE) link and unlink: should the process die between, both names
// are the same file.
func moveNew(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return linkNew(a, b)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: a, New: b, Err: err}
	}
	return nil
}

func linkNew(a, b string) error {
	if err := os.Link(a, b); err != nil {
		return err
	}
	return os.Remove(a)
}

// Remove implements Dest.
func (l *Local) Remove(_ context.Context, name string) error {
	p, err := l.path(name, false)
	if err != nil {
		return err
	}
	if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveAll implements Dest.
func (l *Local) RemoveAll(_ context.Context, dir string) error {
	p, err := l.path(dir, false)
	if err != nil {
		return err
	}
	return os.RemoveAll(p)
}

// List implements Dest.
func (l *Local) List(_ context.Context, dir string) ([]Info, error) {
	p, err := l.path(dir, true)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []Info
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // removed or renamed since
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, info(e.Name(), st))
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return out, err
}

// ReadFile implements Dest.
func (l *Local) ReadFile(_ context.Context, name string) ([]byte, error) {
	p, err := l.path(name, false)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(p)
}

// WriteFile implements Dest.
func (l *Local) WriteFile(_ context.Context, name string, data []byte) (err error) {
	p, err := l.path(name, false)
	if err != nil {
		return err
	}
	if err := mkdirAll(filepath.Dir(p)); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(p), "."+path.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), p); err != nil {
		return err
	}
	return syncDir(filepath.Dir(p))
}

// Local implements Dest.
func (l *Local) Local() (string, bool) { return l.root, true }

// String is the directory's path.
func (l *Local) String() string { return l.root }

// Close implements Dest; there is nothing to let go of.
func (l *Local) Close() error { return nil }

// mkdirAll makes a directory and those above it, each durable in the one above.
func mkdirAll(dir string) error {
	if st, err := os.Stat(dir); err == nil {
		if !st.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: unix.ENOTDIR}
		}
		return nil
	}
	if up := filepath.Dir(dir); up != dir {
		if err := mkdirAll(up); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// syncDir makes a directory's names durable. Directories that may be written but not read can not be synced; they are left to the system.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
