package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"omsync/rpc/omsyncpb"
	"omsync/testenv/cluster"
	"omsync/testenv/daemons"
	"omsync/testenv/ledger"
	"omsync/testenv/load"
	"omsync/testenv/memzk"
	"omsync/testenv/scene"
	"omsync/tui/state"
)

// audience is told what happens.
type audience interface {
	Event(format string, args ...any)
	Show(now snapshot)
	// Applause is called when all is verified. It returns when the audience has seen enough, which may be at once.
	Applause(ctx context.Context)
}

// snapshot is what the live table shows.
type snapshot struct {
	Subtasks []state.Subtask
	Puts     int64
}

// result is the ledgers' word on all tables.
type result = ledger.Result

// tables are served from what real tablets left: 102 has four indexes, and rows in snapshot and log; 112 has no snapshot in one partition, logs that
// were trimmed, a restart, a torn tail.
var tables = []struct {
	name    string
	fixture []string // a directory for each partition
	mode    int
}{
	{"orders", []string{"102_0", "102_1", "102_2", "102_3"}, 0},
	{"events", []string{"112_0", "112_1", "112_2", "112_7"}, 2},
}

// tell plays the whole story below dir.
func tell(ctx context.Context, c conf, dir string, a audience) (_ *result, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("not done after %v", c.timeout))
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
	}()
	root, err := daemons.Root()
	if err != nil {
		return nil, err
	}
	a.Event("building the daemons")
	bin := filepath.Join(dir, "bin")
	if err := daemons.Build(ctx, bin, daemons.BuildOptions{}, "cmd/data_collector", "cmd/synctool"); err != nil {
		return nil, err
	}
	zk, err := memzk.Start(memzk.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, zk.Close()) }()
	s, err := scene.Start(ctx, scene.Options{Dir: dir, Bin: bin, ZK: zk.Addr(), Cluster: cluster.Options{Tablets: 2}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	d := &demo{c: c, a: a, scene: s}
	return d.play(ctx, filepath.Join(root, "testdata", "disk"), dir)
}

type demo struct {
	c       conf
	a       audience
	scene   *scene.Scene
	writers []*load.Writer
	tasks   []*scene.Task
	daemons []*scene.Daemon
}

func (d *demo) play(ctx context.Context, fixtures, dir string) (*result, error) {
	for i, t := range tables {
		if err := d.table(i, t.name, t.fixture, fixtures, dir); err != nil {
			return nil, err
		}
	}
	// Whatever fails ends the rest; the end of the story stops the writers.
	g, gctx := errgroup.WithContext(ctx)
	writing, rest := context.WithCancel(gctx)
	defer rest()
	for _, w := range d.writers {
		g.Go(func() error { return w.Run(writing) })
	}
	showing, hide := context.WithCancel(gctx)
	defer hide()
	var sum *result
	g.Go(func() (err error) {
		defer hide()
		defer rest()
		sum, err = d.act(gctx, rest)
		return err
	})
	g.Go(func() error { d.show(showing); return nil })
	return sum, g.Wait()
}

// table makes a table of a fixture's directories and a writer to it.
func (d *demo) table(i int, name string, fixture []string, fixtures, dir string) error {
	served, err := cluster.CopyFixture(fixtures, filepath.Join(dir, "served", name), fixture...)
	if err != nil {
		return err
	}
	schema, err := served.Schema("demo", name, uint32(10+i))
	if err != nil {
		return err
	}
	t, err := d.scene.Cluster.Serve(schema, served.Dirs)
	if err != nil {
		return err
	}
	tag, err := load.FreeColumn(schema)
	if err != nil {
		return err
	}
	rows, err := load.Keep(t, tag)
	if err != nil {
		return err
	}
	for pid, dir := range served.Dirs {
		if err := rows.SeedFixture(uint32(pid), t.Leader(uint32(pid)).Endpoint(), dir); err != nil {
			return err
		}
	}
	w, err := load.New(t, load.Options{Mix: load.Usual, Seed: uint64(i + 1), Writers: 4, Rate: float64(d.c.rows) / 30, Keys: 2000})
	if err != nil {
		return err
	}
	d.writers = append(d.writers, w)
	d.tasks = append(d.tasks, &scene.Task{Table: t, Mode: tables[i].mode})
	return nil
}

func (d *demo) puts() (n int64) {
	for _, w := range d.writers {
		n += w.Stats().Puts
	}
	return n
}

// act is what an operator would do, and three accidents.
func (d *demo) act(ctx context.Context, rest func()) (*result, error) {
	for i := range 2 {
		c, err := d.scene.StartCollector(ctx, fmt.Sprintf("collector%d", i+1), i, nil)
		if err != nil {
			return nil, err
		}
		d.daemons = append(d.daemons, c)
		d.a.Event("data_collector on the host of tablet %d: %s", i+1, c.Addr)
	}
	st, err := d.scene.StartSynctool(ctx, "synctool", nil)
	if err != nil {
		return nil, err
	}
	d.daemons = append(d.daemons, st)
	d.a.Event("synctool: %s", st.Addr)
	if err := d.written(ctx, 0.3); err != nil {
		return nil, err
	}
	for i, t := range d.tasks {
		if d.tasks[i], err = d.scene.Create(ctx, *t); err != nil {
			return nil, err
		}
		d.a.Event("created: %s, mode %d, to %s, with %d rows written so far", t.Name(), t.Mode, d.tasks[i].Dest, d.puts())
	}
	for i, victim := range d.daemons {
		if err := d.accident(ctx, victim); err != nil {
			return nil, err
		}
		if err := d.written(ctx, 0.3+0.2*float64(i+1)); err != nil {
			return nil, err
		}
	}
	full, endless := d.tasks[0], d.tasks[1]
	if err := full.Ended(ctx); err != nil {
		return nil, err
	}
	d.a.Event("%s (mode 0) has reached SUCCESS and is gone", full.Name())
	if err := d.exported(ctx); err != nil {
		return nil, err
	}
	rest()
	if err := endless.Holds(ctx); err != nil {
		return nil, err
	}
	d.a.Event("%s (mode 2) holds every acknowledged row", endless.Name())
	sum, err := d.verify(ctx)
	if err != nil {
		return sum, err
	}
	d.a.Applause(ctx)
	return sum, nil
}

// accident kills a daemon without a word and starts it again.
func (d *demo) accident(ctx context.Context, victim *scene.Daemon) error {
	before, err := d.committed(ctx)
	if err != nil {
		return err
	}
	err = daemons.Until(ctx, "rows are committed", 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		now, err := d.committed(ctx)
		return now > before || now > 0 && before == 0, err
	})
	if err != nil {
		return err
	}
	d.a.Event("kill -9 %s", victim.Name)
	if err := victim.Bounce(); err != nil {
		return err
	}
	if err := victim.Serves(ctx); err != nil {
		return err
	}
	d.a.Event("%s is up again", victim.Name)
	return nil
}

// committed rows of the task that does not end.
func (d *demo) committed(ctx context.Context) (rows uint64, err error) {
	v, err := d.tasks[1].View(ctx)
	for _, s := range v.GetSubtasks() {
		rows += s.GetCounters().GetRows()
	}
	return rows, err
}

// written waits until a share of the rows is.
func (d *demo) written(ctx context.Context, share float64) error {
	return daemons.Until(ctx, "rows are written", 50*time.Millisecond, func(context.Context) (bool, error) {
		return float64(d.puts()) >= share*float64(d.c.rows), nil
	})
}

// exported waits until the files of both tables hold as many rows as were asked for.
func (d *demo) exported(ctx context.Context) error {
	return daemons.Until(ctx, "enough rows are exported", 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		var rows uint64
		for _, t := range d.tasks {
			n, err := t.Committed(ctx)
			if err != nil {
				return false, err
			}
			rows += n
		}
		return rows >= uint64(d.c.rows), nil
	})
}

// show keeps the live table.
func (d *demo) show(ctx context.Context) {
	for ctx.Err() == nil {
		var list *omsyncpb.ListResponse
		err := d.scene.Ask(ctx, func(ctx context.Context, c omsyncpb.SyncToolClient) (err error) {
			list, err = c.List(ctx, &omsyncpb.ListRequest{})
			return err
		})
		if err == nil {
			d.a.Show(snapshot{Subtasks: state.SubtasksOf(list), Puts: d.puts()})
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (d *demo) verify(ctx context.Context) (*result, error) {
	sum := &result{}
	for _, t := range d.tasks {
		report, err := t.Verify(ctx, 0)
		if err != nil {
			return nil, err
		}
		r := report.Sum()
		d.a.Event("%s: %d rows in the files, %d of them must be there; lost %d, duplicate %d, made up %d", t.Name(), r.Rows, r.Must, r.Lost, r.Duplicate, r.Phantom)
		if err := report.Err(); err != nil {
			d.a.Event("%v", err)
		}
		sum.Rows += r.Rows
		sum.Must += r.Must
		sum.Lost += r.Lost
		sum.Duplicate += r.Duplicate
		sum.Phantom += r.Phantom
	}
	return sum, nil
}
