package ctl

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"omsync/rpc/omsyncpb"
	"omsync/tui/state"
)

func (e *Env) get() *cli.Command {
	return e.quiet(&cli.Command{
		Name:  "get",
		Usage: "list tasks, collectors or tables",
		UsageText: `omsync-tui ctl get tasks [-t db.table] [--finished]
omsync-tui ctl get collectors
omsync-tui ctl get tables --zk host:port [--zk-root /openmldb]`,
		Commands: []*cli.Command{e.getTasks(), e.getCollectors(), e.getTables()},
		Action:   group,
	})
}

const getTasksHelp = `
Examples:
  omsync-tui ctl get tasks
  omsync-tui ctl get tasks --finished           # those that ended in the last 7 days
  omsync-tui ctl get tasks -o json | jq -r '.items[] | select(.state != "RUNNING") | .table'`

func (e *Env) getTasks() *cli.Command {
	return e.verb("tasks", "one line per task", getTasksHelp, "t", []cli.Flag{
		&cli.BoolFlag{Name: "finished", Usage: "tasks that have ended, instead of those at work"},
	}, func(ctx context.Context, cmd *cli.Command) error {
		asJSON, err := wantsJSON(cmd)
		if err != nil {
			return err
		}
		q, err := listRequest(cmd)
		if err != nil {
			return err
		}
		q.Finished = cmd.Bool("finished")
		return e.withServer(ctx, cmd, func(ctx context.Context, s *session) error {
			r, err := list(ctx, s, q)
			if err != nil {
				return err
			}
			tasks := state.TasksOf(r)
			switch {
			case asJSON:
				return e.json("TaskList", "synctool", tasks)
			case len(tasks) == 0 && q.Finished:
				e.say("no task ended in the last 7 days")
				return nil
			case len(tasks) == 0:
				e.say("no task")
				return nil
			case q.Finished:
				return e.finishedTable(tasks)
			}
			return e.taskTable(tasks)
		})
	})
}

func (e *Env) finishedTable(all []state.Task) error {
	var lines [][]string
	for _, t := range all {
		lines = append(lines, []string{
			t.Name(), strconv.FormatUint(uint64(t.TID), 10), strconv.Itoa(int(t.Mode)), t.State, strconv.Itoa(t.Partitions), state.Count(t.Rows),
			strconv.FormatUint(t.Files, 10), t.EndedAt, t.TaskID, t.Dest,
		})
	}
	return table(e.Out, "TABLE TID MODE STATE PARTS ROWS FILES ENDED TASK DEST", lines)
}

func (e *Env) getCollectors() *cli.Command {
	return e.verb("collectors", "data collectors and what they do", "Example:\n  omsync-tui ctl get collectors", "", nil, func(ctx context.Context, cmd *cli.Command) error {
		asJSON, err := wantsJSON(cmd)
		if err != nil {
			return err
		}
		return e.withServer(ctx, cmd, func(ctx context.Context, s *session) error {
			call, cancel := short(ctx)
			defer cancel()
			r, err := s.api.Collectors(call, &omsyncpb.CollectorsRequest{})
			if err != nil {
				return err
			}
			all := state.CollectorsOf(r)
			if asJSON {
				return e.json("CollectorList", "synctool", all)
			}
			if len(all) == 0 {
				e.say("no collector")
				return nil
			}
			var lines [][]string
			for _, c := range all {
				since := time.Time{}
				if c.SinceMs > 0 {
					since = time.UnixMilli(c.SinceMs)
				}
				lines = append(lines, []string{c.Endpoint, c.Host, c.State, yesNo(c.Connected), strconv.FormatUint(uint64(c.Subtasks), 10),
					strconv.FormatUint(uint64(c.Failed), 10), state.Age(e.Now(), since), c.Version, c.DataDir})
			}
			return table(e.Out, "ENDPOINT HOST STATE CONNECTED SUBTASKS FAILED SINCE VERSION DATADIR", lines)
		})
	})
}

const getTablesHelp = `
Reads ZooKeeper, not the synctool. SYNCABLE tells whether create can take the table, and if not, why.

Example:
  omsync-tui ctl get tables --zk 10.0.0.1:2181,10.0.0.2:2181 --zk-root /openmldb`

func (e *Env) getTables() *cli.Command {
	return e.verb("tables", "tables of the cluster, from ZooKeeper", getTablesHelp, "", nil, func(ctx context.Context, cmd *cli.Command) error {
		asJSON, err := wantsJSON(cmd)
		if err != nil {
			return err
		}
		if cmd.IsSet("s") {
			return usage("get tables asks ZooKeeper, not the synctool: give --zk instead of -s")
		}
		if e.Cluster == nil {
			return noZooKeeper("get tables")
		}
		zk, err := e.zooKeeper(cmd)
		if err != nil {
			return err
		}
		bound, cancel, err := e.bounded(ctx, cmd)
		if err != nil {
			return err
		}
		defer cancel()
		tables, err := e.Cluster.Tables(bound, zk)
		if err != nil {
			if over := ended(bound, "asking ZooKeeper at "+strings.Join(zk.Servers, ",")); over != nil {
				return over
			}
			return &Error{ExitUnreachable, fmt.Sprintf("cannot read tables below %s from ZooKeeper at %s: %v", zk.Root, strings.Join(zk.Servers, ","), err)}
		}
		state.SortTables(tables)
		if asJSON {
			return e.json("TableList", "zk", append([]state.Table{}, tables...))
		}
		if len(tables) == 0 {
			e.say("no table below %s", zk.Root)
			return nil
		}
		var lines [][]string
		for _, t := range tables {
			syncable := "yes"
			if !t.Syncable {
				syncable = "no: " + t.Reason
			}
			lines = append(lines, []string{t.DB + "." + t.Table, strconv.FormatUint(uint64(t.TID), 10), t.Storage, strconv.Itoa(t.Partitions), strconv.Itoa(t.Replicas), syncable})
		}
		return table(e.Out, "TABLE TID STORAGE PARTS REPLICAS SYNCABLE", lines)
	})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
