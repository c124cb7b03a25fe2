package ctl

import (
	"context"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/omsyncpb"
	"omsync/tui/state"
)

const createHelp = `
Starts to copy a disk table to files. Mode 0 copies the data that is live now and ends in SUCCESS; mode 1 (rows from -ts on) and mode 2
(all rows) go on for ever.

Examples:
  # everything that is in demo.orders now, and wait for the end
  omsync-tui ctl create -t demo.orders -m 0 -d /warehouse/demo/orders --wait=success

  # the last two hours and whatever comes
  omsync-tui ctl create -t demo.orders -m 1 -ts -2h -d /warehouse/demo/orders_recent

  # all rows, and a file of what is deleted from now on beside them
  omsync-tui ctl create -t demo.orders -m 2 -d /warehouse/demo/orders --deletes log

  # what would happen: partitions, their leaders and collectors, and what stands in the way (exit 6)
  omsync-tui ctl create -t demo.orders -m 2 -d hdfs://nn:8020/warehouse/demo/orders --dry-run`

func (e *Env) create() *cli.Command {
	return e.verb("create", "start to copy a table", createHelp, "t m ts d", []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Usage: "check everything and change nothing"},
		&cli.BoolFlag{Name: "allow-nonempty", Usage: "take a destination that holds data files already; rows may then stand there twice"},
		&cli.StringFlag{Name: "format", Usage: "file `format`; default: dest.format of the synctool"},
		&cli.StringFlag{Name: "dialect", Usage: "CSV `dialect`, upstream or standard; default: dest.csv_dialect of the synctool"},
		&cli.StringFlag{Name: "deletes", Usage: "what is done with `deletes` in the log, modes 1 and 2: ignore (they are counted), or log (also written to" +
			" files _deletes-g<generation>-p<pid>-<seq>.jsonl beside the data, one JSON object per line); default: dest.deletes of the synctool"},
		&cli.GenericFlag{Name: "wait", Value: &waitFor{}, Usage: "wait until the task is running (--wait or --wait=running), or until it has ended (--wait=success, mode 0)"},
	}, func(ctx context.Context, cmd *cli.Command) error {
		asJSON, err := wantsJSON(cmd)
		if err != nil {
			return err
		}
		q, err := e.createRequest(cmd)
		if err != nil {
			return err
		}
		until := cmd.Generic("wait").(*waitFor).state
		switch {
		case until == "SUCCESS" && q.GetMode() != 0:
			return usage("--wait=success: mode %d never ends: wait for running", q.GetMode())
		case until != "" && cmd.Bool("dry-run"):
			return usage("--wait and --dry-run: a dry run creates nothing to wait for")
		}
		return e.withServer(ctx, cmd, func(ctx context.Context, s *session) error {
			if cmd.Bool("dry-run") {
				return e.preflight(ctx, s, q, asJSON)
			}
			return e.doCreate(ctx, s, q, until, asJSON)
		})
	})
}

// createRequest reads the letters. Mode has no default: a forgotten -m would otherwise mean FULL.
func (e *Env) createRequest(cmd *cli.Command) (*omsyncpb.CreateRequest, error) {
	db, table, err := needTable(cmd)
	if err != nil {
		return nil, err
	}
	if !cmd.IsSet("m") {
		return nil, usage("create: which mode? give -m 0 (FULL), 1 (INCREMENTAL_BY_TIMESTAMP) or 2 (FULL_AND_CONTINUOUS)")
	}
	m, err := mode(cmd.String("m"))
	if err != nil {
		return nil, err
	}
	if !cmd.IsSet("d") {
		return nil, usage("create: where to? give -d with the destination directory")
	}
	to, err := dest(cmd.String("d"))
	if err != nil {
		return nil, err
	}
	var from int64
	if cmd.IsSet("ts") {
		if from, err = startTs(cmd.String("ts"), e.Now()); err != nil {
			return nil, err
		}
	}
	switch {
	case m != 1 && from != 0:
		return nil, usage("-ts goes with -m 1 only: mode %d copies all rows", m)
	case m == 1 && !cmd.IsSet("ts"):
		e.say("warning: no -ts: mode 1 starts with the oldest row (-ts 0)")
	}
	return &omsyncpb.CreateRequest{
		Db: db, Table: table, Mode: proto.Int32(m), StartTs: from, Dest: to,
		AllowNonempty: cmd.Bool("allow-nonempty"), Format: cmd.String("format"), Dialect: cmd.String("dialect"), Deletes: cmd.String("deletes"),
	}, nil
}

// created is what create prints as JSON.
type created struct {
	TaskID   string   `json:"taskId"`
	DB       string   `json:"db"`
	Table    string   `json:"table"`
	Mode     int32    `json:"mode"`
	StartTs  int64    `json:"startTs"`
	Dest     string   `json:"dest"`
	State    string   `json:"state,omitempty"` // what --wait saw last
	Warnings []string `json:"warnings"`
}

func (e *Env) doCreate(ctx context.Context, s *session, q *omsyncpb.CreateRequest, until string, asJSON bool) error {
	name := q.Db + "." + q.Table
	call, cancel := short(ctx)
	defer cancel()
	r, err := s.api.Create(call, q)
	if status.Code(err) == codes.DeadlineExceeded && ctx.Err() == nil {
		return &Error{ExitUnknown, fmt.Sprintf("the synctool at %s did not answer in %s: whether %s is created is open: see ctl status -t %s", s.addr, callTimeout, name, name)}
	}
	if err != nil {
		return err
	}
	e.warn(r.GetWarnings())
	var state string
	var waited error
	if until != "" {
		e.say("%s created, task %s, waiting for %s", name, r.GetTaskId(), until)
		state, waited = e.await(ctx, s, name, r.GetTaskId(), until)
	}
	if asJSON {
		one := created{r.GetTaskId(), q.Db, q.Table, q.GetMode(), q.StartTs, q.Dest, state, append([]string{}, r.GetWarnings()...)}
		err = e.json("TaskCreated", "synctool", []created{one})
	} else if state == "" {
		_, err = fmt.Fprintf(e.Out, "%s created, task %s\n", name, r.GetTaskId())
	} else if waited == nil {
		_, err = fmt.Fprintf(e.Out, "%s %s, task %s\n", name, state, r.GetTaskId())
	}
	if waited != nil {
		return waited
	}
	return err
}

func (e *Env) preflight(ctx context.Context, s *session, q *omsyncpb.CreateRequest, asJSON bool) error {
	call, cancel := short(ctx)
	defer cancel()
	r, err := s.api.Preflight(call, q)
	if err != nil {
		return err
	}
	p := state.PreflightOf(q, r)
	if asJSON {
		if err := e.json("Preflight", "synctool", []state.Preflight{p}); err != nil {
			return err
		}
	} else {
		var lines [][]string
		for _, one := range p.Partitions {
			lines = append(lines, []string{strconv.FormatUint(uint64(one.PID), 10), one.Leader, one.Collector})
		}
		if err := table(e.Out, "PID LEADER COLLECTOR", lines); err != nil {
			return err
		}
	}
	e.warn(p.Warnings)
	for _, one := range p.Problems {
		text := one.Reason
		if one.Hint != "" {
			text += ": " + one.Hint
		}
		e.say("problem: %s [%s]", text, one.Code)
	}
	if !p.OK {
		return &Error{ExitPreflight, fmt.Sprintf("%s.%s would be refused: %s", q.Db, q.Table, plural(len(p.Problems), "problem"))}
	}
	e.say("nothing stands in the way; nothing was created")
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
