package zkconn

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"
)

// What servers answer.
var (
	ErrNoNode     = zk.ErrNoNode
	ErrNodeExists = zk.ErrNodeExists
	ErrBadVersion = zk.ErrBadVersion
	ErrNotEmpty   = zk.ErrNotEmpty
	ErrNoAuth     = zk.ErrNoAuth
)

// What this package says.
var (
	// ErrNotConnected: no session came about within the deadline. The operation was not sent.
	ErrNotConnected = errors.New("not connected")
	// ErrUnanswered: the answer is missing. A write may have been applied, or may still be.
	ErrUnanswered = errors.New("no answer")
	// ErrTooLarge: a server would cut the connection rather than take it. It was not sent.
	ErrTooLarge = errors.New("larger than ZooKeeper takes")
	// ErrClosed: the Conn is closed.
	ErrClosed = errors.New("the ZooKeeper connection is closed")
)

// MaxRequest is the size of a request that any server takes: jute.maxbuffer is 1,048,575 bytes by default.
const MaxRequest = 1_000_000

// Error is a failed operation.
type Error struct {
	Op, Path string
	Failed   int // of a multi: which operation, from 0; else -1
	Err      error

	remedy string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err)
	if e.remedy != "" {
		s += ": " + e.remedy
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Unknown tells that a failed write may have been applied, or may still be: its request was sent, its answer is missing.
func Unknown(err error) bool { return errors.Is(err, ErrUnanswered) }

// FailedOp is the operation of a multi that was refused, -1 when none is known.
func FailedOp(err error) int {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Failed
	}
	return -1
}

// answered tells apart what a server (or the library before sending) said from what only a broken connection makes. Codes the library has no
// name for are answers too.
func answered(err error) bool {
	for _, known := range []error{
		zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion, zk.ErrNotEmpty, zk.ErrNoAuth, zk.ErrNoChildrenForEphemerals, zk.ErrInvalidACL,
		zk.ErrBadArguments, zk.ErrAPIError, zk.ErrInvalidPath, zk.ErrInvalidFlags, zk.ErrShortBuffer, zk.ErrAuthFailed, zk.ErrUnhandledFieldType,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return strings.HasPrefix(err.Error(), "unknown error: ")
}
