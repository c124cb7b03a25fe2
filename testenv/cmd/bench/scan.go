//go:build rocksdb

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"omsync/openmldb/snapshot"
	"omsync/testenv/rocks"
	"omsync/testenv/tabletsim"
)

// rounds of a comparison: pairs, one after the other; the median of their ratios counts.
const rounds = 3

// scans compares the snapshot reader with RocksDB's own iterator in a C loop: the same files, checksums verified by both, pages in the cache.
func scans(dir string, rows int) (out []figure, err error) {
	for _, c := range []struct {
		name     string
		compress int
	}{{"plain", rocks.CompressNone}, {"lz4", rocks.CompressLZ4}} {
		f, err := scanPair(filepath.Join(dir, c.name), c.name, c.compress, rows)
		if err != nil {
			return nil, fmt.Errorf("compare scans, %s: %w", c.name, err)
		}
		out = append(out, f...)
	}
	return out, nil
}

func scanPair(dir, name string, compress, rows int) ([]figure, error) {
	s, err := tabletsim.NewSchema(spec(1))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	o := rocks.Tablet()
	o.AutoCompact, o.Compression = true, compress
	family := s.Indexes[0].Name
	db, err := rocks.Open(filepath.Join(dir, "data"), []string{family}, o)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	size, err := put(db, s, 0, rows)
	if err != nil {
		return nil, err
	}
	checkpoint := filepath.Join(dir, "checkpoint")
	if err := db.Checkpoint(checkpoint); err != nil {
		return nil, err
	}
	ours, err := snapshot.Open(snapshot.OS(), checkpoint, snapshot.Options{})
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	theirs := func() error {
		n, _, err := db.Walk(family)
		if err == nil && n != uint64(rows) {
			err = fmt.Errorf("RocksDB has %d rows of %d", n, rows)
		}
		return err
	}
	var mine, ratios []float64
	for round := range rounds + 1 {
		a, err := cpuOf(theirs)
		if err != nil {
			return nil, err
		}
		b, err := cpuOf(func() error { return walk(ours, family, rows) })
		if err != nil {
			return nil, err
		}
		if round > 0 { // the first brings the pages in
			mine, ratios = append(mine, b.Seconds()), append(ratios, a.Seconds()/b.Seconds())
		}
	}
	return []figure{
		{Name: "scan_" + name, Value: float64(size) / 1e6 / median(mine), Unit: "MB/s"},
		{Name: "scan_" + name + "_to_rocksdb", Value: median(ratios), Unit: "x", Floor: 3},
	}, nil
}

func walk(db *snapshot.DB, family string, rows int) error {
	it, err := db.Scan(snapshot.ScanOptions{Index: snapshot.Index{Family: family}})
	if err != nil {
		return err
	}
	n := 0
	for it.Next() {
		n++
	}
	err = it.Err()
	if e := it.Close(); err == nil {
		err = e
	}
	if err == nil && n != rows {
		err = fmt.Errorf("the snapshot has %d rows of %d", n, rows)
	}
	return err
}

// cpuOf is the processor time of this process while f runs.
func cpuOf(f func() error) (time.Duration, error) {
	before, err := ownCPU()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := ownCPU()
	return after - before, err
}

func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("own processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
