package binlog

import (
	"io"
	"io/fs"
	"os"
	"syscall"
)

// FS is all the reader needs of a file system. Names are paths as the host writes them.
type FS interface {
	Open(name string) (Handle, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
}

// Handle is an open log file. It may grow, and may be unlinked or truncated by its owner, while it is read.
type Handle interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// OS is the file system of the host.
func OS() FS { return hostFS{} }

type hostFS struct{}

func (hostFS) Open(name string) (Handle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (hostFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (hostFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }

// inode is 0 where the file system has no inode numbers; two such files count as the same.
func inode(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
