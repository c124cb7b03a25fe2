package synctool

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/daemon/coord"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
)

// Dialer connects to a collector.
type Dialer func(endpoint string) (omsyncpb.CollectorClient, io.Closer, error)

// callers keeps one connection per collector.
type callers struct {
	dial Dialer

	mu      sync.Mutex
	clients map[string]omsyncpb.CollectorClient
	slots   map[string]chan struct{}
	closers []io.Closer
	closed  bool
}

func newCallers(dial Dialer) *callers {
	return &callers{dial: dial, clients: map[string]omsyncpb.CollectorClient{}, slots: map[string]chan struct{}{}}
}

// maxAssigning bounds AddTask calls to one collector at a time. Each has its own bound: one that does not answer holds up nobody else's subtasks.
const maxAssigning = 64

// enter waits for a place among the calls to a collector; leave gives it back.
func (c *callers) enter(ctx context.Context, endpoint string) (leave func(), err error) {
	c.mu.Lock()
	slots := c.slots[endpoint]
	if slots == nil {
		slots = make(chan struct{}, maxAssigning)
		c.slots[endpoint] = slots
	}
	c.mu.Unlock()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *callers) at(endpoint string) (omsyncpb.CollectorClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errTermOver
	}
	if cl := c.clients[endpoint]; cl != nil {
		return cl, nil
	}
	cl, closer, err := c.dial(endpoint)
	if err != nil {
		return nil, fmt.Errorf("dial collector %s: %w", endpoint, err)
	}
	c.clients[endpoint] = cl
	c.closers = append(c.closers, closer)
	return cl, nil
}

func (c *callers) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var errs []error
	for _, cl := range c.closers {
		errs = append(errs, cl.Close())
	}
	c.closers, c.clients = nil, nil
	return errors.Join(errs...)
}

// place is where a subtask can be assigned now.
type place struct {
	leader    Leader
	collector string
}

// place finds the collector on the partition leader's host, or says why there is none.
func findPlace(w World, name string, tid, pid uint32) (place, *trouble) {
	if _, ok := w.TableByID(tid); !ok {
		return place{}, fail(codeTableGone, "delete the task, or bring the table back and recover", "table %s (tid %d) is not in ZooKeeper", name, tid)
	}
	lead, err := w.Leader(tid, pid)
	if err != nil {
		return place{}, fail(codeNoCollector, "wait for the name server to choose one, or recover the partition", "%s partition %d: %w", name, pid, err)
	}
	endpoint, ok := w.Collector(lead.Host)
	if !ok {
		return place{}, fail(codeNoCollector, "start a data_collector on "+lead.Host+" (its --endpoint must have this host text)", "%s partition %d: no living collector of ours on its leader's host %s", name, pid, lead.Host)
	}
	return place{lead, endpoint}, nil
}

// lasting faults of AddTask that trying again does not heal.
var lasting = map[string]bool{
	codeTableMemory: true, "tablet-too-old": true, codeCrossDevice: true, codeNoPermission: true,
}

// startAssign hands the subtask to the collector on its leader's host: the new token is persisted first, so that no other collector's rows
// count from then on.
func (s *subtask) startAssign(ctx context.Context) {
	now := time.Now()
	if !s.tried.IsZero() && s.term.world.Connected() {
		s.waited += now.Sub(s.tried)
	}
	s.tried = now
	where, t := findPlace(s.term.world, s.task.name(), s.task.spec.TID, s.pid)
	if t != nil {
		s.notAssigned(ctx, t)
		return
	}
	if s.took == where.collector && s.waited >= s.term.o.AssignTimeout {
		s.fail(ctx, fail(codeAssignTimeout, "can its host reach this synctool at "+s.term.o.Advertise+" (server.advertise)? Look at its log and its /health, then recover",
			"%s partition %d: collector %s took the subtask and did not come with it in %s", s.task.name(), s.pid, where.collector, s.waited.Round(time.Second)).fault)
		return
	}
	token := newToken()
	s.start(ctx, jobAssign, nil, func(soft, hard context.Context, _ func()) error {
		if err := s.rec.change(hard, func(st *coord.SubtaskState) error { return s.occupy(st, where, token) }); err != nil {
			return err
		}
		s.term.touch()
		if err := s.addTask(soft, where, token); soft.Err() == nil {
			return err
		}
		return context.Cause(soft)
	}, func(ctx context.Context, err error) {
		switch {
		case err == nil:
			s.assigned, s.took, s.heard = true, where.collector, time.Now()
			s.mu.Lock()
			s.live.heard = s.heard
			s.mu.Unlock()
			s.term.log.Info("subtask is assigned", "table", s.task.name(), "partition", s.pid, "collector", where.collector, "tablet", where.leader.Node)
		case ctx.Err() != nil, errors.Is(err, errDropped):
		case lostLead(err):
			s.term.failed(err)
		default:
			s.notAssigned(ctx, assignTrouble(where, err))
		}
	})
}

// occupy writes the assignment into the state. Another collector can not go on with an unpublished generation: the pin is not its own
// (docs/design.md §5.1).
func (s *subtask) occupy(st *coord.SubtaskState, where place, token string) error {
	if st.Collector != where.collector && st.Collector != "" && !st.Published {
		begin(st)
	}
	st.Collector, st.Tablet, st.Token = where.collector, where.leader.Node, token
	if st.Status != coord.Init {
		st.Status, st.Code, st.Reason, st.Hint = coord.Reassigning, "", "", ""
	}
	return nil
}

// begin starts a new generation: nothing of the former one counts any more.
func begin(st *coord.SubtaskState) {
	st.Generation = newGeneration()
	st.Seq, st.PublishSeq, st.Files = 0, 0, 0
	st.Point = coord.Point{Phase: phaseSnapshot}
	st.SnapshotDone, st.Published, st.PublishDone = false, false, false
	st.Plan, st.Pending, st.Mark = nil, nil, nil
	st.Counters = coord.Counters{}
}

// addTask calls the collector.
func (s *subtask) addTask(ctx context.Context, where place, token string) error {
	leave, err := s.term.callers.enter(ctx, where.collector)
	if err != nil {
		return err
	}
	defer leave()
	client, err := s.term.callers.at(where.collector)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.term.o.RequestTimeout)
	defer cancel()
	st, spec := s.rec.get(), &s.task.spec
	_, err = client.AddTask(ctx, &omsyncpb.AddTaskRequest{Assignment: &omsyncpb.Assignment{
		Key: s.key(), Db: spec.DB, Table: spec.Table, Mode: int32(spec.Mode), StartTs: spec.StartTS,
		TabletEndpoint: where.leader.Node, TabletAddress: where.leader.Address, Token: token, Epoch: s.term.epoch,
		Synctool: s.term.o.Advertise, Generation: st.Generation, Replicas: where.leader.Replicas, SkipBadBlocks: st.SkipBadBlocks,
	}})
	return err
}

func assignTrouble(where place, err error) *trouble {
	if f, ok := fault.Of(err); ok {
		t := &trouble{class: retry, fault: f, cause: err}
		if lasting[f.GetCode()] {
			t.class = operator
		}
		return t
	}
	text := err.Error()
	if st, ok := status.FromError(err); ok && st.Code() != codes.OK {
		text = st.Message()
	}
	return &trouble{class: retry, cause: err, fault: &omsyncpb.Fault{
		Code: codeNoCollector, Reason: fmt.Sprintf("collector %s does not take the subtask: %s", where.collector, text), Hint: "look at its log and its /health",
	}}
}

// notAssigned tries again soon, until assign_timeout has passed while ZooKeeper was connected.
func (s *subtask) notAssigned(ctx context.Context, t *trouble) {
	s.took = ""
	if t.class == operator && lasting[t.fault.GetCode()] || s.waited >= s.term.o.AssignTimeout {
		s.fail(ctx, t.fault)
		return
	}
	s.setStalled(t.fault)
	s.again = time.Now().Add(s.assigning.next())
}

// renew begins a new generation and assigns it.
func (s *subtask) renew(ctx context.Context, why string) {
	s.term.log.Warn("a new generation is begun", "table", s.task.name(), "partition", s.pid, "reason", why)
	s.drop(ctx)
	s.detach(why, false)
	if s.change(ctx, func(st *coord.SubtaskState) {
		begin(st)
		st.Status = coord.Reassigning
	}) {
		s.assigned, s.again, s.tried = false, time.Time{}, time.Now()
	}
	s.nudge()
}

// release tells the subtask's collector to drop it. An error is left to the collector: it is told so again when it attaches.
func (s *subtask) release(ctx context.Context) error {
	st := s.rec.get()
	if st.Collector == "" {
		return nil
	}
	client, err := s.term.callers.at(st.Collector)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.term.o.RequestTimeout)
	defer cancel()
	_, err = client.RemoveTask(ctx, &omsyncpb.RemoveTaskRequest{Key: s.key(), Token: st.Token})
	return err
}

func newToken() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// newGeneration is random and never 0.
func newGeneration() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:])
		if g := binary.LittleEndian.Uint64(b[:]); g != 0 {
			return g
		}
	}
}
