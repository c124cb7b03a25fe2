package snapshot

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// benchTables makes runs sorted runs with every runs-th row each, rows of 200 bytes in all; overlap spreads the rows one by one, else in stretches of
// 1,000 rows.
func benchTables(rows, runs int, overlap bool, c compression) []*tableSpec {
	out := make([]*tableSpec, runs)
	for i := range out {
		out[i] = &tableSpec{num: uint64(10 + i), compress: c}
	}
	for i := range rows {
		r := i % runs
		if !overlap {
			r = i / 1000 % runs
		}
		v := make([]byte, 197)
		binary.LittleEndian.PutUint64(v[i%150:], uint64(i)*0x9e3779b97f4a7c15)
		out[r].entries = append(out[r].entries, entry{uk(fmt.Sprintf("user_%08d", i/10), uint64(1_700_000_000_000-i%10)), uint64(i + 1), kindValue, v})
	}
	return out
}

func BenchmarkScan(b *testing.B) {
	const rows = 500_000
	for _, c := range []struct {
		name    string
		runs    int
		overlap bool
		pack    compression
		tomb    bool
		ttl     TTL
	}{
		{name: "one run", runs: 1},
		{name: "one run, snappy", runs: 1, pack: compressSnappy},
		{name: "one run, ttl", runs: 1, ttl: TTL{Kind: 5, Abs: 60_000, Lat: 1000}},
		{name: "one run, tombstones", runs: 1, tomb: true},
		{name: "8 runs, stretches", runs: 8},
		{name: "8 runs, row by row", runs: 8, overlap: true},
	} {
		b.Run(c.name, func(b *testing.B) {
			tables := benchTables(rows, c.runs, c.overlap, c.pack)
			if c.tomb {
				for i := range 1000 {
					tables[0].tombs = append(tables[0].tombs, tombstone{uk(fmt.Sprintf("user_%08d", 50*i), 10), uk(fmt.Sprintf("user_%08d", 50*i), 0), 1 << 30})
				}
			}
			dir := checkpoint(b, tables)
			db := mustOpen(b, dir)
			b.ReportAllocs()
			n, bytes := 0, 0
			for b.Loop() {
				it, err := db.Scan(ScanOptions{Index: Index{Family: "i0", TTL: c.ttl}, NowMs: 1_700_000_000_000})
				if err != nil {
					b.Fatal(err)
				}
				for it.Next() {
					n++
					bytes += len(it.Value())
				}
				if it.Err() != nil {
					b.Fatal(it.Err())
				}
			}
			if n != rows*b.N {
				b.Fatalf("%d rows in %d rounds", n, b.N)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			b.ReportMetric(float64(bytes)/b.Elapsed().Seconds()/1e6, "MB/s")
		})
	}
}

// BenchmarkGet looks up rows in ascending order, as the planner does, and in no order.
func BenchmarkGet(b *testing.B) {
	const rows = 200_000
	db := mustOpen(b, checkpoint(b, benchTables(rows, 4, false, compressNone)))
	for _, c := range []struct {
		name string
		step int
	}{{"ascending", 1}, {"scattered", 7919}} {
		b.Run(c.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				n := i * c.step % rows
				pk := fmt.Appendf(nil, "user_%08d", n/10)
				if _, ok, err := db.Get(i0, pk, uint64(1_700_000_000_000-n%10)); !ok || err != nil {
					b.Fatal(n, ok, err)
				}
			}
		})
	}
}
