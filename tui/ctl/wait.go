package ctl

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/rpc/omsyncpb"
	"omsync/tui/state"
)

// waitFor is --wait: alone or =running, or =success.
type waitFor struct{ state string }

func (w *waitFor) IsBoolFlag() bool { return true }
func (w *waitFor) String() string   { return strings.ToLower(w.state) }
func (w *waitFor) Get() any         { return w }

func (w *waitFor) Set(s string) error {
	switch s {
	case "true", "running":
		w.state = "RUNNING"
	case "success":
		w.state = "SUCCESS"
	default:
		return fmt.Errorf("--wait=%s: running or success", s)
	}
	return nil
}

// pollEvery is the time between two looks at a task that is waited for.
const pollEvery = 500 * time.Millisecond

// await looks at a task until every partition is in the state wanted (or past it), and returns the last state seen. While the synctool is
// not to be reached it goes on trying: a standby may take over.
func (e *Env) await(ctx context.Context, s *session, name, id, until string) (last string, err error) {
	db, table, _ := strings.Cut(name, ".")
	away := false
	for ; ; pause(ctx, pollEvery) {
		if err := ended(ctx, fmt.Sprintf("waiting for %s of %s (last seen: %s)", until, name, or(last, "nothing"))); err != nil {
			return last, err
		}
		t, found, err := e.look(ctx, s, db, table, id)
		switch {
		case status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded:
			if !away {
				e.say("the synctool at %s is away, waiting: %s", s.addr, status.Convert(err).Message())
			}
			away = true
			continue
		case err != nil:
			return last, err
		case !found:
			return last, &Error{ExitUnknown, fmt.Sprintf("%s (task %s) is gone and was not seen to succeed: it was deleted, or its record is", name, id)}
		}
		away = false
		last = t.State
		switch {
		case t.State == "FAILED":
			return last, &Error{ExitFailed, fmt.Sprintf("%s is FAILED: %s", name, or(t.Reason, "see ctl status"))}
		case t.State == "SUCCESS", until == "RUNNING" && t.State == "RUNNING":
			return last, nil
		}
	}
}

// look finds a task among those at work, then among those that have ended.
func (e *Env) look(ctx context.Context, s *session, db, table, id string) (t state.Task, found bool, err error) {
	for _, finished := range []bool{false, true} {
		call, cancel := short(ctx)
		r, err := s.api.List(call, &omsyncpb.ListRequest{Db: db, Table: table, Finished: finished})
		cancel()
		if err != nil && status.Code(err) != codes.NotFound {
			return t, false, err
		}
		for _, v := range r.GetTasks() {
			if v.GetTaskId() == id {
				return state.TaskOf(v), true, nil
			}
		}
	}
	return t, false, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
