package ctl

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"omsync/rpc/omsyncpb"
)

const deleteHelp = `
Stops a task and forgets it. The files at the destination stay. Creating the task again starts over from the beginning.

Examples:
  omsync-tui ctl delete -t demo.orders          # asks for the table's name
  omsync-tui ctl delete -t demo.orders --yes    # does not ask; needed where there is no terminal`

func (e *Env) delete() *cli.Command {
	return e.verb("delete", "stop a task and forget it", deleteHelp, "t", []cli.Flag{
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
	}, func(ctx context.Context, cmd *cli.Command) error {
		asJSON, err := wantsJSON(cmd)
		if err != nil {
			return err
		}
		db, table, err := needTable(cmd)
		if err != nil {
			return err
		}
		name := db + "." + table
		if !cmd.Bool("yes") {
			if err := e.confirm(ctx, name); err != nil {
				return err
			}
		}
		return e.withServer(ctx, cmd, func(ctx context.Context, s *session) error {
			call, cancel := short(ctx)
			defer cancel()
			r, err := s.api.Delete(call, &omsyncpb.DeleteRequest{Db: db, Table: table})
			if err != nil {
				return err
			}
			if asJSON {
				return e.json("TaskDeleted", "synctool", []map[string]string{{"taskId": r.GetTaskId(), "db": db, "table": table}})
			}
			_, err = fmt.Fprintf(e.Out, "%s deleted, task %s; the files at the destination stay\n", name, r.GetTaskId())
			return err
		})
	})
}

// confirm has the table's name typed.
func (e *Env) confirm(ctx context.Context, name string) error {
	if !e.Terminal {
		return usage("delete %s: there is no terminal to ask on: give --yes", name)
	}
	fmt.Fprintf(e.Err, "This stops the task of %s; files stay, a new task starts over. Type the table's name: ", name)
	typed := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(e.In).ReadString('\n') // the end of the input is no name either
		typed <- strings.TrimSpace(line)
	}()
	select {
	case got := <-typed:
		if got != name {
			return usage("%q is not %s: nothing was deleted", got, name)
		}
		return nil
	case <-ctx.Done():
		return ended(ctx, "asking")
	}
}
