package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/cluster"
	"omsync/testenv/load"
	"omsync/testenv/tabletsim"
)

func ttlType(abs, lat int) typepb.TTLType {
	switch {
	case abs > 0 && lat > 0:
		return typepb.TTLType_kAbsAndLat
	case lat > 0:
		return typepb.TTLType_kLatestTime
	}
	return typepb.TTLType_kAbsoluteTime
}

// startTimeout is how long ZooKeeper may take to answer at all.
const startTimeout = 30 * time.Second

func run(ctx context.Context, args []string, out io.Writer) error {
	c, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cl, err := cluster.Start(starting, cluster.Options{
		Servers: strings.Split(c.zk, ","), Root: c.root, Dir: c.dir, Tablets: c.tablets, UseNames: c.names, SessionTimeout: c.sessionTimeout,
		Partition: tabletsim.PartitionOptions{LogBytes: c.logBytes, Jitter: c.jitter},
	})
	if err != nil {
		return err
	}
	err = serve(ctx, c, cl, out)
	return errors.Join(err, cl.Close())
}

func serve(ctx context.Context, c conf, cl *cluster.Cluster, out io.Writer) error {
	tables, err := c.open(cl)
	if err != nil {
		return err
	}
	for i := range cl.Tablets() {
		fmt.Fprintf(out, "tablet %d: %s at %s\n", i, cl.Tablet(i).Endpoint(), cl.Tablet(i).Addr())
	}
	g, ctx := errgroup.WithContext(ctx)
	var writers []*load.Writer
	for i, t := range tables {
		s := t.Schema()
		fmt.Fprintf(out, "table %s.%s: tid %d, %d partitions\n", s.DB, s.Name, s.TID, s.Partitions)
		if c.rate != 0 {
			mix := load.Usual
			w, err := load.New(t, load.Options{Mix: mix, Seed: c.seed + uint64(i), Writers: c.writers, Rate: max(0, c.rate), Keys: c.keys})
			if err != nil {
				return err
			}
			writers = append(writers, w)
			g.Go(func() error { return w.Run(ctx) })
		}
		if c.snapshotEvery > 0 && tabletsim.DefaultEngine().Writes() {
			g.Go(func() error {
				return each(ctx, c.snapshotEvery, s.Partitions, func(pid uint32) error { _, err := t.Snapshot(pid); return err })
			})
		}
		if c.trimEvery > 0 {
			g.Go(func() error {
				return each(ctx, c.trimEvery, s.Partitions, func(pid uint32) error { _, err := t.Leader(pid).TrimLogs(); return err })
			})
		}
	}
	fmt.Fprintln(out, "ready")
	g.Go(func() error { return progress(ctx, c.every, writers, out) })
	return g.Wait()
}

func (c conf) open(cl *cluster.Cluster) ([]*cluster.Table, error) {
	var out []*cluster.Table
	for _, s := range c.tables {
		t, _, err := load.Create(cl, s)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	for i, v := range c.serve {
		names := make([]string, v.partitions)
		for pid := range names {
			names[pid] = fmt.Sprintf("%d_%d", v.tid, pid)
		}
		dirs, err := cluster.CopyFixture(v.from, filepath.Join(c.dir, fmt.Sprintf("served%d", i)), names...)
		if err != nil {
			return nil, err
		}
		s, err := dirs.Schema(v.db, v.name, 0)
		if err != nil {
			return nil, err
		}
		t, err := cl.Serve(s, dirs.Dirs)
		if err != nil {
			return nil, err
		}
		tag := v.tag
		if tag == "" {
			if tag, err = load.FreeColumn(s); err != nil {
				return nil, err
			}
		}
		if _, err := load.Keep(t, tag); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// each goes through the partitions once per period, one after the other.
func each(ctx context.Context, period time.Duration, partitions int, do func(pid uint32) error) error {
	t := time.NewTicker(period / time.Duration(partitions))
	defer t.Stop()
	for pid := 0; ; pid = (pid + 1) % partitions {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := do(uint32(pid)); err != nil {
			return err
		}
	}
}

func progress(ctx context.Context, every time.Duration, writers []*load.Writer, out io.Writer) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		var s load.Stats
		for _, w := range writers {
			x := w.Stats()
			s.Puts += x.Puts
			s.Rewrites += x.Rewrites
			s.Deletes += x.Deletes
		}
		if _, err := fmt.Fprintf(out, "puts %d (rewrites %d), deletes %d\n", s.Puts, s.Rewrites, s.Deletes); err != nil {
			return fmt.Errorf("print progress: %w", err)
		}
	}
}
