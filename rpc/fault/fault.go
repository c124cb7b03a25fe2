package fault

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/rpc/omsyncpb"
)

// Error returns a status error of code whose details hold f. Its message is the reason and the hint.
func Error(code codes.Code, f *omsyncpb.Fault) error {
	s := status.New(code, Text(f))
	if with, err := s.WithDetails(f); err == nil { // fails for codes.OK only
		s = with
	}
	return s.Err()
}

// New is Error with the fault's parts.
func New(code codes.Code, name, reason, hint string) error {
	return Error(code, &omsyncpb.Fault{Code: name, Reason: reason, Hint: hint})
}

// Text is reason and hint in one line.
func Text(f *omsyncpb.Fault) string {
	if f.GetHint() == "" {
		return f.GetReason()
	}
	return f.GetReason() + ": " + f.GetHint()
}

// Of returns the Fault that err carries; ok is false when it carries none.
func Of(err error) (f *omsyncpb.Fault, ok bool) {
	s, is := status.FromError(err)
	if !is || s == nil {
		return nil, false
	}
	for _, d := range s.Details() {
		if f, ok = d.(*omsyncpb.Fault); ok {
			return f, true
		}
	}
	return nil, false
}

// From returns the Fault that err carries, or one made of its status code and text. nil for nil.
func From(err error) *omsyncpb.Fault {
	if err == nil {
		return nil
	}
	if f, ok := Of(err); ok {
		return f
	}
	code, text := status.Code(err), err.Error()
	if s, ok := status.FromError(err); ok {
		text = s.Message()
	} else if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		code = status.FromContextError(err).Code()
	}
	return &omsyncpb.Fault{Code: kebab(code), Reason: text}
}

// kebab writes a status code as our fault codes are written: DeadlineExceeded becomes deadline-exceeded.
func kebab(c codes.Code) string {
	var b strings.Builder
	for i, r := range c.String() {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('-')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
