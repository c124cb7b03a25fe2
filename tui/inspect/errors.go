package inspect

import "fmt"

// Exit codes.
const (
	exitDamaged     = 1 // something is damaged or missing; what is whole was printed
	exitUsage       = 2
	exitInterrupted = 130
)

// Error is a failure with its exit code.
type Error struct {
	code int
	text string
}

func (e *Error) Error() string { return e.text }

// ExitCode is the process's.
func (e *Error) ExitCode() int { return e.code }

func usage(format string, args ...any) error { return &Error{exitUsage, fmt.Sprintf(format, args...)} }
func failed(format string, args ...any) error {
	return &Error{exitDamaged, fmt.Sprintf(format, args...)}
}
func interrupted() error { return &Error{exitInterrupted, "interrupted"} }

// asFailed gives an error of another package the exit code of damage.
func asFailed(err error) error {
	if e, ok := err.(*Error); ok {
		return e
	}
	return failed("%v", err)
}
