//go:build rocksdb

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"omsync/testenv/cluster"
	"omsync/testenv/daemons"
	"omsync/testenv/ledger"
	"omsync/testenv/memzk"
	"omsync/testenv/scene"
)

// export runs a mode-0 task over a table that no process could hold in the memory that is promised.
func export(ctx context.Context, c conf, dir string) (out []figure, err error) {
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	say("building the daemons")
	bin := filepath.Join(dir, "bin")
	if err := daemons.Build(ctx, bin, daemons.BuildOptions{}, "cmd/data_collector", "cmd/synctool"); err != nil {
		return nil, err
	}
	say("making a table of %d rows in %d partitions", c.rows, c.partitions)
	t, err := makeTable(filepath.Join(dir, "served"), c.rows, c.partitions)
	if err != nil {
		return nil, err
	}
	say("exporting %d MiB of rows", t.bytes>>20)
	zk, err := memzk.Start(memzk.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, zk.Close()) }()
	s, err := scene.Start(ctx, scene.Options{Dir: dir, Bin: bin, ZK: zk.Addr(), Cluster: cluster.Options{Tablets: 1},
		Synctool: daemons.Conf{"segment_age": "60s"}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	served, err := s.Cluster.Serve(t.schema, t.dirs)
	if err != nil {
		return nil, err
	}
	served.SetLedger(ledger.NewTable(ledger.Shape{Name: "bench.orders", Columns: t.schema.AllColumns(), Index: t.schema.Indexes[0]}))
	collector, err := s.StartCollector(ctx, "collector", 0, nil)
	if err != nil {
		return nil, err
	}
	synctool, err := s.StartSynctool(ctx, "synctool", nil)
	if err != nil {
		return nil, err
	}
	var before, after [2]usage
	both := []*scene.Daemon{collector, synctool}
	read := func(into *[2]usage) error {
		for i, d := range both {
			if into[i], err = usageOf(d.Process().PID()); err != nil {
				return err
			}
		}
		return nil
	}
	task := scene.Task{Table: served, Mode: 0}
	if c.dialect == "standard" {
		task.Dialect = ledger.Standard
	}
	if err := read(&before); err != nil {
		return nil, err
	}
	made, err := s.Create(ctx, task)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	profiles := errgroup.Group{}
	if c.profile != "" {
		for _, d := range both {
			profiles.Go(func() error { return profile(ctx, d, c.profile) })
		}
	}
	if err := made.Ended(ctx); err != nil {
		return nil, err
	}
	wall := time.Since(start)
	if err := profiles.Wait(); err != nil {
		return nil, err
	}
	if err := read(&after); err != nil {
		return nil, err
	}
	rows, err := made.Committed(ctx)
	if err != nil {
		return nil, err
	}
	if rows != uint64(c.rows) {
		return nil, fmt.Errorf("%d rows are exported, %d were written", rows, c.rows)
	}
	cpu := (after[0].cpu - before[0].cpu + after[1].cpu - before[1].cpu).Seconds()
	return []figure{
		{Name: "export_table", Value: float64(t.bytes) / (1 << 20), Unit: "MiB"},
		{Name: "export_rows_per_cpu_second", Value: float64(rows) / cpu, Unit: "rows/s", Floor: 500_000},
		{Name: "export_rows_per_second", Value: float64(rows) / wall.Seconds(), Unit: "rows/s"},
		{Name: "export_collector_cpu", Value: (after[0].cpu - before[0].cpu).Seconds(), Unit: "s"},
		{Name: "export_synctool_cpu", Value: (after[1].cpu - before[1].cpu).Seconds(), Unit: "s"},
		{Name: "export_collector_resident", Value: float64(after[0].peak) / (1 << 20), Unit: "MiB", Most: 256},
		{Name: "export_synctool_resident", Value: float64(after[1].peak) / (1 << 20), Unit: "MiB", Most: 256},
	}, nil
}

// profile writes <dir>/<daemon>.pprof.
func profile(ctx context.Context, d *scene.Daemon, dir string) error {
	b, err := d.Get(ctx, "/debug/pprof/profile?seconds=4")
	if err != nil {
		return fmt.Errorf("profile %s: %w", d.Name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("profile %s: %w", d.Name, err)
	}
	return os.WriteFile(filepath.Join(dir, d.Name+".pprof"), []byte(b), 0o644)
}
