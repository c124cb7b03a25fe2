package binlog

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// File is one log file of a directory.
type File struct {
	Num   uint64 // the number that is its name
	Name  string
	Path  string
	Size  int64
	Inode uint64 // 0 where the file system has none
	First uint64 // log index of its first entry, 0 if it holds none yet
	Err   error  // *CorruptError: why First is not known
}

// numbered is a name as a tablet gives it: decimal digits and ".log" (formats.md §4.1; the width is a flag of the tablet).
func numbered(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ".log")
	if !ok || digits == "" || strings.TrimLeft(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

type entryName struct {
	num  uint64
	name string
}

// names lists the log files of dir by number. Other files are none of our business; two files of one number are nobody's log.
func names(fsys FS, dir string) ([]entryName, error) {
	des, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log directory: %w", err)
	}
	out := make([]entryName, 0, len(des))
	for _, de := range des {
		if n, ok := numbered(de.Name()); ok && !de.IsDir() {
			out = append(out, entryName{n, de.Name()})
		}
	}
	slices.SortFunc(out, func(a, b entryName) int {
		if a.num != b.num {
			if a.num < b.num {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	for i := 1; i < len(out); i++ {
		if out[i].num == out[i-1].num {
			return nil, &CorruptError{File: filepath.Join(dir, out[i].name), Reason: fmt.Sprintf("%s bears the same number", out[i-1].name)}
		}
	}
	return out, nil
}

// List is the log files of dir in the order they were written. Each is opened to learn its first index; one that is deleted meanwhile is left out.
func List(fsys FS, dir string) ([]File, error) { return list(context.Background(), fsys, dir) }

func list(ctx context.Context, fsys FS, dir string) ([]File, error) {
	ns, err := names(fsys, dir)
	if err != nil {
		return nil, err
	}
	files := make([]File, 0, len(ns))
	s := scanner{max: maxRecordLen}
	for _, n := range ns {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := describe(fsys, dir, n, &s)
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func describe(fsys FS, dir string, n entryName, s *scanner) (File, error) {
	f := File{Num: n.num, Name: n.name, Path: filepath.Join(dir, n.name)}
	h, err := fsys.Open(f.Path)
	if err != nil {
		return f, fmt.Errorf("open log file: %w", err)
	}
	defer h.Close() // read only: nothing can be lost by it
	fi, err := h.Stat()
	if err != nil {
		return f, fmt.Errorf("stat log file %s: %w", f.Path, err)
	}
	f.Size, f.Inode = fi.Size(), inode(fi)
	f.First, f.Err, err = firstIndex(s, h, f.Path)
	return f, err
}

// firstIndex reads the first entry of a file: 0 if there is none yet, damage if it cannot be read.
func firstIndex(s *scanner, h Handle, path string) (first uint64, damage, err error) {
	s.reset(h)
	rec, st, err := s.record(0)
	if err != nil {
		return 0, nil, fmt.Errorf("read log file %s: %w", path, err)
	}
	switch st {
	case bad:
		return 0, &CorruptError{File: path, Offset: rec.badAt, Reason: rec.reason}, nil
	case found:
		var e Entry
		if rec.suspect >= 0 {
			return 0, &CorruptError{File: path, Offset: rec.suspect, Reason: "zeros or a piece of a record before the first entry"}, nil
		}
		if err := e.decode(rec.payload); err != nil {
			return 0, &CorruptError{File: path, Offset: rec.start, Reason: "not a log entry: " + err.Error()}, nil
		}
		return e.Index, nil, nil
	}
	return 0, nil, nil
}
