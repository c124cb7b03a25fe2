package dest

import (
	"context"
	"io"
)

// Dest is the directory of one task. Names are slash-separated and relative to it, without "." and ".."; "" is the directory itself where a directory
// is asked for. Errors wrap fs.ErrNotExist, fs.ErrExist, fs.ErrPermission and the system's numbers, where they apply.
type Dest interface {
	// Create makes a file and the directories it needs. fs.ErrExist when the name is taken. Where ctx ends before the writer is closed, its file may
	// be given up.
	Create(ctx context.Context, name string) (Writer, error)
	Stat(ctx context.Context, name string) (Info, error)
	// Rename moves a file and makes the directories it needs. It never overwrites (fs.ErrExist), and is durable when it returns.
	Rename(ctx context.Context, from, to string) error
	// Remove removes a file; one that is not there is fine.
	Remove(ctx context.Context, name string) error
	// RemoveAll removes a directory with all in it; one that is not there is fine.
	RemoveAll(ctx context.Context, dir string) error
	// List lists a directory, by name; one that is not there is empty.
	List(ctx context.Context, dir string) ([]Info, error)
	ReadFile(ctx context.Context, name string) ([]byte, error)
	// WriteFile puts a whole file under name, replacing what is there: durable, or not at all.
	WriteFile(ctx context.Context, name string, data []byte) error
	// Local is the directory's path if it is one of this machine.
	Local() (dir string, ok bool)
	String() string
	Close() error
}

// Writer writes a new file.
type Writer interface {
	io.Writer
	// Sync makes what is written, and the file's name, durable. On HDFS only Close can do that.
	Sync() error
	// Close ends the file. After a failed Write it fails too. A file whose Close failed must not be used: it may be short, or corrupt.
	Close() error
}

// Info is a file or directory.
type Info struct {
	Name string // of List: without the directory; of Stat: as asked
	Size int64  // bytes; 0 of directories
	Dir  bool
}

// Encoder writes rows as text. It is not safe for concurrent use.
type Encoder interface {
	// Append adds one row. It is of any schema version that the encoder's table knows, and has passed the table's Check. What is written always has
	// the same columns: those the row's version lacks are NULL.
	Append(dst, row []byte) ([]byte, error)
	// Suffix of the files: ".csv".
	Suffix() string
}
