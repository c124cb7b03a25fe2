//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"omsync/failpoint"
	"omsync/rpc/omsyncpb"
	"omsync/testenv/load"
	"omsync/testenv/scene"
)

type contextT = context.Context

// chain is a place to be killed at, and those the same process dies at when it is started again.
type chain struct {
	places []string
	log    bool // the first place is armed once the task is in the log phase; else before it is created, so that a scan meets it
}

func (c chain) String() string {
	s := strings.ReplaceAll(strings.Join(c.places, ","), "/", "-")
	if c.log {
		s += "-log"
	}
	return s
}

// last is the place that the chain is about.
func (c chain) last() string { return c.places[len(c.places)-1] }

// segment are the places of one segment's way (docs/design.md §5.3): scan and log phase pass them alike.
var segment = []string{
	"synctool/row", "synctool/roll", "synctool/spool", "synctool/create", "synctool/write", "synctool/close", "synctool/stat", "synctool/decide-before",
	"synctool/decide-after", "synctool/rename-before", "synctool/rename-after", "synctool/ack", "synctool/mirror", "synctool/clear",
}

// mode0 are the places that only a task's end passes.
var mode0 = []string{"synctool/success", "synctool/finished", "synctool/retire"}

// removed are the places that only a task's removal passes.
var removed = []string{"collector/clean"}

// chains of a daemon: every place of failpoint.Names. Those of a takeover are reached by a process that finds something to take over.
func chains(daemon string) []chain {
	// Those of the collector have a name for each phase.
	before := map[string][]string{
		"synctool/epoch":   {"synctool/row"},
		"synctool/recover": {"synctool/decide-after"},
		"synctool/sweep":   {"synctool/stat"},
	}
	var out []chain
	for _, name := range failpoint.Names {
		if strings.HasPrefix(name, daemon+"/") {
			out = append(out, chain{places: append(before[name], name)})
			if slices.Contains(segment, name) {
				out = append(out, chain{places: []string{name}, log: true})
			}
		}
	}
	return out
}

// arm makes the environment for one place. The log says that it was reached.
func arm(dir, name string) []string {
	return []string{"OMSYNC_FAILPOINTS=" + name + "=kill", "OMSYNC_FAILPOINTS_LOG=" + filepath.Join(dir, "failpoints.log")}
}

// TestKilledCollector and TestKilledSynctool: kill -9 at every numbered step of docs/design.md §5, each in an export of its own that is written all
// the while, without and with a standby beside the victim.
func TestKilledCollector(t *testing.T) { killed(t, "collector") }
func TestKilledSynctool(t *testing.T)  { killed(t, "synctool") }

// lanes share the chains: each lane is a scene of its own, one chain after the other.
const lanes = 2

func killed(t *testing.T, daemon string) {
	t.Parallel()
	for _, standby := range []bool{false, true} {
		for lane := range lanes {
			name := fmt.Sprintf("alone%d", lane)
			if standby {
				name = fmt.Sprintf("standby%d", lane)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				v := newVictim(t, daemon, standby)
				for i, c := range chains(daemon) {
					if i%lanes == lane {
						t.Run(c.String(), func(t *testing.T) { v.play(t, c) })
					}
				}
			})
		}
	}
}

// victim is a scene with one table and the daemon that is killed.
type victim struct {
	kit    *kit
	daemon string
	who    *scene.Daemon
	other  *scene.Daemon // the standby, nil without
	n      int
}

func newVictim(t *testing.T, daemon string, standby bool) *victim {
	k := newScene(t, 1, scene.Options{})
	v := &victim{kit: k, daemon: daemon}
	start := k.synctool
	if daemon == "collector" {
		k.synctool("s")
		start = func(name string, env ...string) *scene.Daemon { return k.collector(name, 0, env...) }
	} else {
		k.collector("c", 0)
	}
	v.who = start("victim")
	if standby {
		v.other = start("standby")
	}
	return v
}

// restart makes the victim the one that works, armed for the first place; a standby beside it is armed for the second.
func (v *victim) restart(k *kit, c chain) {
	k.Helper()
	if v.other != nil {
		k.must(v.other.Kill())
	}
	k.must(v.who.Bounce(arm(k.dir, c.places[0])...))
	k.must(v.who.Serves(k.ctx))
	if v.other == nil {
		return
	}
	var env []string
	if len(c.places) > 1 {
		env = arm(k.dir, c.places[1])
	}
	k.must(v.other.Start(env...))
	k.must(v.other.Serves(k.ctx))
}

func (v *victim) play(t *testing.T, c chain) {
	k := &kit{TB: t, Scene: v.kit.Scene, dir: v.kit.dir}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k.ctx = ctx
	k.onFailure(v.who)
	log := filepath.Join(k.dir, "failpoints.log")
	k.must(os.RemoveAll(log))
	v.n++
	tb := k.table(load.Wide("db", fmt.Sprintf("t%d_%s", v.n, strings.NewReplacer("/", "_", "-", "_").Replace(c.last())), 2, 1))
	o := load.Options{Mix: load.Usual, Keys: 100}
	k.write(tb, 300, o)
	k.snapshots(tb)
	k.write(tb, 100, o)
	o.Rate = 200
	stop := k.writing(tb, o)

	mode := 2
	if slices.Contains(mode0, c.last()) {
		mode = 0
	}
	if !c.log {
		v.restart(k, c)
	}
	task := k.create(scene.Task{Table: tb, Mode: mode})
	if c.log {
		k.must(task.Holds(k.ctx))
		v.restart(k, c)
	}
	if slices.Contains(removed, c.last()) {
		k.must(task.Holds(k.ctx))
		stop()
		k.must(task.Holds(k.ctx))
		k.verify(task, 300, 0)
		v.drop(k, task)
	}
	v.dies(k, v.who, c.places[0])
	switch {
	case len(c.places) > 1 && v.other != nil:
		v.dies(k, v.other, c.places[1])
		k.must(v.who.Start())
	case len(c.places) > 1:
		k.must(v.who.Start(arm(k.dir, c.places[1])...))
		v.dies(k, v.who, c.places[1])
		k.must(v.who.Start())
	case v.other == nil:
		k.must(v.who.Start())
	}
	if !slices.Contains(removed, c.last()) {
		if mode == 0 {
			k.must(task.Ended(k.ctx))
			stop()
		} else {
			k.must(task.Holds(k.ctx))
			stop()
			k.must(task.Holds(k.ctx))
		}
		k.verify(task, 300, 0)
		if mode != 0 {
			v.drop(k, task)
		}
	}
}

// dies waits for the place to be reached: the process kills itself there.
func (v *victim) dies(k *kit, d *scene.Daemon, name string) {
	k.Helper()
	select {
	case <-d.Process().Done():
	case <-k.ctx.Done():
		k.Fatalf("%s was never reached", name)
	}
	b, err := os.ReadFile(filepath.Join(k.dir, "failpoints.log"))
	k.must(err)
	if !strings.Contains(string(b), name+" kill ") {
		k.Fatalf("the victim has ended, but not at %s:\n%s\n%s", name, b, d.Process().Tail(20))
	}
}

func (v *victim) drop(k *kit, task *scene.Task) {
	k.Helper()
	k.must(k.Ask(k.ctx, func(ctx context.Context, c omsyncpb.SyncToolClient) error {
		_, err := c.Delete(ctx, &omsyncpb.DeleteRequest{Db: task.Table.Schema().DB, Table: task.Table.Schema().Name})
		if err != nil && strings.Contains(err.Error(), "NotFound") {
			return nil // the first call was not answered, though it had its effect
		}
		return err
	}))
}
