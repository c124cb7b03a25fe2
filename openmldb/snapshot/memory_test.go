package snapshot

import (
	"runtime"
	"testing"
)

// TestMemoryIsBoundedByBlocks: ten times the rows in blocks of one size cost a scan, and lookups in order, no more memory but for the longer
// indexes. Not parallel: it counts what the whole process allocates.
func TestMemoryIsBoundedByBlocks(t *testing.T) {
	const rows, runs = 20_000, 4
	for _, c := range []compression{compressNone, compressSnappy} {
		var scanned, sought [2]uint64
		for i, n := range []int{rows, 10 * rows} {
			tables := benchTables(n, runs, true, c)
			dir := checkpoint(t, tables)
			want, bytes, seen := n, 0, 0
			scanned[i] = allocated(func() {
				db := mustOpen(t, dir)
				it, err := db.Scan(ScanOptions{Index: i0})
				if err != nil {
					t.Fatal(err)
				}
				for it.Next() {
					seen++
					bytes += len(it.Value())
				}
				if it.Err() != nil {
					t.Fatal(it.Err())
				}
			})
			if seen != want || bytes < 190*n {
				t.Fatalf("%v: %d rows of %d, %d bytes", c, seen, want, bytes)
			}
			found := 0
			sought[i] = allocated(func() {
				db := mustOpen(t, dir)
				for at := 0; at < n; at += n / 1000 { // as many lookups in both
					e := tables[at%runs].entries[at/runs]
					pk, ts, _ := Index{}.Split(e.user)
					if v, ok, err := db.Get(i0, pk, ts); err != nil || !ok || len(v) != len(e.value) {
						t.Fatal(ok, err)
					}
					found++
				}
			})
			if found != 1000 {
				t.Fatalf("%v: %d lookups", c, found)
			}
		}
		const more = runs * DefaultReadAhead // of 36 MB more rows; small files do not fill a window each
		if scanned[1] > scanned[0]+more || scanned[1] > runs*(3*DefaultReadAhead) {
			t.Errorf("%v: a scan of %d rows takes %d bytes, one of %d rows %d", c, rows, scanned[0], 10*rows, scanned[1])
		}
		if sought[1] > sought[0]+more {
			t.Errorf("%v: lookups among %d rows take %d bytes, among %d %d", c, rows, sought[0], 10*rows, sought[1])
		}
	}
}

// allocated is how many bytes f allocates in all, kept or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
