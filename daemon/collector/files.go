package collector

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// FS is what the collector does to its data directory, and looks up in the tablets'. Names are paths as the host writes them.
type FS interface {
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	ReadFile(name string) ([]byte, error)
	// WriteFile replaces name whole and durably: temp file, fsync, rename, fsync of the directory.
	WriteFile(name string, data []byte) error
	Link(from, to string) error
	MkdirAll(name string) error
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	// Sync makes the names in a directory durable.
	Sync(dir string) error
}

// OS is the file system of the host.
func OS() FS { return hostFS{} }

type hostFS struct{}

func (hostFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (hostFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }
func (hostFS) ReadFile(name string) ([]byte, error)       { return os.ReadFile(name) }
func (hostFS) Link(from, to string) error                 { return os.Link(from, to) }
func (hostFS) MkdirAll(name string) error                 { return os.MkdirAll(name, 0o755) }
func (hostFS) Rename(from, to string) error               { return os.Rename(from, to) }
func (hostFS) Remove(name string) error                   { return os.Remove(name) }
func (hostFS) RemoveAll(name string) error                { return os.RemoveAll(name) }

func (hostFS) Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (h hostFS) WriteFile(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	return h.Sync(filepath.Dir(name))
}

// identity of a file: links of one file are equal.
type identity struct{ dev, ino uint64 }

// identityOf is zero where the file system has no inode numbers.
func identityOf(fi fs.FileInfo) identity {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return identity{uint64(st.Dev), st.Ino}
	}
	return identity{}
}

// alone tells that a file has no other name: only our link keeps its bytes.
func alone(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink <= 1
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// lockDir takes an flock in the data directory, which it makes. The lock ends with the returned file.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("collector_datadir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("collector_datadir: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: collector_datadir %s is in use by another collector: give each its own", ErrTaken, dir), f.Close())
	}
	return f, nil
}
