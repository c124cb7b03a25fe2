package snapshot

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// brokenFS is a file system that a test breaks. Its files are held in memory; change rewrites what a file holds.
type brokenFS struct {
	dir   string
	files map[string][]byte

	mu     sync.Mutex
	open   int   // files that are open
	most   int   // at once
	reads  int   // ReadAt calls so far
	failAt int   // the read that fails, from 1; 0: none
	fail   error // how
}

func loadFS(t testing.TB, dir string) *brokenFS {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := &brokenFS{dir: dir, files: map[string][]byte{}}
	for _, e := range list {
		if f.files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// with gives the same files with one changed.
func (f *brokenFS) with(name string, b []byte) *brokenFS {
	g := &brokenFS{dir: f.dir, files: map[string][]byte{}}
	for k, v := range f.files {
		g.files[k] = v
	}
	g.files[name] = b
	if b == nil {
		delete(g.files, name)
	}
	return g
}

func (f *brokenFS) Open(name string) (File, error) {
	b, ok := f.files[filepath.Base(name)]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	f.most = max(f.most, f.open)
	return &brokenFile{f, fileInfo{filepath.Base(name), int64(len(b))}, bytes.NewReader(b), false}, nil
}

func (f *brokenFS) Stat(name string) (fs.FileInfo, error) {
	b, ok := f.files[filepath.Base(name)]
	if !ok {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return fileInfo{filepath.Base(name), int64(len(b))}, nil
}

func (f *brokenFS) ReadDir(string) ([]fs.DirEntry, error) {
	var out []fs.DirEntry
	for name, b := range f.files {
		out = append(out, fs.FileInfoToDirEntry(fileInfo{name, int64(len(b))}))
	}
	return out, nil
}

type brokenFile struct {
	fs     *brokenFS
	info   fileInfo
	r      *bytes.Reader
	closed bool
}

func (f *brokenFile) ReadAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if f.fs.reads++; f.fs.reads == f.fs.failAt {
		return 0, f.fs.fail
	}
	return f.r.ReadAt(b, at)
}

func (f *brokenFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *brokenFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	f.fs.open--
	return nil
}

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string     { return i.name }
func (i fileInfo) Size() int64      { return i.size }
func (fileInfo) Mode() fs.FileMode  { return 0o644 }
func (fileInfo) ModTime() time.Time { return time.Time{} }
func (fileInfo) IsDir() bool        { return false }
func (fileInfo) Sys() any           { return nil }
