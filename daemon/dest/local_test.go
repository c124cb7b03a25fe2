package dest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, d Dest, name, text string) {
	t.Helper()
	w, err := d.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, d Dest, name, text string) {
	t.Helper()
	b, err := d.ReadFile(t.Context(), name)
	if err != nil || string(b) != text {
		t.Errorf("%s holds %q, want %q: %v", name, b, text, err)
	}
}

// TestLocal: the life of a segment, and the answers when something is not there.
func TestLocal(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), filepath.Join(t.TempDir(), "not", "made", "yet")
	d := NewLocal(root + "/")
	if dir, ok := d.Local(); !ok || dir != root || d.String() != root {
		t.Errorf("%s, %t, %s", dir, ok, d)
	}
	if l, err := d.List(ctx, ""); err != nil || len(l) != 0 {
		t.Errorf("a directory that is not there: %v, %v", l, err)
	}
	if _, err := d.Stat(ctx, "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of nothing: %v", err)
	}
	for _, err := range []error{d.Remove(ctx, "x"), d.RemoveAll(ctx, "x/y")} {
		if err != nil {
			t.Errorf("remove nothing: %v", err)
		}
	}
	write(t, d, "_omsync/stage/a.csv", "one,two\n")
	if _, err := d.Create(ctx, "_omsync/stage/a.csv"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name is used twice: %v", err)
	}
	if err := d.Rename(ctx, "_omsync/stage/a.csv", "deep/er/a.csv"); err != nil {
		t.Fatal(err)
	}
	holds(t, d, "deep/er/a.csv", "one,two\n")
	if i, err := d.Stat(ctx, "deep/er/a.csv"); err != nil || i != (Info{Name: "deep/er/a.csv", Size: 8}) {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := d.Stat(ctx, "deep"); err != nil || i != (Info{Name: "deep", Dir: true}) {
		t.Errorf("%+v, %v", i, err)
	}
	for _, text := range []string{"first", "second, longer"} {
		if err := d.WriteFile(ctx, "deep/owner.json", []byte(text)); err != nil {
			t.Fatal(err)
		}
		holds(t, d, "deep/owner.json", text)
	}
	l, err := d.List(ctx, "deep")
	if err != nil || len(l) != 2 || l[0] != (Info{Name: "er", Dir: true}) || l[1] != (Info{Name: "owner.json", Size: 14}) {
		t.Errorf("%+v, %v", l, err)
	}
	if err := d.RemoveAll(ctx, "deep"); err != nil {
		t.Fatal(err)
	}
	if l, err := d.List(ctx, ""); err != nil || len(l) != 1 || l[0].Name != "_omsync" {
		t.Errorf("%+v, %v", l, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestRenameNeverOverwrites: neither the one way of renaming nor the other.
func TestRenameNeverOverwrites(t *testing.T) {
	t.Parallel()
	d := NewLocal(t.TempDir())
	write(t, d, "stage", "new\n")
	write(t, d, "final", "old\n")
	if err := d.Rename(t.Context(), "stage", "final"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("rename onto a file: %v", err)
	}
	holds(t, d, "final", "old\n")
	holds(t, d, "stage", "new\n")
	if err := d.Rename(t.Context(), "nothing", "other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename nothing: %v", err)
	}
	for way, move := range map[string]func(a, b string) error{"rename": moveNew, "link": linkNew} {
		at := func(name string) string { return filepath.Join(d.root, name) }
		if err := move(at("stage"), at("final")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s onto a file: %v", way, err)
		}
		if err := move(at("nothing"), at("other")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s nothing: %v", way, err)
		}
		if err := move(at("stage"), at(way)); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		holds(t, d, way, "new\n")
		if _, err := d.Stat(t.Context(), "stage"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after %s the old name is there: %v", way, err)
		}
		holds(t, d, "final", "old\n")
		write(t, d, "stage", "new\n")
	}
}

// TestNamesStayBelow: no name leads out of the directory.
func TestNamesStayBelow(t *testing.T) {
	t.Parallel()
	ctx, up := t.Context(), t.TempDir()
	d := NewLocal(filepath.Join(up, "d"))
	if err := os.WriteFile(filepath.Join(up, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret", "a/../../secret", "/etc/passwd", ".", "..", "a//b", "a/"} {
		_, create := d.Create(ctx, name)
		_, stat := d.Stat(ctx, name)
		_, read := d.ReadFile(ctx, name)
		_, list := d.List(ctx, name)
		for what, err := range map[string]error{
			"create": create, "stat": stat, "read": read, "list": list, "write": d.WriteFile(ctx, name, nil), "remove": d.Remove(ctx, name),
			"remove all": d.RemoveAll(ctx, name), "rename": d.Rename(ctx, name, "x"), "rename to": d.Rename(ctx, "x", name),
		} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
	for what, err := range map[string]error{"remove all": d.RemoveAll(ctx, ""), "write": d.WriteFile(ctx, "", nil)} {
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s of the directory itself: %v", what, err)
		}
	}
}

// TestFileInTheWay: a file where a directory is needed is an error that names it.
func TestFileInTheWay(t *testing.T) {
	t.Parallel()
	d := NewLocal(t.TempDir())
	write(t, d, "f", "x")
	_, create := d.Create(t.Context(), "f/g")
	for what, err := range map[string]error{"create": create, "write": d.WriteFile(t.Context(), "f/g", nil), "rename": d.Rename(t.Context(), "f", "f/g")} {
		var p *fs.PathError
		if !errors.As(err, &p) || filepath.Base(p.Path) != "f" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := d.List(t.Context(), "f"); err == nil {
		t.Error("a file was listed")
	}
}

// TestFailedWriteStaysFailed: Close does not make a file whole whose write failed.
func TestFailedWriteStaysFailed(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &localWriter{f: full}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Fatal("/dev/full took a byte")
	}
	if err := w.Close(); err == nil {
		t.Error("Close says that all is well")
	}
}
