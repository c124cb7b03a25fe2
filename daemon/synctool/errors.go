package synctool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"time"

	"omsync/rpc/omsyncpb"
)

// class says who deals with an error (docs/design.md §5.4).
type class int

const (
	retry    class = iota // it may pass by itself: backed off, shown as stalled
	operator              // somebody must act: FAILED with code, reason and hint
	fatal                 // this process can not go on, or may not: the term ends
)

// trouble is an error with its class and its words for people.
type trouble struct {
	class class
	fault *omsyncpb.Fault
	cause error
}

func (t *trouble) Error() string {
	if t.fault.Hint == "" {
		return t.fault.Reason
	}
	return t.fault.Reason + ": " + t.fault.Hint
}
func (t *trouble) Unwrap() error { return t.cause }

func fail(code, hint, format string, args ...any) *trouble {
	err := fmt.Errorf(format, args...)
	return &trouble{class: operator, fault: &omsyncpb.Fault{Code: code, Reason: err.Error(), Hint: hint}, cause: err}
}

// Codes of faults that the synctool itself finds. Stable: docs/operating.md lists them.
const (
	codeDestWrite     = "dest-write"
	codeDestMissing   = "dest-missing"
	codeDestForeign   = "dest-foreign"
	codeNoPermission  = "no-permission"
	codeCrossDevice   = "cross-device"
	codeRowCorrupt    = "row-corrupt"
	codeSchemaUnknown = "schema-unknown"
	codeNoCollector   = "no-collector"
	codeAssignTimeout = "assign-timeout"
	codeTableGone     = "table-gone"
	codeTableMemory   = "table-memory"
	codeFenced        = "fenced"
	codeInternal      = "internal"
)

// classify is the one place that tells errors apart. where names what was done and on what, e.g. "write /export/orders".
func classify(where string, err error) *trouble {
	var t *trouble
	switch {
	case err == nil:
		return nil
	case errors.As(err, &t):
		return t
	case lostLead(err):
		return &trouble{fatal, &omsyncpb.Fault{Code: codeFenced, Reason: err.Error(), Hint: "another synctool leads now"}, err}
	case errors.Is(err, context.Canceled):
		return &trouble{fatal, &omsyncpb.Fault{Code: codeInternal, Reason: where + ": " + err.Error()}, err}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &trouble{operator, &omsyncpb.Fault{Code: codeNoPermission, Reason: where + ": " + err.Error(), Hint: "let the synctool's user write there, then recover"}, err}
	case errors.Is(err, syscall.EXDEV):
		return &trouble{operator, &omsyncpb.Fault{Code: codeCrossDevice, Reason: where + ": " + err.Error(), Hint: "the destination and its _omsync directory must lie on one file system"}, err}
	}
	hint := "goes on by itself when the destination does"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "goes on by itself when there is space"
	}
	return &trouble{retry, &omsyncpb.Fault{Code: codeDestWrite, Reason: where + ": " + err.Error(), Hint: hint}, err}
}

// backoff waits longer after each failure: 1 s doubling to 5 min, each ±10 %. Only progress of the committed point resets it, so that
// something that works for a moment each time is not hammered. A job and its subtask may use one at once.
type backoff struct {
	first, most time.Duration
	tries       atomic.Int32
}

const (
	firstPause = time.Second
	mostPause  = 5 * time.Minute
)

func (b *backoff) next() time.Duration {
	first, most := b.first, b.most
	if first <= 0 {
		first = firstPause
	}
	if most <= 0 {
		most = mostPause
	}
	d := most
	if tries := b.tries.Add(1) - 1; tries < 30 {
		d = min(first<<tries, most)
	}
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

func (b *backoff) reset() { b.tries.Store(0) }

// wait sleeps for the next pause or until ctx ends.
func (b *backoff) wait(ctx context.Context) error {
	t := time.NewTimer(b.next())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
