package synctool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/openmldb/pb/nspb"
	"omsync/rpc/client"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
)

// simData is what one partition holds: a snapshot, entries of E by log index, and a log that grows.
type simData struct {
	mu       sync.Mutex
	grown    chan struct{}
	snapshot []string
	backlog  []string // log indexes 1..len
	log      []string // log indexes len(backlog)+1..; those that begin with deleteMark are deletes
	version  uint32   // schema version of the rows
}

func newSimData(pid, snapshot, backlog int) *simData {
	d := &simData{grown: make(chan struct{}), version: 1}
	for i := range snapshot {
		d.snapshot = append(d.snapshot, fmt.Sprintf("p%d-s%06d", pid, i))
	}
	for i := range backlog {
		d.backlog = append(d.backlog, fmt.Sprintf("p%d-e%06d", pid, i))
	}
	return d
}

func (d *simData) grow(pid, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range n {
		d.log = append(d.log, fmt.Sprintf("p%d-l%06d", pid, len(d.log)))
	}
	close(d.grown)
	d.grown = make(chan struct{})
}

// deleteMark begins an entry of the log that is a delete; its key follows.
const deleteMark = "delete "

// remove adds n deletes to the log.
func (d *simData) remove(pid, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range n {
		d.log = append(d.log, fmt.Sprintf("%sp%d-d%06d", deleteMark, pid, len(d.log)))
	}
	close(d.grown)
	d.grown = make(chan struct{})
}

// deletes are the keys of all deletes in the log, by log index.
func (d *simData) deletes() map[uint64]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[uint64]string{}
	for i, x := range d.log {
		if key, ok := strings.CutPrefix(x, deleteMark); ok {
			out[d.z()+uint64(i)+1] = key
		}
	}
	return out
}

func (d *simData) z() uint64 { return uint64(len(d.backlog)) }

// rows returns the log from index on, and what is closed when there is more.
func (d *simData) after(index uint64) ([]string, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log[index-d.z():], d.grown
}

// all adds the partition's rows: those of the log only if it is exported.
func (d *simData) all(into map[string]int, logged bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	parts := [][]string{d.snapshot, d.backlog}
	if logged {
		parts = append(parts, d.log)
	}
	for _, rows := range parts {
		for _, r := range rows {
			if !strings.HasPrefix(r, deleteMark) {
				into[r]++
			}
		}
	}
}

// simTable is a table of all its partitions' data, which every collector of a test sees: the tablets' disks.
type simTable map[uint32]*simData

// simCollector is a collector without tablets: it serves simTable by the protocol of the brief.
type simCollector struct {
	endpoint string
	leader   func() string
	data     simTable
	rng      *rand.Rand

	refuse func(*omsyncpb.Assignment) error

	mu      sync.Mutex
	tasks   map[uint32]*omsyncpb.Assignment // "on disk": they survive a restart
	pins    map[uint32]uint64               // generation a pin was taken for
	lost    map[uint32]bool
	dropped []uint32
	added   int
	kept    *omsyncpb.KeepRequest // the latest
	keeps   int
	nextID  uint64
	silent  bool
	fault   map[uint32]*omsyncpb.SubtaskFault
	cancel  context.CancelFunc
	kick    chan struct{}
	done    chan struct{}
}

func newSimCollector(z *fakeZK, endpoint string, data simTable, leader func() string) *simCollector {
	c := &simCollector{
		endpoint: endpoint, leader: leader, data: data, rng: rand.New(rand.NewPCG(1, uint64(len(endpoint)))),
		tasks: map[uint32]*omsyncpb.Assignment{}, pins: map[uint32]uint64{}, lost: map[uint32]bool{}, fault: map[uint32]*omsyncpb.SubtaskFault{},
	}
	z.edit(func() {
		z.collectors = append(z.collectors, CollectorInfo{Endpoint: endpoint, Host: hostOf(endpoint), State: "active"})
	})
	return c
}

func hostOf(endpoint string) string {
	for i, r := range endpoint {
		if r == ':' {
			return endpoint[:i]
		}
	}
	return endpoint
}

// start brings the process up; stop ends it like kill -9.
func (c *simCollector) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done, kick := make(chan struct{}), make(chan struct{}, 1)
	c.mu.Lock()
	c.cancel, c.done, c.kick = cancel, done, kick
	c.mu.Unlock()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := c.serve(ctx, kick); err != nil && ctx.Err() == nil {
				if os.Getenv("SYNCTOOL_TEST_LOG") != "" {
					fmt.Fprintln(os.Stderr, "collector", c.endpoint, time.Now(), err)
				}
				wait(ctx, 10*time.Millisecond)
			}
		}
	}()
}

func (c *simCollector) stop() {
	c.mu.Lock()
	cancel, done := c.cancel, c.done
	c.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// simClient is how the synctool calls it.
type simClient struct{ c *simCollector }

func (s simClient) AddTask(_ context.Context, r *omsyncpb.AddTaskRequest, _ ...grpc.CallOption) (*omsyncpb.AddTaskResponse, error) {
	c, a := s.c, r.GetAssignment()
	if c.refuse != nil {
		if err := c.refuse(a); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added++
	pid := a.GetKey().GetPid()
	c.tasks[pid] = a
	if c.pins[pid] != a.GetGeneration() {
		c.pins[pid], c.lost[pid] = a.GetGeneration(), false
	}
	if c.kick != nil {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
	return &omsyncpb.AddTaskResponse{}, nil
}

func (s simClient) RemoveTask(_ context.Context, r *omsyncpb.RemoveTaskRequest, _ ...grpc.CallOption) (*omsyncpb.RemoveTaskResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if a := s.c.tasks[r.GetKey().GetPid()]; a != nil && !strings.HasPrefix(a.GetToken(), r.GetToken()) {
		return &omsyncpb.RemoveTaskResponse{}, nil
	}
	delete(s.c.tasks, r.GetKey().GetPid())
	s.c.dropped = append(s.c.dropped, r.GetKey().GetPid())
	return &omsyncpb.RemoveTaskResponse{}, nil
}

func (s simClient) Keep(_ context.Context, r *omsyncpb.KeepRequest, _ ...grpc.CallOption) (*omsyncpb.KeepResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.kept, s.c.keeps = r, s.c.keeps+1
	return &omsyncpb.KeepResponse{}, nil
}

func (s simClient) Status(context.Context, *omsyncpb.CollectorStatusRequest, ...grpc.CallOption) (*omsyncpb.CollectorStatusResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	out := &omsyncpb.CollectorStatusResponse{Endpoint: s.c.endpoint}
	for _, a := range s.c.tasks {
		shown := proto.Clone(a).(*omsyncpb.Assignment)
		shown.Token = shown.Token[:8]
		out.Subtasks = append(out.Subtasks, &omsyncpb.CollectorSubtask{Assignment: shown})
	}
	return out, nil
}

func (simClient) Holds(context.Context, *omsyncpb.HoldsRequest, ...grpc.CallOption) (*omsyncpb.HoldsResponse, error) {
	return nil, fault.New(codes.Unimplemented, codeInternal, "no holds", "")
}

// simSession is one stream.
type simSession struct {
	c    *simCollector
	ctx  context.Context
	send chan *omsyncpb.CollectorMessage

	mu   sync.Mutex
	subs map[uint32]*simSub // by pid
}

// simSub is one attach.
type simSub struct {
	a      *omsyncpb.Assignment
	id     uint64
	cancel context.CancelFunc

	mu        sync.Mutex
	signal    chan struct{}
	attached  *omsyncpb.Attached
	credit    int64
	published bool
	planned   bool
	committed *omsyncpb.Point
}

func (s *simSub) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.signal)
	s.signal = make(chan struct{})
}

// until waits for cond.
func (s *simSub) until(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		ok, signal := cond(), s.signal
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serve runs one stream until it breaks.
func (c *simCollector) serve(ctx context.Context, kick <-chan struct{}) error {
	addr := c.leader()
	if addr == "" {
		return errors.New("no leader")
	}
	cc, err := client.Dial(addr, client.Options{})
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := omsyncpb.NewIngestClient(cc).Stream(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Hello{Hello: &omsyncpb.Hello{Endpoint: c.endpoint, Instance: "i"}}}); err != nil {
		return err
	}
	s := &simSession{c: c, ctx: ctx, send: make(chan *omsyncpb.CollectorMessage), subs: map[uint32]*simSub{}}
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	errs := make(chan error, 3)
	all.Go(func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				errs <- err
				cancel()
				return
			}
			s.receive(&all, m)
		}
	})
	all.Go(func() {
		for {
			select {
			case m := <-s.send:
				if err := stream.Send(m); err != nil {
					errs <- err
					cancel()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	beat := time.NewTicker(20 * time.Millisecond)
	defer beat.Stop()
	for {
		s.attachAll(&all)
		select {
		case err := <-errs:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-kick:
		case <-beat.C:
			s.beat()
		}
	}
}

func (s *simSession) out(ctx context.Context, m *omsyncpb.CollectorMessage) error {
	select {
	case s.send <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *simSession) beat() {
	s.c.mu.Lock()
	silent := s.c.silent
	faults := s.c.fault
	s.c.fault = map[uint32]*omsyncpb.SubtaskFault{}
	s.c.mu.Unlock()
	if silent {
		return
	}
	s.mu.Lock()
	hb := &omsyncpb.Heartbeat{}
	for pid, sub := range s.subs {
		d := s.c.data[pid]
		d.mu.Lock()
		tail := d.z() + uint64(len(d.log))
		d.mu.Unlock()
		hb.Beats = append(hb.Beats, &omsyncpb.SubtaskBeat{Key: sub.a.GetKey(), AttachId: sub.id, TailIndex: tail})
		if f := faults[pid]; f != nil {
			f.Key, f.AttachId = sub.a.GetKey(), sub.id
		}
	}
	s.mu.Unlock()
	_ = s.out(s.ctx, &omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Heartbeat{Heartbeat: hb}})
	for _, f := range faults {
		if f.Key != nil {
			_ = s.out(s.ctx, &omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Fault{Fault: f}})
		}
	}
}

// attachAll attaches assignments that have no attach yet.
func (s *simSession) attachAll(all *sync.WaitGroup) {
	s.c.mu.Lock()
	tasks := map[uint32]*omsyncpb.Assignment{}
	for pid, a := range s.c.tasks {
		tasks[pid] = a
	}
	s.c.mu.Unlock()
	for pid, a := range tasks {
		s.mu.Lock()
		if old := s.subs[pid]; old != nil {
			if old.a.GetToken() == a.GetToken() {
				s.mu.Unlock()
				continue
			}
			old.cancel()
		}
		ctx, cancel := context.WithCancel(s.ctx)
		s.c.mu.Lock()
		s.c.nextID++
		sub := &simSub{a: a, id: s.c.nextID, cancel: cancel, signal: make(chan struct{})}
		lost := s.c.lost[pid]
		s.c.mu.Unlock()
		s.subs[pid] = sub
		s.mu.Unlock()
		_ = s.out(s.ctx, &omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Attach{Attach: &omsyncpb.Attach{
			Key: a.GetKey(), Token: a.GetToken(), AttachId: sub.id, Generation: a.GetGeneration(), Pin: "S1", PinLost: lost,
		}}})
		all.Go(func() { _ = s.export(ctx, sub) })
	}
}

func (s *simSession) sub(key *omsyncpb.SubtaskKey, id uint64) *simSub {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.subs[key.GetPid()]; sub != nil && sub.id == id {
		return sub
	}
	return nil
}

func (s *simSession) receive(all *sync.WaitGroup, m *omsyncpb.SynctoolMessage) {
	switch b := m.GetBody().(type) {
	case *omsyncpb.SynctoolMessage_Attached:
		if sub := s.sub(b.Attached.GetKey(), b.Attached.GetAttachId()); sub != nil {
			sub.update(func() {
				sub.attached, sub.credit, sub.planned = b.Attached, int64(b.Attached.GetCredit()), b.Attached.GetPlan() != nil
			})
		}
	case *omsyncpb.SynctoolMessage_Credit:
		if sub := s.sub(b.Credit.GetKey(), b.Credit.GetAttachId()); sub != nil {
			sub.update(func() { sub.credit += int64(b.Credit.GetBytes()) })
		}
	case *omsyncpb.SynctoolMessage_Committed:
		if sub := s.sub(b.Committed.GetKey(), b.Committed.GetAttachId()); sub != nil {
			sub.update(func() { sub.committed, sub.published = b.Committed.GetPoint(), b.Committed.GetPublished() })
		}
	case *omsyncpb.SynctoolMessage_PlanAccepted:
		if sub := s.sub(b.PlanAccepted.GetKey(), b.PlanAccepted.GetAttachId()); sub != nil {
			sub.update(func() { sub.planned = true })
		}
	case *omsyncpb.SynctoolMessage_Refused:
		sub := s.sub(b.Refused.GetKey(), b.Refused.GetAttachId())
		if sub == nil {
			return
		}
		sub.cancel()
		if b.Refused.GetGone() {
			s.c.mu.Lock()
			if a := s.c.tasks[b.Refused.GetKey().GetPid()]; a != nil && a.GetToken() == sub.a.GetToken() {
				delete(s.c.tasks, b.Refused.GetKey().GetPid())
			}
			s.c.mu.Unlock()
		}
		all.Go(func() { // again, a little later
			wait(s.ctx, 20*time.Millisecond)
			s.mu.Lock()
			if s.subs[sub.a.GetKey().GetPid()] == sub {
				delete(s.subs, sub.a.GetKey().GetPid())
			}
			s.mu.Unlock()
		})
	}
}

func simRow(text string) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(len(text)))
	return append(b, text...)
}

// export is the collector's side of one attach, from the committed point to the end of what there is.
func (s *simSession) export(ctx context.Context, sub *simSub) error {
	if err := sub.until(ctx, func() bool { return sub.attached != nil }); err != nil {
		return err
	}
	d := s.c.data[sub.a.GetKey().GetPid()]
	at := sub.attached.GetPoint()
	e := &simExport{s: s, sub: sub, ctx: ctx, d: d}
	if !sub.attached.GetSnapshotDone() && at.GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT {
		if err := e.scan(string(at.GetKey())); err != nil {
			return err
		}
	}
	if sub.attached.GetPlan() == nil {
		_ = s.out(ctx, &omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Plan{Plan: &omsyncpb.PlanProposal{
			Key: sub.a.GetKey(), AttachId: sub.id,
			Plan: &omsyncpb.Plan{Generation: sub.a.GetGeneration(), SnapshotName: "S1", Z: d.z(), BacklogRows: d.z()},
		}}})
	}
	if err := sub.until(ctx, func() bool { return sub.planned && sub.published }); err != nil {
		return err
	}
	next := at.GetLogIndex()
	if at.GetPhase() < omsyncpb.Phase_PHASE_LOG {
		for next < d.z() {
			n := e.some(int(d.z() - next))
			if err := e.send(d.backlog[next:next+uint64(n)], &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_BACKLOG, LogIndex: next + uint64(n)}, nil); err != nil {
				return err
			}
			next += uint64(n)
		}
	}
	if sub.a.GetMode() == modeFull {
		return e.send(nil, &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_DONE, LogIndex: d.z()}, func(b *omsyncpb.Batch) { b.End = true })
	}
	for {
		rows, grown := d.after(next)
		for len(rows) > 0 {
			n := e.some(len(rows))
			next += uint64(n)
			err := e.send(rows[:n], &omsyncpb.Point{Phase: omsyncpb.Phase_PHASE_LOG, LogIndex: next}, func(b *omsyncpb.Batch) {
				b.Mark = &omsyncpb.LogMark{LogIndex: next, Term: 1, Crc: uint32(next)}
			})
			if err != nil {
				return err
			}
			rows = rows[n:]
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type simExport struct {
	s   *simSession
	sub *simSub
	ctx context.Context
	d   *simData
	seq uint64
}

func (e *simExport) some(most int) int {
	e.s.c.mu.Lock()
	defer e.s.c.mu.Unlock()
	return 1 + e.s.c.rng.IntN(min(most, 20))
}

func (e *simExport) scan(after string) error {
	rows := e.d.snapshot
	for len(rows) > 0 && rows[0] <= after {
		rows = rows[1:]
	}
	last := after
	for len(rows) > 0 {
		n := e.some(len(rows))
		last = rows[n-1]
		if err := e.send(rows[:n], &omsyncpb.Point{Key: []byte(last)}, nil); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return e.send(nil, &omsyncpb.Point{Key: []byte(last)}, func(b *omsyncpb.Batch) { b.SnapshotEnd = true })
}

func (e *simExport) send(rows []string, to *omsyncpb.Point, edit func(*omsyncpb.Batch)) error {
	e.seq++
	b := &omsyncpb.Batch{Key: e.sub.a.GetKey(), AttachId: e.sub.id, Seq: e.seq, To: to, OldestMs: time.Now().UnixMilli(), Delta: &omsyncpb.Counters{}}
	for i, r := range rows {
		key, ok := strings.CutPrefix(r, deleteMark)
		if !ok {
			b.Rows = append(b.Rows, simRow(r)...)
			b.RowCount++
			continue
		}
		b.Delta.Deletes++
		if !e.sub.attached.GetLogDeletes() {
			continue
		}
		m, err := proto.Marshal(&omsyncpb.LogDelete{LogIndex: to.GetLogIndex() - uint64(len(rows)-i-1), Term: 1, Key: []byte(key), EndTs: 7, ReadMs: 8})
		if err != nil {
			return err
		}
		b.Deletes = protowire.AppendBytes(b.Deletes, m)
		b.DeleteCount++
	}
	if b.RowCount > 0 {
		e.d.mu.Lock()
		b.MaxSchemaVersion = e.d.version
		e.d.mu.Unlock()
	}
	if edit != nil {
		edit(b)
	}
	size := weight(b)
	if err := e.sub.until(e.ctx, func() bool { return e.sub.credit >= size }); err != nil {
		return err
	}
	e.sub.update(func() { e.sub.credit -= size })
	return e.s.out(e.ctx, &omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{Batch: b}})
}

// simRows is the schema of simRow: a row of a schema version v is written as text@v when v > 1.
type simRows struct{ latest uint8 }

func newSimRows(info *nspb.TableInfo, _ *coord.TaskSpec) (Rows, error) {
	return simRows{uint8(1 + len(info.GetSchemaVersions()))}, nil
}

func (r simRows) Latest() uint8                  { return r.latest }
func (r simRows) Encoder() (dest.Encoder, error) { return r, nil }
func (r simRows) Suffix() string                 { return ".csv" }

func (r simRows) Split(b []byte) (int, error) {
	if len(b) < 2 || len(b) < 2+int(binary.LittleEndian.Uint16(b)) {
		return 0, io.ErrUnexpectedEOF
	}
	return 2 + int(binary.LittleEndian.Uint16(b)), nil
}

func (r simRows) Append(dst, row []byte) ([]byte, error) {
	return append(append(dst, row[2:]...), '\n'), nil
}
