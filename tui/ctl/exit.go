package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/rpc/fault"
)

// Exit codes of every verb. Where two fit, the more specific one is used.
const (
	ExitOK          = 0
	ExitRefused     = 1 // by the synctool
	ExitUsage       = 2 // wrong command line or conf file, or a question without a terminal
	ExitNotFound    = 3 // no such table or task
	ExitExists      = 4 // a task of this table exists
	ExitUnreachable = 5 // synctool or ZooKeeper
	ExitPreflight   = 6 // --dry-run found a problem
	ExitTimeout     = 7 // --timeout reached
	ExitFailed      = 8 // --wait ended in FAILED
	ExitUnknown     = 9 // --wait lost sight of the task before it was seen in SUCCESS
	ExitInterrupted = 130
)

// Error is a failure with its exit code.
type Error struct {
	Code int
	Text string
}

func (e *Error) Error() string { return e.Text }

func usage(format string, args ...any) error {
	return &Error{ExitUsage, fmt.Sprintf(format, args...)}
}

// ExitCode is the exit code of what Run returned.
func ExitCode(err error) int {
	var e *Error
	var other cli.ExitCoder
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		return e.Code
	case errors.As(err, &other):
		return other.ExitCode()
	}
	return ExitUsage // cli's own complaints
}

// explain turns the failure of a call into an Error. ctx is the whole command's: its end, not one call's, is --timeout or an interrupt.
func explain(ctx context.Context, s target, err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if e := ended(ctx, "asking the synctool at "+s.addr); e != nil {
		return e
	}
	st := status.Convert(err)
	text := plain(st.Message())
	code := st.Code()
	if f, ok := fault.Of(err); ok && f.GetCode() != "" {
		text += " [" + f.GetCode() + "]"
		if code == codes.Unavailable { // the synctool answers: what it can not reach is something else, such as the destination
			code = codes.FailedPrecondition
		}
	}
	switch code {
	case codes.NotFound:
		return &Error{ExitNotFound, text}
	case codes.AlreadyExists:
		return &Error{ExitExists, text}
	case codes.Unavailable:
		return &Error{ExitUnreachable, fmt.Sprintf("cannot reach the synctool at %s (%s): %s: start it, or say where it is with -s host:port or --zk host:port", s.addr, s.source, text)}
	case codes.DeadlineExceeded:
		return &Error{ExitUnreachable, fmt.Sprintf("the synctool at %s (%s) does not answer: %s", s.addr, s.source, text)}
	case codes.Unimplemented:
		return &Error{ExitRefused, fmt.Sprintf("the synctool at %s does not know this call: %s: is it of another version?", s.addr, text)}
	}
	return &Error{ExitRefused, fmt.Sprintf("refused by the synctool at %s: %s", s.addr, text)}
}

// plain takes gRPC's wrapping off a failure to connect: what is left is the system's "dial tcp 10.0.0.9:8848: connect: connection refused".
func plain(text string) string {
	const begin, end = `connection error: desc = "transport: Error while dialing: `, `"`
	if inner, ok := strings.CutPrefix(text, begin); ok {
		return strings.TrimSuffix(inner, end)
	}
	return text
}

// ended is the Error for a command that ran out of time or was interrupted, nil while it may go on.
func ended(ctx context.Context, doing string) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{ExitTimeout, "--timeout reached while " + doing}
	}
	return &Error{ExitInterrupted, "interrupted while " + doing}
}
