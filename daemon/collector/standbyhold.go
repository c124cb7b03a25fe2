package collector

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/tablet"
	"omsync/rpc/omsyncpb"
)

// standbyHold keeps the log of a partition whose subtask another collector serves (docs/design.md §5.2). It lies in the directory that a subtask of the
// partition has: when the subtask comes here, it takes the links over and so goes on where the former host stood, whatever the tablet has trimmed.
type standbyHold struct {
	c    *Collector
	dir  string
	hold *hold
	wake chan struct{} // 1: what is wanted has changed

	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	want    *omsyncpb.StandbyHold
	found   bool      // the tablet has told where the log lies
	asked   time.Time // last question to the tablet
	err     error     // what is in the way
	dropped uint64    // over the budget: the last index that was let go; nothing is linked before it is committed
}

const (
	standbyName = "standby"
	standbyKind = "standby"
)

// standbyJSON is the record "standby" of a directory without an assignment. The committed point is not kept up to date in it: the synctool tells again.
type standbyJSON struct {
	Hold string `json:"hold"`
	Logs string `json:"logs,omitempty"` // the tablet's log directory
}

func writeStandby(fsys FS, dir string, want *omsyncpb.StandbyHold, logs string) error {
	b, err := protojson.Marshal(want)
	if err != nil {
		return fmt.Errorf("write standby hold: %w", err)
	}
	return writeRecord(fsys, filepath.Join(dir, standbyName), standbyKind, standbyJSON{string(b), logs})
}

// readStandby returns what is wanted and the log's directory, "" if that was not known.
func readStandby(fsys FS, dir string) (*omsyncpb.StandbyHold, string, error) {
	path := filepath.Join(dir, standbyName)
	var j standbyJSON
	if err := readRecord(fsys, path, standbyKind, &j); err != nil {
		return nil, "", err
	}
	want := &omsyncpb.StandbyHold{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(j.Hold), want); err != nil {
		return nil, "", fmt.Errorf("%w: %s: %w", errDamaged, path, err)
	}
	return want, j.Logs, nil
}

// newStandbyHold is one on the links in dir. logs is where the tablet's log lies, "" while that is not known.
func newStandbyHold(c *Collector, dir string, want *omsyncpb.StandbyHold, logs string) *standbyHold {
	k := &standbyHold{c: c, dir: dir, hold: newHold(&c.o, dir), wake: make(chan struct{}, 1), want: want, found: logs != ""}
	k.hold.follow(logs)
	k.hold.read(math.MaxInt) // nothing is read here: what is committed may go, of former incarnations, too
	return k
}

func (k *standbyHold) start(ctx context.Context) {
	ctx, k.cancel = context.WithCancel(ctx)
	k.ended = make(chan struct{})
	go func() { // ended by stop
		defer close(k.ended)
		k.keep(ctx)
	}()
}

func (k *standbyHold) stop() {
	k.cancel()
	<-k.ended
}

func (k *standbyHold) wanted() *omsyncpb.StandbyHold {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.want
}

func (k *standbyHold) place() place { return placeOf(k.wanted().GetKey()) }

// of is the partition as messages and calls to its tablet name it.
func (k *standbyHold) of() *omsyncpb.Assignment {
	w := k.wanted()
	return &omsyncpb.Assignment{
		Key: w.GetKey(), Db: w.GetDb(), Table: w.GetTable(), TabletEndpoint: w.GetTabletEndpoint(), TabletAddress: w.GetTabletAddress(),
	}
}

func (k *standbyHold) name() string { return "standby hold of " + partitionName(k.of()) }

func (k *standbyHold) log() *slog.Logger {
	a := k.of()
	return k.c.log.With("table", tableName(a), "partition", a.GetKey().GetPid(), "tablet", a.GetTabletEndpoint())
}

// update takes over what is wanted now: as a rule a later committed point.
func (k *standbyHold) update(want *omsyncpb.StandbyHold) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	same := func(a, b *omsyncpb.StandbyHold) bool {
		return proto.Equal(a.GetKey(), b.GetKey()) && a.GetTabletEndpoint() == b.GetTabletEndpoint()
	}
	if !same(k.want, want) {
		if err := writeStandby(k.c.o.Files, k.dir, want, ""); err != nil {
			return err
		}
		k.found, k.asked = false, time.Time{}
	}
	if k.dropped > 0 && (want.GetCommitted() >= k.dropped || want.GetKey().GetTaskId() != k.want.GetKey().GetTaskId()) {
		k.dropped = 0
		k.hold.again()
	}
	k.want = want
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return nil
}

// keep links what is new in the tablet's log and prunes what is committed, until ctx ends. Errors leave the links as they are.
func (k *standbyHold) keep(ctx context.Context) {
	for told := ""; ; {
		err := k.find(ctx)
		if err == nil {
			err = k.link(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		k.mu.Lock()
		k.err = err
		k.mu.Unlock()
		if text := fmt.Sprint(err); err != nil && text != told {
			k.log().Warn("can not keep the log for another collector", "err", err)
			told = text
		} else if err == nil {
			told = ""
		}
		if pause(ctx, k.c.o.Clock, k.c.o.pace.keep, k.wake) != nil {
			return
		}
	}
}

// find asks the tablet, now and then, where the log lies.
func (k *standbyHold) find(ctx context.Context) error {
	now := k.c.o.Clock.Now()
	k.mu.Lock()
	found, rest, err, want := k.found, !k.asked.IsZero() && now.Sub(k.asked) < k.c.o.pace.ask, k.err, k.want
	if !found && !rest {
		k.asked = now
	}
	k.mu.Unlock()
	switch {
	case found, want.GetTabletAddress() == "":
		return nil
	case rest:
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, min(k.c.o.RequestTimeout, 5*time.Second))
	defer cancel()
	st, err := k.c.statusOf(ctx, k.of())
	if err == nil {
		err = tablet.Ready(st)
	}
	if err != nil {
		return err
	}
	logs := filepath.Clean(st.GetBinlogPath())
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.want.GetTabletEndpoint() != want.GetTabletEndpoint() {
		return nil // another tablet is wanted meanwhile
	}
	if err := writeStandby(k.c.o.Files, k.dir, k.want, logs); err != nil {
		return err
	}
	k.found = true
	k.hold.follow(logs)
	return nil
}

func (k *standbyHold) link(ctx context.Context) error {
	if _, err := k.hold.sync(); err != nil {
		return err
	}
	if committed := k.wanted().GetCommitted(); committed > 0 {
		return k.hold.prune(ctx, committed)
	}
	return nil
}

// overBudget drops the links. The subtask goes on where it is: it only has no second way left.
func (k *standbyHold) overBudget(ctx context.Context, sum holdSum) {
	first, last, err := k.hold.drop(ctx)
	if err != nil {
		k.log().Error("drop a standby hold", "err", err)
	}
	k.mu.Lock()
	k.dropped = max(last, 1)
	k.mu.Unlock()
	k.log().Warn("standby hold is dropped", "reason", sum.text(k.c.o.HoldBudget), "first", first, "last", last)
}

// held is the hold as it is shown.
func (k *standbyHold) held() (*omsyncpb.Hold, error) {
	u, err := k.hold.usage()
	if err != nil {
		return nil, err
	}
	h := &omsyncpb.Hold{Key: k.wanted().GetKey(), LogFiles: uint32(u.logFiles), Bytes: uint64(u.bytes), Standby: true}
	h.FirstIndex, err = k.hold.first()
	return h, err
}

// text is the hold's line on /status.
func (k *standbyHold) text() string {
	h, err := k.held()
	k.mu.Lock()
	if err == nil {
		err = k.err
	}
	committed, node, dropped := k.want.GetCommitted(), k.want.GetTabletEndpoint(), k.dropped
	k.mu.Unlock()
	line := fmt.Sprintf("%s on %s: %d log files from entry %d on, committed %d", k.name(), node, h.GetLogFiles(), h.GetFirstIndex(), committed)
	if dropped > 0 {
		line += fmt.Sprintf(", dropped over the budget, made again when entry %d is exported", dropped)
	}
	if err != nil {
		line += ": " + err.Error()
	}
	return line
}
