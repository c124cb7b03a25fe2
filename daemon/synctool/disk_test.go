package synctool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"omsync/daemon/dest"
)

// diskDest is a destination in a directory. inject, when set, may fail any call by its name and file.
type diskDest struct {
	dir    string
	local  bool
	inject *injector
}

// injector injects errors.
type injector struct {
	mu sync.Mutex
	f  func(op, name string) error
}

func (t *injector) set(f func(op, name string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.f = f
}

func (t *injector) hit(op, name string) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	f := t.f
	t.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op, name)
}

func (d *diskDest) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d *diskDest) Create(_ context.Context, name string) (dest.Writer, error) {
	if err := d.inject.hit("create", name); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &diskWriter{f, d, name}, nil
}

type diskWriter struct {
	*os.File
	d    *diskDest
	name string
}

func (w *diskWriter) Write(b []byte) (int, error) {
	if err := w.d.inject.hit("write", w.name); err != nil {
		n, werr := w.File.Write(b[:len(b)/2])
		return n, errors.Join(err, werr)
	}
	return w.File.Write(b)
}

func (w *diskWriter) Sync() error { return nil }

func (d *diskDest) Stat(_ context.Context, name string) (dest.Info, error) {
	if err := d.inject.hit("stat", name); err != nil {
		return dest.Info{}, err
	}
	i, err := os.Stat(d.path(name))
	if err != nil {
		return dest.Info{}, err
	}
	return dest.Info{Name: name, Size: i.Size(), Dir: i.IsDir()}, nil
}

func (d *diskDest) Rename(_ context.Context, from, to string) error {
	if err := d.inject.hit("rename", from); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.path(to)), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(d.path(to)); err == nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	return os.Rename(d.path(from), d.path(to))
}

func (d *diskDest) Remove(_ context.Context, name string) error {
	if err := d.inject.hit("remove", name); err != nil {
		return err
	}
	if err := os.Remove(d.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *diskDest) RemoveAll(_ context.Context, dir string) error { return os.RemoveAll(d.path(dir)) }

func (d *diskDest) List(_ context.Context, dir string) ([]dest.Info, error) {
	if err := d.inject.hit("list", dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []dest.Info
	for _, e := range entries {
		out = append(out, dest.Info{Name: e.Name(), Dir: e.IsDir()})
	}
	return out, err
}

func (d *diskDest) ReadFile(_ context.Context, name string) ([]byte, error) {
	if err := d.inject.hit("read", name); err != nil {
		return nil, err
	}
	return os.ReadFile(d.path(name))
}

func (d *diskDest) WriteFile(_ context.Context, name string, data []byte) error {
	if err := d.inject.hit("writefile", name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(d.path(name), data, 0o644)
}

func (d *diskDest) Local() (string, bool) { return d.dir, d.local }
func (d *diskDest) String() string        { return d.dir }
func (d *diskDest) Close() error          { return nil }

// exported reads all rows that a reader of the directory finds, and how often each is there.
func exported(dir string) (map[string]int, error) {
	out := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // renamed while we look
			return nil
		case err != nil:
			return err
		case strings.HasPrefix(e.Name(), "_") && e.IsDir():
			return filepath.SkipDir
		case strings.HasPrefix(e.Name(), "_"), e.IsDir():
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if len(b) > 0 && b[len(b)-1] != '\n' {
			return fmt.Errorf("%s ends within a row", path)
		}
		for _, row := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
			out[row]++
		}
		return nil
	})
	return out, err
}
