package synctool

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// keeper tells collectors each check period which logs to hold for subtasks they do not serve, and which subtasks are not theirs any more
// (docs/design.md §5.2).
func (t *term) keeper(ctx context.Context) {
	tick := time.NewTicker(t.o.CheckPeriod)
	defer tick.Stop()
	told := map[string]string{} // by collector, so that one that does not answer is told of once
	for round := uint64(1); ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t.mu.Lock()
		ready := t.ready && !t.draining // before, an empty list of holds would say that none is wanted
		t.mu.Unlock()
		if ready && t.world.Connected() {
			t.keepRound(ctx, round, told)
		}
	}
}

func (t *term) keepRound(ctx context.Context, round uint64, told map[string]string) {
	holds := t.standbyHolds()
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, c := range t.world.Collectors() {
		if c.State != coord.Active && c.State != coord.Standby {
			continue
		}
		all.Go(func() {
			err := t.keepAt(ctx, c.Endpoint, &omsyncpb.KeepRequest{Epoch: t.epoch, Round: round, Holds: holds[c.Endpoint]})
			if status.Code(err) == codes.Unimplemented { // a collector of an earlier release
				err = nil
			}
			mu.Lock()
			defer mu.Unlock()
			if text := fmt.Sprint(err); err == nil {
				delete(told, c.Endpoint)
			} else if text != told[c.Endpoint] && ctx.Err() == nil {
				told[c.Endpoint] = text
				t.log.Warn("tell a collector what to hold", "collector", c.Endpoint, "err", err)
			}
		})
	}
	all.Wait()
}

// standbyHolds are the holds wanted of each collector: of every log of a subtask, on the hosts of all its replicas, but where the subtask is attached.
// A collector that the subtask is only about to go to must not let go of the links it will need.
func (t *term) standbyHolds() map[string][]*omsyncpb.StandbyHold {
	out := map[string][]*omsyncpb.StandbyHold{}
	for _, k := range t.all() {
		if k.over() {
			continue
		}
		for _, s := range k.subs {
			st := s.rec.get()
			if st.Status == coord.Success || st.Collector == "" {
				continue
			}
			committed := uint64(0) // before the log phase entries of the hand-off plan may lie anywhere
			if st.Point.Phase == phaseLog {
				committed = st.Point.Index
			}
			named := map[string]bool{s.attachedTo(): true}
			for _, r := range t.world.Replicas(k.spec.TID, s.pid) {
				endpoint, ok := t.world.Collector(r.Host)
				if !ok || named[endpoint] {
					continue
				}
				named[endpoint] = true
				out[endpoint] = append(out[endpoint], &omsyncpb.StandbyHold{
					Key: s.key(), Db: k.spec.DB, Table: k.spec.Table, TabletEndpoint: r.Node, TabletAddress: r.Address, Committed: committed,
				})
			}
		}
	}
	return out
}

// over tells that nothing of the task is needed any more.
func (t *task) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.going // a task that is being deleted, too
}

// attachedTo is the collector that serves the subtask now, "" when none does.
func (s *subtask) attachedTo() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live.link == nil {
		return ""
	}
	return s.live.link.endpoint
}

// keepAt tells one collector: first what to hold, so that links of a subtask that is not its own any more stay where they are wanted.
func (t *term) keepAt(ctx context.Context, endpoint string, q *omsyncpb.KeepRequest) error {
	ctx, cancel := context.WithTimeout(ctx, t.o.RequestTimeout)
	defer cancel()
	leave, err := t.callers.enter(ctx, endpoint)
	if err != nil {
		return err
	}
	defer leave()
	client, err := t.callers.at(endpoint)
	if err != nil {
		return err
	}
	if _, err := client.Keep(ctx, q); err != nil {
		return err
	}
	has, err := client.Status(ctx, &omsyncpb.CollectorStatusRequest{})
	if err != nil {
		return err
	}
	for _, one := range has.GetSubtasks() {
		a := one.GetAssignment()
		if a.GetEpoch() > t.epoch || !t.foreign(a.GetKey(), endpoint) {
			continue
		}
		if _, err := client.RemoveTask(ctx, &omsyncpb.RemoveTaskRequest{Key: a.GetKey(), Token: a.GetToken()}); err != nil {
			return err
		}
		t.log.Info("a collector is told to drop what is not its own", "collector", endpoint, "table", a.GetDb()+"."+a.GetTable(), "partition", a.GetKey().GetPid())
	}
	return nil
}

// foreign tells that a collector has no business with a subtask: there is none, or another collector serves it. While nobody does, its links may be
// the only ones.
func (t *term) foreign(key *omsyncpb.SubtaskKey, endpoint string) bool {
	s := t.subtask(key.GetTaskId(), key.GetPid())
	if s == nil {
		return true
	}
	st, at := s.rec.get(), s.attachedTo()
	return st.Collector != endpoint && at != "" && at != endpoint
}
