package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"time"

	"omsync/daemon/collector/handoff"
	"omsync/openmldb/binlog"
	"omsync/openmldb/snapshot"
	"omsync/openmldb/tablet"
	"omsync/rpc/baidustd"
	"omsync/rpc/omsyncpb"
)

// ErrTaken is the cause when the port or the data directory is in use: exit code 3.
var ErrTaken = errors.New("taken by another process")

// ErrConf is the cause when the collector can not work as it is set up: exit code 2.
var ErrConf = errors.New("not set up right")

// class says who deals with an error (docs/design.md §5.4). What is fatal to the process does not come from subtasks.
type class int

const (
	retry    class = iota // it may pass by itself: backed off, shown as stalled
	operator              // somebody must act: FAILED with code, reason and hint
)

// trouble is an error with its class and its words for people.
type trouble struct {
	class class
	fault *omsyncpb.Fault
	cause error
}

func (t *trouble) Error() string { return t.fault.GetCode() + ": " + t.fault.GetReason() }
func (t *trouble) Unwrap() error { return t.cause }

func troubled(c class, code, hint, format string, args ...any) *trouble {
	err := fmt.Errorf(format, args...)
	return &trouble{class: c, fault: &omsyncpb.Fault{Code: code, Reason: err.Error(), Hint: hint}, cause: err}
}

// Codes of faults that a collector finds. Stable: docs/operating.md lists them.
const (
	codeTableGone          = "table-gone"
	codeTableMemory        = "table-memory"
	codeTabletTooOld       = "tablet-too-old"
	codeTabletUnreachable  = "tablet-unreachable"
	codeSnapshotUnreadable = "snapshot-unreadable"
	codeLogTrimmed         = "log-trimmed"
	codeLogGap             = "log-gap"
	codeLogCorrupt         = "log-corrupt"
	codeLogForked          = "log-forked"
	codeRowCorrupt         = "row-corrupt"
	codeRowTooLarge        = "row-too-large"
	codeSchemaUnknown      = "schema-unknown"
	codeCrossDevice        = "cross-device"
	codeNoPermission       = "no-permission"
	codeHoldOverBudget     = "hold-over-budget"
	codePinLost            = "pin-lost"
	codeInternal           = "internal"
)

// Hints that stand with more than one reason.
const (
	hintReexport  = "recover --reexport starts the partition again"
	hintOneDevice = "set collector_datadir in data_collector.flags to a directory on the file system of the tablets' data (ssd_root_path, hdd_root_path)"
	hintOwner     = "run the data_collector as the tablet's user: with fs.protected_hardlinks=1 only the owner of a file, or who may write it, can link it"
)

// classify is the one place that tells errors apart. what names what was done and on what, e.g. "db.t partition 3 on 10.0.0.1:10921: link the log".
func classify(what string, err error) *trouble {
	var t *trouble
	if errors.As(err, &t) {
		return t
	}
	of := func(c class, code, hint string) *trouble {
		return &trouble{class: c, fault: &omsyncpb.Fault{Code: code, Reason: what + ": " + err.Error(), Hint: hint}, cause: err}
	}
	var (
		trimmed  *binlog.TrimmedError
		gap      *binlog.GapError
		corrupt  *binlog.CorruptError
		replaced *binlog.ReplacedError
		early    *handoff.TrimmedLogError
		short    *handoff.ShortLogError
		damaged  *snapshot.CorruptError
		strange  *snapshot.UnsupportedError
		server   *tablet.ServerError
		call     *baidustd.Error
	)
	switch {
	case errors.As(err, &trimmed):
		return of(operator, codeLogTrimmed, hintReexport)
	case errors.As(err, &early):
		return of(operator, codeLogTrimmed, "make a snapshot of the partition (MakeSnapshot), then "+hintReexport)
	case errors.As(err, &gap):
		return of(operator, codeLogGap, hintReexport)
	case errors.As(err, &corrupt):
		return of(operator, codeLogCorrupt, "recover --skip-bad-blocks goes on behind the damage, "+hintReexport)
	case errors.As(err, &replaced), errors.As(err, &short):
		return of(operator, codeLogForked, hintReexport)
	case errors.As(err, &damaged), errors.As(err, &strange):
		return of(operator, codeSnapshotUnreadable, "let the tablet write a new snapshot, then "+hintReexport)
	case errors.Is(err, tablet.ErrNoPartition), errors.Is(err, tablet.ErrNoTable):
		return of(operator, codeTableGone, "delete the task if the table was dropped, else recover once the name server shows the partition's leader")
	case errors.Is(err, tablet.ErrMemory):
		return of(operator, codeTableMemory, "only SSD and HDD tables can be exported")
	case errors.Is(err, tablet.ErrTooOld), errors.Is(err, tablet.ErrPath):
		return of(operator, codeTabletTooOld, "upgrade the tablet to 0.8.0 or later, with absolute ssd_root_path and hdd_root_path")
	case errors.Is(err, tablet.ErrLoading):
		return of(retry, codeTabletUnreachable, "goes on by itself when the tablet has loaded the partition")
	case tablet.Unreachable(err), errors.As(err, &server), errors.As(err, &call), errors.Is(err, tablet.ErrClosed):
		return of(retry, codeTabletUnreachable, "goes on by itself when the tablet answers")
	case errors.Is(err, syscall.EXDEV):
		return of(operator, codeCrossDevice, hintOneDevice)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return of(operator, codeNoPermission, hintOwner)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return of(retry, codeInternal, "goes on by itself when there is space in collector_datadir")
	}
	return of(retry, codeInternal, "tried again; look at the collector's log if it stays")
}

// over tells that err only says that the work was called off.
func over(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, errStopped) || errors.Is(err, errLinkDown)
}

// Why work is called off.
var (
	errStopped  = errors.New("the subtask is taken away or replaced")
	errLinkDown = errors.New("the stream to the synctool ended")
	errPinLost  = errors.New("the pin of the unpublished generation is gone")
)

// refusal is the synctool's Refused.
type refusal struct {
	gone   bool
	reason string
}

func (r *refusal) Error() string { return "refused by the synctool: " + r.reason }

// backoff waits longer after each failure: first, doubling to most, each ±10 %.
type backoff struct {
	first, most time.Duration
	tries       int
}

func (b *backoff) next() time.Duration {
	d := b.most
	if b.tries < 30 {
		d = min(b.first<<b.tries, b.most)
	}
	b.tries++
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

func (b *backoff) reset() { b.tries = 0 }
