package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// readAll opens a checkpoint, scans an index and looks up some of keys. All files are closed when it returns.
func readAll(f *brokenFS, ix Index, keys []row) (rows []row, err error) {
	db, err := Open(f, f.dir, Options{OpenFiles: 1})
	if err != nil {
		return nil, err
	}
	rows, _, err = scan(db, ScanOptions{Index: ix})
	for i := 0; i < len(keys) && err == nil; i += 1 + len(keys)/3 {
		var v []byte
		var ok bool
		if v, ok, err = db.Get(ix, []byte(keys[i].pk), keys[i].ts); err == nil && (!ok || string(v) != keys[i].value) {
			rows = append(rows, row{key: "Get differs"})
		}
	}
	if err2 := db.Close(); err == nil {
		err = err2
	}
	if f.open != 0 {
		return rows, fmt.Errorf("%d files are still open", f.open)
	}
	return rows, err
}

// small are checkpoints for damage: with range tombstones and overlapping files on 6.27.3, with snappy and XXH3 on 7.8.3, and a shared family.
var small = []string{fixtures + "/108_1", fixtures7 + "/108_0", fixtures7 + "/115_0"}

func smallCheckpoint(t *testing.T, dir string) (*brokenFS, Index) {
	t.Helper()
	for _, p := range partitions(t, filepath.Dir(dir)) {
		if p.name == filepath.Base(dir) {
			ix, err := IndexOf(p.meta, 0)
			if err != nil {
				t.Fatal(err)
			}
			return loadFS(t, p.dir), ix
		}
	}
	t.Fatalf("no fixture %s", dir)
	return nil, Index{}
}

// readFiles are the files that a scan of ix reads. With tombs some of them have to hold range tombstones.
func readFiles(t *testing.T, f *brokenFS, ix Index, tombs bool) map[string]bool {
	t.Helper()
	db, err := Open(f, f.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]bool{"CURRENT": true}
	for name := range f.files {
		if strings.HasPrefix(name, "MANIFEST-") {
			out[name] = true
		}
	}
	fragments := 0
	for num := range db.families[ix.Family].files {
		out[tableName(num)] = true
		frags, err := db.fragmentsOf(num)
		if err != nil {
			t.Fatal(err)
		}
		fragments += len(frags)
	}
	if tombs && fragments == 0 {
		t.Fatalf("%s holds no range tombstones", f.dir)
	}
	return out
}

// TestFlippedBytes: with any byte of any file that is read changed, the rows are the same or there is an error; a table file says which one it is.
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	for _, dir := range small {
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			whole, ix := smallCheckpoint(t, dir)
			want, err := readAll(whole, ix, nil)
			if err != nil || len(want) < 10 {
				t.Fatal(len(want), err)
			}
			read := readFiles(t, whole, ix, dir == small[0])
			flips, errs := 0, 0
			for name, b := range whole.files {
				if !read[name] {
					continue
				}
				for i := range b {
					for _, mask := range []byte{1 << (i % 8), 0xff} {
						c := bytes.Clone(b)
						c[i] ^= mask
						flips++
						rows, err := readAll(whole.with(name, c), ix, want)
						if err != nil {
							errs++
							if strings.HasSuffix(name, ".sst") && !strings.Contains(err.Error(), name) {
								t.Fatalf("%s, byte %d: the error names another file: %v", name, i, err)
							}
						} else if !slices.Equal(rows, want) {
							t.Fatalf("%s, byte %d ^ %#x: %d rows instead of %d and no error", name, i, mask, len(rows), len(want))
						}
					}
				}
			}
			if errs < flips/2 {
				t.Errorf("only %d of %d changes were seen", errs, flips)
			}
		})
	}
}

// TestCutFiles: a file that ends anywhere too early, or is gone, is an error.
func TestCutFiles(t *testing.T) {
	t.Parallel()
	for _, dir := range small {
		whole, ix := smallCheckpoint(t, dir)
		want, err := readAll(whole, ix, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range whole.files {
			if strings.HasPrefix(name, "OPTIONS") {
				continue
			}
			for n := range b {
				if rows, err := readAll(whole.with(name, bytes.Clone(b[:n])), ix, nil); err == nil && !(strings.HasPrefix(name, "MANIFEST") && slices.Equal(rows, want)) {
					t.Fatalf("%s/%s cut to %d of %d bytes: %d rows and no error", dir, name, n, len(b), len(rows))
				}
			}
			if _, err := readAll(whole.with(name, nil), ix, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
				t.Fatalf("%s/%s gone: %v", dir, name, err)
			}
		}
	}
}

// TestFailedReads: whichever read fails, and however, the error comes out and no file stays open.
func TestFailedReads(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	for _, how := range []error{broken, io.EOF, io.ErrUnexpectedEOF} {
		whole, ix := smallCheckpoint(t, small[0])
		want, err := readAll(whole, ix, nil)
		if err != nil {
			t.Fatal(err)
		}
		total := whole.reads
		for n := 1; n <= total; n++ {
			f := whole.with("", nil)
			f.failAt, f.fail = n, how
			rows, err := readAll(f, ix, want)
			if err == nil || how == broken && !errors.Is(err, broken) || strings.Contains(err.Error(), "still open") {
				t.Fatalf("read %d fails with %v: %d rows, %v", n, how, len(rows), err)
			}
		}
		if total < 10 {
			t.Fatalf("%d reads", total)
		}
	}
}

// TestFailedReadIsNotRemembered: a read that failed once leaves nothing behind: the same DB gives all rows the next time.
func TestFailedReadIsNotRemembered(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	for _, dir := range small {
		whole, ix := smallCheckpoint(t, dir)
		want, err := readAll(whole, ix, nil)
		if err != nil {
			t.Fatal(err)
		}
		for n, failed := 1, true; failed; n++ {
			f := whole.with("", nil)
			db, err := Open(f, f.dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			f.failAt, f.fail = f.reads+n, broken
			_, _, err = scan(db, ScanOptions{Index: ix})
			if failed = f.reads >= f.failAt; failed != errors.Is(err, broken) {
				t.Fatalf("%s, read %d fails: %v", dir, n, err)
			}
			f.failAt = 0
			if rows, _, err := scan(db, ScanOptions{Index: ix}); err != nil || !slices.Equal(rows, want) {
				t.Fatalf("%s, after read %d failed: %d rows instead of %d, %v", dir, n, len(rows), len(want), err)
			}
			f.failAt = f.reads + 1
			_, _, failure := db.Get(ix, []byte(want[0].pk), want[0].ts)
			if v, ok, err := db.Get(ix, []byte(want[0].pk), want[0].ts); failure == nil || err != nil || !ok || string(v) != want[0].value {
				t.Fatalf("%s: Get fails with %v, then %v, %v", dir, failure, ok, err)
			}
			if err := db.Close(); err != nil || f.open != 0 {
				t.Fatalf("%d files are still open, %v", f.open, err)
			}
		}
	}
}

// TestOpenFiles: files are kept open up to the limit, shared by iterators, and all closed in the end, whoever closes first.
func TestOpenFiles(t *testing.T) {
	t.Parallel()
	var tables []*tableSpec
	for i := range 20 {
		tables = append(tables, &tableSpec{num: uint64(10 + i), level: 1, entries: []entry{put(fmt.Sprintf("k%02d", i), 1, uint64(i), "v")}})
	}
	f := loadFS(t, checkpoint(t, tables))
	db, err := Open(f, f.dir, Options{OpenFiles: 3})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if rows, _, err := scan(db, ScanOptions{Index: i0}); err != nil || len(rows) != 20 {
					t.Errorf("%d rows, %v", len(rows), err)
				}
				for i := range 20 {
					if _, ok, err := db.Get(i0, fmt.Appendf(nil, "k%02d", i), 1); !ok || err != nil {
						t.Errorf("row %d: %v %v", i, ok, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if f.most > 3+4*2+idleProbes {
		t.Errorf("%d files were open at once", f.most)
	}
	it, err := db.Scan(ScanOptions{Index: i0})
	if err != nil || !it.Next() {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if string(it.PK()) != "k00" || string(it.Value()) != "v" {
		t.Error("the row went away with the DB")
	}
	if it.Next() || !errors.Is(it.Err(), ErrClosed) {
		t.Errorf("after Close: %v", it.Err())
	}
	if err := errors.Join(it.Close(), it.Close()); err != nil || f.open != 0 {
		t.Errorf("%d files are open, %v", f.open, err)
	}
	if _, _, err := db.Get(i0, nil, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
}

// TestIterState: an iterator says nothing before the first row and after the last, and can be closed in the middle.
func TestIterState(t *testing.T) {
	t.Parallel()
	f := loadFS(t, checkpoint(t, []*tableSpec{{num: 7, entries: []entry{put("a", 1, 1, "one"), put("b", 1, 2, "two")}}}))
	db, err := Open(f, f.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	it, err := db.Scan(ScanOptions{Index: i0})
	if err != nil {
		t.Fatal(err)
	}
	empty := func() bool {
		return it.Key() == nil && len(it.PK()) == 0 && it.Ts() == 0 && it.Value() == nil && it.Seq() == 0
	}
	if !empty() || !it.Next() || empty() || !it.Next() || it.Next() || !empty() || it.Next() || it.Err() != nil {
		t.Error("the iterator does not keep its states apart")
	}
	it, err = db.Scan(ScanOptions{Index: i0})
	if err != nil || !it.Next() {
		t.Fatal(err)
	}
	if err := it.Close(); err != nil || it.Next() || !empty() || it.Err() != nil {
		t.Error("a closed iterator goes on", err)
	}
}

// TestInterrupt: a scan ends with what Interrupt says.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	f := loadFS(t, checkpoint(t, []*tableSpec{{num: 7, entries: []entry{put("a", 1, 1, "one"), put("b", 1, 2, "two")}}}))
	db, err := Open(f, f.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stop := errors.New("stopped")
	it, err := db.Scan(ScanOptions{Index: i0, Interrupt: func() error { return nil }})
	if err != nil || !it.Next() || it.Err() != nil {
		t.Errorf("not interrupted: %v, %v", err, it.Err())
	}
	if it, err = db.Scan(ScanOptions{Index: i0, Interrupt: func() error { return stop }}); err != nil || it.Next() || !errors.Is(it.Err(), stop) {
		t.Errorf("interrupted: %v, %v", err, it.Err())
	}
}
