package ctl

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"omsync/rpc/omsyncpb"
)

const recoverHelp = `
Starts FAILED partitions again from their last commit. status shows the code and the hint that say which of the flags is needed.

Examples:
  omsync-tui ctl recover -t demo.orders                      # after the cause is gone
  omsync-tui ctl recover -t demo.orders --pids 2,5
  omsync-tui ctl recover -t demo.orders --reexport           # log-trimmed: begin anew, rows may stand at the destination twice
  omsync-tui ctl recover -t demo.orders --skip-bad-blocks    # log-corrupt: pass the bad 4 KiB blocks, their rows are lost
  omsync-tui ctl recover -t demo.orders --accept-missing     # dest-missing: a committed file is gone and will not come back`

func (e *Env) recover() *cli.Command {
	return e.verb("recover", "start FAILED partitions again", recoverHelp, "t", []cli.Flag{
		&cli.StringFlag{Name: "pids", Usage: "these partitions only (`1,4,7-9`); default: all that are FAILED"},
		&cli.BoolFlag{Name: "skip-bad-blocks", Usage: "go on behind damaged log blocks; their rows are lost"},
		&cli.BoolFlag{Name: "reexport", Usage: "begin a new generation from a new snapshot; rows may stand at the destination twice"},
		&cli.BoolFlag{Name: "accept-missing", Usage: "go on although a committed file is missing at the destination"},
	}, func(ctx context.Context, cmd *cli.Command) error {
		asJSON, err := wantsJSON(cmd)
		if err != nil {
			return err
		}
		db, table, err := needTable(cmd)
		if err != nil {
			return err
		}
		q := &omsyncpb.RecoverRequest{Db: db, Table: table,
			SkipBadBlocks: cmd.Bool("skip-bad-blocks"), Reexport: cmd.Bool("reexport"), AcceptMissing: cmd.Bool("accept-missing")}
		if cmd.IsSet("pids") {
			if q.Pids, err = pids(cmd.String("pids")); err != nil {
				return err
			}
		}
		return e.withServer(ctx, cmd, func(ctx context.Context, s *session) error {
			call, cancel := short(ctx)
			defer cancel()
			r, err := s.api.Recover(call, q)
			if err != nil {
				return err
			}
			if asJSON {
				return e.json("TaskRecovered", "synctool", []map[string]any{{"db": db, "table": table, "recovered": r.GetRecovered()}})
			}
			if r.GetRecovered() == 0 {
				e.say("%s.%s has no FAILED partition: nothing to recover", db, table)
				return nil
			}
			_, err = fmt.Fprintf(e.Out, "%s.%s: %s started again\n", db, table, plural(int(r.GetRecovered()), "partition"))
			return err
		})
	})
}
