//go:build rocksdb

package snapshot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"omsync/openmldb/snapshot"
	"omsync/testenv/rocks"
)

var workloads = flag.Uint64("workloads", 40, "number of random histories to play against RocksDB")

// TestAgainstRocksDB: after any history of writes, flushes and compactions, in any table format, RocksDB's iterator on the database and ours on its
// checkpoint give the same rows in the same order; so do lookups and scans from and to any key.
func TestAgainstRocksDB(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	read := map[string]int{}
	t.Run("workloads", func(t *testing.T) { // returns when all have
		for seed := range *workloads {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				w := newWorkload(t, seed)
				w.play()
				db := w.check()
				mu.Lock()
				defer mu.Unlock()
				read[fmt.Sprint("format_version ", w.opts.Format)]++
				w.must(db.Kinds(read))
			})
		}
	})
	if *workloads < 40 || t.Failed() {
		return
	}
	want := []string{"format_version 2", "format_version 3", "format_version 4", "format_version 5", "level 0", "level 1", "range tombstones", "two-level index", "index with first keys"}
	for _, c := range []string{"none", "snappy", "lz4", "lz4hc"} {
		for _, sum := range []string{"no checksum", "CRC32C", "xxHash", "xxHash64", "XXH3"} {
			want = append(want, c+" with "+sum)
		}
	}
	for _, kind := range want {
		if read[kind] == 0 {
			t.Errorf("no workload came to %s: %v", kind, read)
		}
	}
}

var workFamilies = []string{"i0", "i1", "i2"}

type workload struct {
	t    *testing.T
	rnd  *rand.Rand
	dir  string
	opts rocks.Options
	db   *rocks.DB
	pks  [][]byte
	tss  []uint64
	vmax int
	n    int        // of names given
	once []rocks.KV // keys that were put once, and their families
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func newWorkload(t *testing.T, seed uint64) *workload {
	w := &workload{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir()}
	r := w.rnd
	o := rocks.Tablet()
	// Every kind and checksum comes up, whatever the random numbers.
	o.Compression = []int{rocks.CompressNone, rocks.CompressSnappy, rocks.CompressLZ4, rocks.CompressLZ4HC}[seed%4]
	o.Checksum = int(seed/4) % 5
	o.Index = []int{rocks.IndexBinary, rocks.IndexBinary, rocks.IndexTwoLevel, rocks.IndexFirstKey}[(seed/3)%4]
	o.Format = pick(r, 5, 5, 5, 4, 3, 2)
	o.BlockSize = pick(r, 64, 512, 4<<10, 64<<10, 256<<10)
	o.IndexBlockSize = pick(r, 64, 512, 4<<10)
	o.RestartInterval = pick(r, 1, 3, 16)
	o.IndexRestart = pick(r, 1, 1, 4)
	o.SharedKeys = r.IntN(2) == 0
	o.FileSize = pick(r, 2<<10, 16<<10, 64<<20)
	o.LevelBase = pick(r, 8<<10, 256<<20)
	o.L0Trigger = pick(r, 2, 4, 16)
	o.AutoCompact = r.IntN(2) == 0
	w.opts = o
	for range pick(r, 3, 30, 200) {
		pk := make([]byte, r.IntN(12))
		for i := range pk {
			pk[i] = pick[byte](r, 0, 'a', 'a', 'b', '|', 0xff)
		}
		w.pks = append(w.pks, pk)
	}
	w.tss = []uint64{0, 1, 255, 256, 1 << 32, 1<<63 - 1, 1 << 63, ^uint64(0)}
	for range pick(r, 2, 30, 500) {
		w.tss = append(w.tss, 1_700_000_000_000+r.Uint64N(1<<20))
	}
	w.vmax = pick(r, 8, 100, 400)
	db, err := rocks.Open(filepath.Join(w.dir, "db"), workFamilies, o)
	if err != nil {
		t.Fatal(err)
	}
	w.db = db
	t.Cleanup(db.Close)
	return w
}

func (w *workload) key() []byte {
	pk := pick(w.rnd, w.pks...)
	return binary.LittleEndian.AppendUint64(bytes.Clone(pk), pick(w.rnd, w.tss...))
}

func (w *workload) value() []byte {
	n := w.rnd.IntN(w.vmax)
	if w.rnd.IntN(200) == 0 {
		n = 20_000
	}
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(w.rnd.Uint32()) % 16 // so that compression pays
	}
	return v
}

func (w *workload) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *workload) play() {
	r := w.rnd
	for range 300 + r.IntN(2500) {
		f := pick(r, workFamilies...)
		switch x := r.IntN(1000); {
		case x < 800:
			w.must(w.db.Put(f, w.key(), w.value()))
		case x < 870:
			w.must(w.db.Delete(f, w.key()))
		case x < 890: // only for keys that were put once, or RocksDB refuses to compact
			w.n++
			once := fmt.Appendf(nil, "once%d-12345678", w.n)
			w.must(w.db.Put(f, once, w.value()))
			w.once = append(w.once, rocks.KV{Key: once, Value: []byte(f)})
			if o := pick(r, w.once...); r.IntN(2) == 0 {
				w.must(w.db.SingleDelete(string(o.Value), o.Key))
				w.once = slices.DeleteFunc(w.once, func(x rocks.KV) bool { return bytes.Equal(x.Key, o.Key) })
			}
		case x < 930: // as a tablet does: some versions of one pk
			a, b := w.key(), w.key()
			b = append(bytes.Clone(a[:len(a)-8]), b[len(b)-8:]...)
			w.deleteRange(f, a, b)
		case x < 950:
			w.deleteRange(f, w.key(), w.key())
		case x < 975:
			w.must(w.db.Flush(f))
		case x < 980:
			a, b := w.key(), w.key()
			if snapshot.Compare(a, b) > 0 {
				a, b = b, a
			}
			w.db.Compact(f, a, b)
		case x < 982:
			w.db.Compact(f, nil, nil)
		case x < 987:
			w.db.Hold()
		case x < 990:
			w.db.Release()
		case x < 993:
			w.ingest(f)
		}
	}
}

func (w *workload) deleteRange(family string, a, b []byte) {
	if snapshot.Compare(a, b) > 0 {
		a, b = b, a
	}
	w.must(w.db.DeleteRange(family, a, b))
}

func (w *workload) ingest(family string) {
	var rows []rocks.KV
	for range 1 + w.rnd.IntN(20) {
		rows = append(rows, rocks.KV{Key: w.key(), Value: w.value()})
	}
	slices.SortFunc(rows, func(a, b rocks.KV) int { return snapshot.Compare(a.Key, b.Key) })
	rows = slices.CompactFunc(rows, func(a, b rocks.KV) bool { return bytes.Equal(a.Key, b.Key) })
	w.n++
	w.must(w.db.Ingest(family, filepath.Join(w.dir, fmt.Sprintf("ingest%d.sst", w.n)), rows))
}

func (w *workload) check() *snapshot.DB {
	t, dir := w.t, filepath.Join(w.dir, "checkpoint")
	w.must(w.db.Checkpoint(dir))
	db, err := snapshot.Open(snapshot.OS(), dir, snapshot.Options{OpenFiles: pick(w.rnd, 1, 64), ReadAhead: pick(w.rnd, 1, 1000, 0)})
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	for _, f := range workFamilies {
		want := w.rows(f)
		ix := snapshot.Index{Family: f}
		compareRows(t, "scan", collect(t, db, snapshot.ScanOptions{Index: ix}), want)
		for range 20 {
			after, before := w.key(), w.key()
			if len(want) > 0 && w.rnd.IntN(2) == 0 {
				after = pick(w.rnd, want...).Key
			}
			o, part := snapshot.ScanOptions{Index: ix, After: after}, want
			part = part[countTo(part, after, true):]
			if w.rnd.IntN(2) == 0 {
				o.Before = before
				part = part[:countTo(part, before, false)]
			}
			compareRows(t, fmt.Sprintf("scan (%x, %x)", after, o.Before), collect(t, db, o), part)
		}
		for range 100 {
			key := w.key()
			got, ok, err := db.Get(ix, key[:len(key)-8], binary.LittleEndian.Uint64(key[len(key)-8:]))
			w.must(err)
			value, there, err := w.db.Get(f, key)
			w.must(err)
			if ok != there || !bytes.Equal(got, value) {
				t.Fatalf("%s %x: got %v %x, RocksDB %v %x (%+v)", f, key, ok, got, there, value, w.opts)
			}
		}
	}
	return db
}

// countTo counts the rows before key, and the one with it if upTo.
func countTo(rows []rocks.KV, key []byte, upTo bool) int {
	return len(slices.Collect(func(yield func(int) bool) {
		for i, r := range rows {
			if c := snapshot.Compare(r.Key, key); c < 0 || upTo && c == 0 {
				if !yield(i) {
					return
				}
			}
		}
	}))
}

func (w *workload) rows(family string) []rocks.KV {
	var out []rocks.KV
	w.must(w.db.Scan(family, nil, func(k, v []byte) bool {
		out = append(out, rocks.KV{Key: k, Value: v})
		return true
	}))
	return out
}

func collect(t *testing.T, db *snapshot.DB, o snapshot.ScanOptions) []rocks.KV {
	t.Helper()
	it, err := db.Scan(o)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var out []rocks.KV
	for it.Next() {
		out = append(out, rocks.KV{Key: bytes.Clone(it.Key()), Value: bytes.Clone(it.Value())})
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	return out
}

func compareRows(t *testing.T, what string, got, want []rocks.KV) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !bytes.Equal(got[i].Key, want[i].Key) || !bytes.Equal(got[i].Value, want[i].Value) {
			t.Fatalf("%s, row %d: got %x = %.40x, want %x = %.40x", what, i, got[i].Key, got[i].Value, want[i].Key, want[i].Value)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
}

// TestRefused: what RocksDB can write and we do not read is refused by name.
func TestRefused(t *testing.T) {
	t.Parallel()
	row := func(i int) ([]byte, []byte) {
		return binary.BigEndian.AppendUint64([]byte("pk"), uint64(i)), bytes.Repeat([]byte("12345678"), 50)
	}
	for _, c := range []struct {
		name   string
		change func(*rocks.Options)
		write  func(*rocks.DB) error
		want   string
	}{
		{name: "zlib", change: func(o *rocks.Options) { o.Compression = rocks.CompressZlib }, want: "compression zlib"},
		{name: "zstd", change: func(o *rocks.Options) { o.Compression = rocks.CompressZSTD }, want: "compression zstd"},
		{name: "version 0", change: func(o *rocks.Options) { o.Format = 0 }, want: "format_version 0"},
		{name: "version 1", change: func(o *rocks.Options) { o.Format, o.Checksum = 1, rocks.ChecksumXXHash }, want: "format_version 1"},
		{name: "dictionary", change: func(o *rocks.Options) { o.Compression, o.DictBytes, o.BlockSize = rocks.CompressLZ4, 4096, 1024 }, want: "compression dictionary"},
		{name: "merge", write: func(db *rocks.DB) error { k, _ := row(7); return db.Add("i0", k, 1) }, want: "merge operand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := rocks.Tablet()
			if c.change != nil {
				c.change(&o)
			}
			dir := t.TempDir()
			rdb, err := rocks.Open(filepath.Join(dir, "db"), []string{"i0"}, o)
			if err != nil {
				t.Fatal(err)
			}
			defer rdb.Close()
			for i := range 1000 {
				k, v := row(i)
				if err := rdb.Put("i0", k, v); err != nil {
					t.Fatal(err)
				}
			}
			if err := rdb.Flush("i0"); err != nil {
				t.Fatal(err)
			}
			if c.write != nil {
				if err := c.write(rdb); err != nil {
					t.Fatal(err)
				}
			} else {
				rdb.Compact("i0", nil, nil)
			}
			if err := rdb.Checkpoint(filepath.Join(dir, "cp")); err != nil {
				t.Fatal(err)
			}
			db, err := snapshot.Open(snapshot.OS(), filepath.Join(dir, "cp"), snapshot.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			it, err := db.Scan(snapshot.ScanOptions{Index: snapshot.Index{Family: "i0"}})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for it.Next() {
				n++
			}
			var u *snapshot.UnsupportedError
			if !errors.As(it.Err(), &u) || !bytes.Contains([]byte(u.What), []byte(c.want)) || filepath.Ext(u.File) != ".sst" {
				t.Fatalf("%d rows, then %v; want %s", n, it.Err(), c.want)
			}
		})
	}
}
