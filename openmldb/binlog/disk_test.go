package binlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
)

var errDisk = errors.New("input/output error")

// hookFS lets a test stand between the reader and the disk.
type hookFS struct {
	FS
	beforeReadDir func()
	hide          string         // a name that the next listing misses
	flip          func(p []byte) // damages what is read from a file's beginning
	fail          func(op string) error
}

func (h *hookFS) check(op string) error {
	if h.fail == nil {
		return nil
	}
	return h.fail(op)
}

func (h *hookFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if h.beforeReadDir != nil {
		h.beforeReadDir()
	}
	if err := h.check("readdir"); err != nil {
		return nil, err
	}
	des, err := h.FS.ReadDir(name)
	if h.hide != "" {
		des = slices.DeleteFunc(des, func(de fs.DirEntry) bool { return de.Name() == h.hide })
		h.hide = ""
	}
	return des, err
}

func (h *hookFS) Stat(name string) (fs.FileInfo, error) {
	if err := h.check("stat"); err != nil {
		return nil, err
	}
	return h.FS.Stat(name)
}

func (h *hookFS) Open(name string) (Handle, error) {
	if err := h.check("open"); err != nil {
		return nil, err
	}
	f, err := h.FS.Open(name)
	return &hookHandle{f, h}, err
}

type hookHandle struct {
	Handle
	h *hookFS
}

func (f *hookHandle) ReadAt(p []byte, off int64) (int, error) {
	if err := f.h.check("read"); err != nil {
		return 0, err
	}
	n, err := f.Handle.ReadAt(p, off)
	if f.h.flip != nil && off == 0 {
		f.h.flip(p[:n])
	}
	return n, err
}

func (f *hookHandle) Stat() (fs.FileInfo, error) {
	if err := f.h.check("fstat"); err != nil {
		return nil, err
	}
	return f.Handle.Stat()
}

// Every call to the disk fails once, one after the other: the error is told, and the next call goes on without loss.
func TestDiskErrorsAreTold(t *testing.T) {
	t.Parallel()
	w := twoFiles(t)
	for n := 0; ; n++ {
		calls, failed := 0, false
		h := &hookFS{FS: OS()}
		h.fail = func(op string) error {
			calls++
			if calls == n+1 {
				failed = true
				return fmt.Errorf("%s: %w", op, errDisk)
			}
			return nil
		}
		r := NewReader(h, w.dir, Options{})
		var got []uint64
		told := 0
		for {
			g, err := drain(r)
			got = append(got, g...)
			if errors.Is(err, errDisk) {
				told++
				continue
			}
			if !errors.Is(err, ErrTail) {
				t.Fatalf("call %d fails: read %v, %v", n, got, err)
			}
			break
		}
		r.Close()
		if fmt.Sprint(got) != fmt.Sprint(ascending(10)) || failed != (told == 1) {
			t.Fatalf("call %d fails: read %v, told %d times", n, got, told)
		}
		if !failed {
			if n < 10 {
				t.Fatalf("only %d calls to the disk", n)
			}
			return
		}
	}
}

func TestSeekDiskErrors(t *testing.T) {
	t.Parallel()
	w := twoFiles(t)
	for n := 0; ; n++ {
		calls, failed := 0, false
		h := &hookFS{FS: OS()}
		h.fail = func(string) error {
			calls++
			failed = failed || calls == n+1
			if calls == n+1 {
				return errDisk
			}
			return nil
		}
		r := NewReader(h, w.dir, Options{})
		err := r.Seek(context.Background(), 9)
		if failed != errors.Is(err, errDisk) || !failed && err != nil {
			t.Fatalf("call %d fails: %v", n, err)
		}
		r.Close()
		if _, err := LastIndex(context.Background(), OS(), w.dir); err != nil {
			t.Fatal(err)
		}
		if !failed {
			return
		}
	}
}
