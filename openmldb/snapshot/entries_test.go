package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestEntriesAgreeWithScan: what Entries shows as rows is what Scan gives, for every index of every fixture, with and without TTL; and what it hides as
// expired is what Scan counts.
func TestEntriesAgreeWithScan(t *testing.T) {
	t.Parallel()
	seen := map[Hidden]int{}
	for _, root := range []string{fixtures, fixtures7} {
		for _, p := range partitions(t, root) {
			if p.dir == "" {
				continue
			}
			db := mustOpen(t, p.dir)
			for i := range p.meta.GetColumnKey() {
				ix, err := db.IndexOf(p.meta, i)
				if err != nil {
					t.Fatal(err)
				}
				if db.families[ix.Family] == nil {
					continue // a dropped index
				}
				for _, now := range []int64{0, 1_577_836_900_000, fixtureNow} {
					want, expired := mustScan(t, db, ScanOptions{Index: ix, NowMs: now})
					e, err := db.Entries(ix, now)
					if err != nil {
						t.Fatal(err)
					}
					var got []row
					var why = map[Hidden]int{}
					var last []byte
					for e.Next() {
						key := slices.Clone(e.it.Key())
						if last != nil && Compare(last, key) > 0 {
							t.Fatalf("%s index %d: %q after %q", p.name, i, key, last)
						}
						last = key
						why[e.Hidden()]++
						seen[e.Hidden()]++
						if e.Hidden() == Shown {
							got = append(got, row{string(key), string(e.Value()), string(e.PK()), e.Ts(), e.Seq()})
						}
					}
					if err := errors.Join(e.Err(), e.Close()); err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s index %d at %d: %d rows shown, a scan gives %d", p.name, i, now, len(got), len(want))
					}
					if uint64(why[Expired]) != expired {
						t.Errorf("%s index %d at %d: %d expired, a scan counts %d", p.name, i, now, why[Expired], expired)
					}
				}
			}
		}
	}
	for _, h := range []Hidden{Shown, Overwritten, Deleted, Expired} {
		if seen[h] == 0 {
			t.Errorf("no entry of the fixtures is %q", h)
		}
	}
}

// TestContents: the MANIFEST is told without its files, and as Open sees it.
func TestContents(t *testing.T) {
	t.Parallel()
	for _, p := range partitions(t, fixtures) {
		if p.dir == "" {
			continue
		}
		db := mustOpen(t, p.dir)
		c, err := ReadContents(OS(), p.dir)
		if err != nil {
			t.Fatal(err)
		}
		var list []Family
		for _, f := range c.Families {
			list = append(list, f.Family)
			if len(f.Tables) != f.Files {
				t.Errorf("%s: family %s has %d tables of %d", p.name, f.Name, len(f.Tables), f.Files)
			}
			for _, one := range f.Tables {
				fi, err := os.Stat(filepath.Join(p.dir, one.Name))
				if err != nil || uint64(fi.Size()) != one.Bytes || Compare(one.Smallest, one.Largest) > 0 {
					t.Errorf("%s: %+v, %v", p.name, one, err)
				}
			}
		}
		if fmt.Sprint(list) != fmt.Sprint(db.Families()) || c.LastSeq != db.Seq() {
			t.Errorf("%s: %v up to %d, Open says %v up to %d", p.name, list, c.LastSeq, db.Families(), db.Seq())
		}
	}
	if _, err := ReadContents(OS(), t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
}
