package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadManifest(t *testing.T) {
	t.Parallel()
	if _, err := ReadManifest(OS(), t.TempDir()); !errors.Is(err, ErrNoManifest) {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]string{
		"offset: 1234\nname: \"202306011203\"\ncount: 1000\nterm: 5\n": "1234 202306011203 1000 5",
		"offset: 0\nname: \"202306011203\"\ncount: 0\n":                "0 202306011203 0 0",
		"offset: 1\nname: \"x\"\nfuture: 7\n":                          "1 x 0 0",
		"name: \"x\"\n":                                                "there is no offset",
		"offset: 1\n":                                                  "is not the name",
		"offset: 1\nname: \"\"\n":                                      "is not the name",
		"offset: 1\nname: \"..\"\n":                                    "is not the name",
		"offset: 1\nname: \"../202306011203\"\n":                       "is not the name",
		"offset: -1\nname: \"x\"\n":                                    "offset",
		"offset: 1\nname: \"x":                                         "damaged",
		"":                                                             "is not the name",
		strings.Repeat("#\n", manifestLimit):                           "never more than",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "MANIFEST"), []byte(text))
		m, err := ReadManifest(OS(), dir)
		got := fmt.Sprint(m.GetOffset(), " ", m.GetName(), " ", m.GetCount(), " ", m.GetTerm())
		if err != nil {
			got = err.Error()
			if !isCorrupt(err) || !strings.Contains(got, filepath.Join(dir, "MANIFEST")) {
				t.Errorf("%.40q: %v", text, err)
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%.40q: %s, want %s", text, got, want)
		}
	}
}

// TestEdits plays edits behind those that make family i0 (id 1) with files 7 (level 0) and 8 (level 1).
func TestEdits(t *testing.T) {
	t.Parallel()
	lo, hi := ikey(uk("a", 1), 3, kindValue), ikey(uk("b", 1), 2, kindValue)
	file := func(level int, num uint64, more ...any) []byte {
		return editOf(append([]any{tagFamily, 1, tagNewFile4, level, num, 1, lo, hi, 1, 3}, more...)...)
	}
	for _, c := range []struct {
		name  string
		edits [][]byte
		want  string // the families' files, or part of the error
	}{
		{name: "none", want: "default[] i0[7@0 8@1]"},
		{name: "ignorable tag", edits: [][]byte{editOf(tagIgnorable+77, "anything", tagFamily, 1, tagDeletedFile, 0, 7)}, want: "default[] i0[8@1]"},
		{name: "needed tag", edits: [][]byte{editOf(999)}, want: "version edit tag 999 is not supported"},
		{name: "trivial move", edits: [][]byte{editOf(tagFamily, 1, tagDeletedFile, 0, 7, tagDeletedFile, 1, 8, tagNewFile2, 2, 7, 1, lo, hi, 1, 3)}, want: "default[] i0[7@2]"},
		{name: "all else a tablet writes", edits: [][]byte{editOf(tagFamily, 1, tagLogNumber, 9, tagPrevLogNumber, 0, tagMinLogToKeep, 3, tagMaxFamily, 9, tagCompactCursor, 1, lo)}, want: "default[] i0[7@0 8@1]"},
		{name: "oldest file entry", edits: [][]byte{editOf(tagFamily, 1, tagNewFile, 0, 9, 1, lo, hi)}, want: "default[] i0[7@0 8@1 9@0]"},
		{name: "file entry with path", edits: [][]byte{editOf(tagFamily, 1, tagNewFile3, 0, 9, 0, 1, lo, hi, 1, 3)}, want: "default[] i0[7@0 8@1 9@0]"},
		{name: "file elsewhere", edits: [][]byte{editOf(tagFamily, 1, tagNewFile3, 0, 9, 1, 1, lo, hi, 1, 3)}, want: "second directory"},
		{name: "file fields", edits: [][]byte{file(0, 9, 5, "time", 12, "id", 60, "new", fieldPath, "\x00", fieldEnd)}, want: "default[] i0[7@0 8@1 9@0]"},
		{name: "file elsewhere, as a field", edits: [][]byte{file(0, 9, fieldPath, "\x01", fieldEnd)}, want: "second directory"},
		{name: "needed field", edits: [][]byte{file(0, 9, fieldNeeded+9, "x", fieldEnd)}, want: "field 73 of a file entry is not supported"},
		{name: "file with blobs", edits: [][]byte{file(0, 9, fieldBlobFile, "\x09", fieldEnd)}, want: "blob file is not supported"},
		{name: "fields without end", edits: [][]byte{file(0, 9, 5, "time")}, want: "inside a file entry"},
		{name: "blob file", edits: [][]byte{editOf(tagBlobFile, 1)}, want: "blob file is not supported"},
		{name: "family added", edits: [][]byte{editOf(tagFamily, 4, tagFamilyAdd, "i4", tagComparator, keyTSComparator)}, want: "default[] i0[7@0 8@1] i4[]"},
		{name: "family dropped", edits: [][]byte{editOf(tagFamily, 1, tagFamilyDrop)}, want: "default[]"},
		{name: "family twice", edits: [][]byte{editOf(tagFamily, 1, tagFamilyAdd, "i0")}, want: "added twice"},
		{name: "no such family", edits: [][]byte{editOf(tagFamily, 3, tagLogNumber, 1)}, want: "column family 3, which is not there"},
		{name: "file twice", edits: [][]byte{file(0, 7, fieldEnd)}, want: "added twice"},
		{name: "file deleted from another level", edits: [][]byte{editOf(tagFamily, 1, tagDeletedFile, 1, 7)}, want: "deleted from level 1"},
		{name: "overlap", edits: [][]byte{file(1, 9, fieldEnd)}, want: "overlap"},
		{name: "level 64", edits: [][]byte{file(64, 9, fieldEnd)}, want: "level 64"},
		{name: "short boundary", edits: [][]byte{editOf(tagFamily, 1, tagNewFile2, 0, 9, 1, "short", hi, 1, 3)}, want: "no internal key"},
		{name: "boundaries swapped", edits: [][]byte{editOf(tagFamily, 1, tagNewFile2, 0, 9, 1, hi, lo, 1, 3)}, want: "behind its largest"},
		{name: "torn field", edits: [][]byte{editOf(tagComparator, 200)}, want: "inside a field"},
		{name: "torn number", edits: [][]byte{{tagLastSequence, 0x80}}, want: "inside a field"},
		{name: "atomic group", edits: [][]byte{editOf(tagFamily, 1, tagDeletedFile, 0, 7, tagInAtomicGroup, 1), editOf(tagFamily, 1, tagDeletedFile, 1, 8, tagInAtomicGroup, 0)}, want: "default[] i0[]"},
		{name: "atomic group without end", edits: [][]byte{editOf(tagFamily, 1, tagDeletedFile, 0, 7, tagInAtomicGroup, 1)}, want: "inside an atomic group"},
		{name: "atomic group with a hole", edits: [][]byte{editOf(tagInAtomicGroup, 2), editOf(tagInAtomicGroup, 0)}, want: "not whole"},
		{name: "atomic group cut by another edit", edits: [][]byte{editOf(tagInAtomicGroup, 1), editOf(tagLogNumber, 1)}, want: "not whole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			edits := append([][]byte{
				editOf(tagComparator, bytewiseComparator), editOf(tagFamily, 1, tagFamilyAdd, "i0", tagComparator, keyTSComparator),
				file(0, 7, fieldEnd), file(1, 8, fieldEnd),
			}, c.edits...)
			write(t, filepath.Join(dir, "MANIFEST-000005"), recordsOf(edits...))
			write(t, filepath.Join(dir, "CURRENT"), []byte("MANIFEST-000005\n"))
			v, err := readVersion(OS(), dir)
			got := ""
			if err != nil {
				got = err.Error()
				if !strings.Contains(got, filepath.Join(dir, "MANIFEST-000005")) {
					t.Errorf("the file is not named: %v", err)
				}
			} else {
				got = describe(v)
			}
			if !strings.Contains(got, c.want) || err == nil && got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func describe(v *version) string {
	var out []string
	for id := range uint32(10) {
		if c := v.families[id]; c != nil {
			var files []string
			for num := range uint64(100) {
				if f := c.files[num]; f != nil {
					files = append(files, fmt.Sprintf("%d@%d", num, f.level))
				}
			}
			out = append(out, fmt.Sprint(c.name, files))
		}
	}
	return strings.Join(out, " ")
}

// TestRecords: a record longer than a block comes in fragments, whole or recyclable.
func TestRecords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*recordBlock)
	var f []byte
	for rest, first := long, true; rest != ""; first = false {
		n := min(len(rest), recordBlock-len(f)%recordBlock-recordHeader)
		typ := byte(recordMiddle)
		switch {
		case first:
			typ = recordFirst
		case n == len(rest):
			typ = recordLast
		}
		one := recordsOf([]byte(rest[:n]))
		f, rest = append(f, fixType(one, typ)...), rest[n:]
	}
	f = append(f, recordsOf([]byte("short"))...)
	l := newRecords("x", strings.NewReader(string(f)), int64(len(f)))
	for _, want := range []string{long, "short"} {
		if got, err := l.next(); err != nil || string(got) != want {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
		}
	}
	for cut := range len(f) {
		if cut > 20 && cut < len(f)-20 && cut%recordBlock > 20 && cut%997 != 0 {
			continue
		}
		l := newRecords("x", strings.NewReader(string(f[:cut])), int64(cut))
		n := 0
		var err error
		for err == nil {
			if _, err = l.next(); err == nil {
				n++
			}
		}
		atEnd := cut == 0 || cut == len(f)-recordHeader-len("short")
		if n > 1 || atEnd == isCorrupt(err) {
			t.Errorf("cut at %d: %d records, %v", cut, n, err)
		}
	}
}

// fixType changes the type of a single record.
func fixType(rec []byte, typ byte) []byte {
	b := append([]byte(nil), rec...)
	b[6] = typ
	sum := maskCRC(crcOf(b[6:]))
	b[0], b[1], b[2], b[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return b
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	spec := func() []*tableSpec { return []*tableSpec{{num: 7, entries: []entry{put("a", 1, 1, "v")}}} }
	for _, c := range []struct {
		name    string
		damage  func(dir string) error
		missing bool // the error is fs.ErrNotExist
		want    string
	}{
		{name: "no directory", damage: os.RemoveAll, missing: true},
		{name: "no CURRENT", damage: func(d string) error { return os.Remove(filepath.Join(d, "CURRENT")) }, missing: true},
		{name: "no MANIFEST", damage: func(d string) error { return os.Remove(filepath.Join(d, "MANIFEST-000005")) }, missing: true},
		{name: "no table", damage: func(d string) error { return os.Remove(filepath.Join(d, "000007.sst")) }, missing: true, want: "column family i0"},
		{name: "empty CURRENT", damage: func(d string) error { return os.Truncate(filepath.Join(d, "CURRENT"), 0) }, want: "not the name of a MANIFEST"},
		{name: "torn CURRENT", damage: func(d string) error { return os.Truncate(filepath.Join(d, "CURRENT"), 15) }, want: "not the name of a MANIFEST"},
		{name: "CURRENT leads away", damage: func(d string) error {
			return os.WriteFile(filepath.Join(d, "CURRENT"), []byte("MANIFEST-../x\n"), 0o644)
		}, want: "not the name of a MANIFEST"},
		{name: "empty MANIFEST", damage: func(d string) error { return os.Truncate(filepath.Join(d, "MANIFEST-000005"), 0) }, want: "no version edit"},
		{name: "short table", damage: func(d string) error { return os.Truncate(filepath.Join(d, "000007.sst"), 100) }, want: "has 100 bytes"},
		{name: "one table more", damage: func(d string) error { return os.WriteFile(filepath.Join(d, "000099.sst"), nil, 0o644) }, want: "no record names it"},
		{name: "a blob file", damage: func(d string) error { return os.WriteFile(filepath.Join(d, "000099.blob"), nil, 0o644) }, want: "blob"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := checkpoint(t, spec())
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Open(OS(), dir, Options{})
			if err == nil || errors.Is(err, fs.ErrNotExist) != c.missing || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, checkpoint(t, []*tableSpec{{num: 7, entries: []entry{put("a", 1, 1, "v")}}}, editOf(tagFamily, 9, tagFamilyAdd, "odd", tagComparator, "Odd")))
	got := fmt.Sprint(db.Families())
	if !strings.HasPrefix(got, "[{0 default leveldb.BytewiseComparator 0 0} {1 i0 KeyTSComparator 1 ") || !strings.HasSuffix(got, " {9 odd Odd 0 0}]") {
		t.Error(got)
	}
	if db.Empty() || db.Seq() != 1<<40 {
		t.Error(db.Empty(), db.Seq())
	}
	if db := mustOpen(t, checkpoint(t, nil)); !db.Empty() {
		t.Error("a checkpoint without tables is not empty")
	}
	for name, want := range map[string]string{"gone": "no column family gone", "odd": `"Odd"`, "default": "Bytewise"} {
		if _, err := db.Scan(ScanOptions{Index: Index{Family: name}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("scan %s: %v", name, err)
		}
		if _, _, err := db.Get(Index{Family: name}, nil, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("get %s: %v", name, err)
		}
	}
	if _, err := db.Scan(ScanOptions{Index: i0, After: []byte("short")}); err == nil || !strings.Contains(err.Error(), "no key of column family i0") {
		t.Errorf("after a short key: %v", err)
	}
}
