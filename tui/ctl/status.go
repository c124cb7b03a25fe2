package ctl

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/rpc/omsyncpb"
	"omsync/tui/state"
)

const statusHelp = `
Shows every partition of every task, then one line per task. LAG is in log entries; UPDATED is how long ago the collector was heard.

Examples:
  omsync-tui ctl status
  omsync-tui ctl status -t demo.orders
  omsync-tui ctl status -o json | jq '.items[] | select(.state == "FAILED") | {table, pid, code, reason}'`

func (e *Env) status() *cli.Command {
	return e.verb("status", "show the partitions of all tasks", statusHelp, "t", nil, func(ctx context.Context, cmd *cli.Command) error {
		asJSON, err := wantsJSON(cmd)
		if err != nil {
			return err
		}
		q, err := listRequest(cmd)
		if err != nil {
			return err
		}
		return e.withServer(ctx, cmd, func(ctx context.Context, s *session) error {
			r, err := list(ctx, s, q)
			if err != nil {
				return err
			}
			if asJSON {
				return e.json("SubtaskList", "synctool", state.SubtasksOf(r))
			}
			if len(r.GetTasks()) == 0 {
				e.say("no task")
				return nil
			}
			if err := e.subtaskTable(state.SubtasksOf(r)); err != nil {
				return err
			}
			e.Out.Write([]byte("\n"))
			return e.taskTable(state.TasksOf(r))
		})
	})
}

// listRequest reads the optional -t.
func listRequest(cmd *cli.Command) (*omsyncpb.ListRequest, error) {
	q := &omsyncpb.ListRequest{}
	if cmd.IsSet("t") {
		var err error
		if q.Db, q.Table, err = tableName(cmd.String("t")); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// list asks for tasks; one table that was asked for and has none is NotFound.
func list(ctx context.Context, s *session, q *omsyncpb.ListRequest) (*omsyncpb.ListResponse, error) {
	call, cancel := short(ctx)
	defer cancel()
	r, err := s.api.List(call, q)
	if err == nil && q.Table != "" && len(r.GetTasks()) == 0 {
		err = status.Errorf(codes.NotFound, "%s.%s has no task", q.Db, q.Table)
		if q.Finished {
			err = status.Errorf(codes.NotFound, "%s.%s has no task that ended in the last 7 days", q.Db, q.Table)
		}
	}
	return r, err
}

func (e *Env) subtaskTable(all []state.Subtask) error {
	var lines [][]string
	for _, s := range all {
		lines = append(lines, []string{
			s.Name(), strconv.FormatUint(uint64(s.PID), 10), s.State, s.Phase, s.Point, state.Lag(s.LagEntries), state.Count(s.Counters.Rows),
			state.Rate(s.RowsPerSecond), state.Age(e.Now(), s.Updated()), s.Collector, s.Why(),
		})
	}
	return table(e.Out, "TABLE PID STATE PHASE POINT LAG ROWS ROWS/S UPDATED COLLECTOR REASON", lines)
}

func (e *Env) taskTable(all []state.Task) error {
	var lines [][]string
	for _, t := range all {
		lines = append(lines, []string{
			t.Name(), strconv.FormatUint(uint64(t.TID), 10), strconv.Itoa(int(t.Mode)), t.State, strconv.Itoa(t.Done) + "/" + strconv.Itoa(t.Partitions),
			state.Count(t.Rows), state.Rate(t.RowsPerSecond), state.Lag(t.LagEntries), state.Age(e.Now(), t.Updated()), t.TaskID, t.Dest,
		})
	}
	return table(e.Out, "TABLE TID MODE STATE DONE ROWS ROWS/S LAG UPDATED TASK DEST", lines)
}
