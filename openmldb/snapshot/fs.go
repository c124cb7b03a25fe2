package snapshot

import (
	"io"
	"io/fs"
	"os"
)

// FS is all the reader needs of a file system. Names are paths as the host writes them.
type FS interface {
	Open(name string) (File, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
}

// File is an open file. The files of a checkpoint never change.
type File interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// OS is the file system of the host.
func OS() FS { return hostFS{} }

type hostFS struct{}

func (hostFS) Open(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (hostFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (hostFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }

// readSmall reads a whole file of at most limit bytes.
func readSmall(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() > limit {
		return nil, corrupt(name, limit, "the file has %d bytes, such a file has never more than %d", fi.Size(), limit)
	}
	b := make([]byte, fi.Size())
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, readError(name, int64(n), err)
	}
	return b, nil
}
