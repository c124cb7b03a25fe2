package baidustd

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/rpc/budget"
)

// Error codes of RpcResponseMeta (brpc's errno.proto).
const (
	CodeNoService   int32 = 1001
	CodeNoMethod    int32 = 1002
	CodeRequest     int32 = 1003 // bad request
	CodeAuth        int32 = 1004
	CodeTimeout     int32 = 1008
	CodeOvercrowded int32 = 1011 // a cap on bytes in flight is reached
	CodeInternal    int32 = 2001
	CodeResponse    int32 = 2002 // bad response
	CodeLogoff      int32 = 2003 // the server is stopping
	CodeLimit       int32 = 2004
)

// Error is a failure that a peer's RpcMeta reports, or that a server is to report.
type Error struct {
	Code int32
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("brpc error %d: %s", e.Code, e.Text) }

// GRPCStatus lets status.Code work on errors of either transport.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.code(), e.Error()) }

func (e *Error) code() codes.Code {
	switch e.Code {
	case CodeNoService, CodeNoMethod:
		return codes.Unimplemented
	case CodeRequest:
		return codes.InvalidArgument
	case CodeAuth:
		return codes.Unauthenticated
	case CodeTimeout:
		return codes.DeadlineExceeded
	case CodeLogoff:
		return codes.Unavailable
	case CodeOvercrowded, CodeLimit:
		return codes.ResourceExhausted
	case CodeInternal, CodeResponse:
		return codes.Internal
	}
	return codes.Unknown
}

// FromError renders a handler's error as baidu_std reports it: a status by its code, anything else as internal.
func FromError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var over *budget.OverError
	if errors.As(err, &over) {
		return &Error{CodeOvercrowded, over.Error()}
	}
	s := status.Convert(err)
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{CodeTimeout, s.Message()}
	}
	code := CodeInternal
	switch status.Code(err) {
	case codes.Unimplemented:
		code = CodeNoMethod
	case codes.InvalidArgument:
		code = CodeRequest
	case codes.Unauthenticated, codes.PermissionDenied:
		code = CodeAuth
	case codes.DeadlineExceeded:
		code = CodeTimeout
	case codes.ResourceExhausted:
		code = CodeLimit
	case codes.Unavailable:
		code = CodeLogoff
	}
	return &Error{code, s.Message()}
}
