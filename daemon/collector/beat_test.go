package collector

import (
	"errors"
	"strconv"
	"sync"
	"testing"

	"omsync/rpc/omsyncpb"
)

// TestTurns: a heartbeat does not queue behind the batches that stand in line.
func TestTurns(t *testing.T) {
	t.Parallel()
	var x turns
	x.take(false)
	var all sync.WaitGroup
	var mu sync.Mutex
	var order []string
	join := func(name string, hurry bool) {
		all.Go(func() {
			x.take(hurry)
			mu.Lock()
			order = append(order, name)
			mu.Unlock()
			x.pass()
		})
		until(t, name+" stands in line", func() bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			line := x.rest
			if hurry {
				line = x.hurry
			}
			n, _ := strconv.Atoi(name[1:])
			return len(line) == n
		})
	}
	join("b1", false)
	join("b2", false)
	join("h1", true)
	join("h2", true)
	x.pass()
	all.Wait()
	want := []string{"h1", "h2", "b1", "b2"}
	for i, name := range want {
		if order[i] != name {
			t.Fatalf("%q, want %q", order, want)
		}
	}
	x.take(true) // free again
	x.pass()
}

// sentStream keeps what is sent.
type sentStream struct {
	omsyncpb.Ingest_StreamClient
	sent []*omsyncpb.CollectorMessage // one sender at a time
}

func (s *sentStream) Send(m *omsyncpb.CollectorMessage) error {
	s.sent = append(s.sent, m)
	return nil
}

// TestBatchesGoLast: of what waits for the stream a heartbeat goes before a batch that came earlier.
func TestBatchesGoLast(t *testing.T) {
	t.Parallel()
	stream := &sentStream{}
	l := &link{ctx: t.Context(), stream: stream}
	l.sending.take(false)
	var all sync.WaitGroup
	line := func(n int) func() bool {
		return func() bool {
			l.sending.mu.Lock()
			defer l.sending.mu.Unlock()
			return len(l.sending.hurry)+len(l.sending.rest) == n
		}
	}
	all.Go(func() {
		if err := l.send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{}}); err != nil {
			t.Error(err)
		}
	})
	until(t, "the batch waits", line(1))
	all.Go(l.beat)
	until(t, "the heartbeat waits", line(2))
	l.sending.pass()
	all.Wait()
	if _, ok := stream.sent[0].GetBody().(*omsyncpb.CollectorMessage_Heartbeat); !ok || len(stream.sent) != 2 {
		t.Errorf("%v", stream.sent)
	}
}

// beats waits for n heartbeats more.
func (s *scene) beats(n int) {
	s.t.Helper()
	s.tool.mu.Lock()
	from := s.tool.subs[0].beats
	s.tool.mu.Unlock()
	s.tool.until("heartbeats", func() bool { return s.tool.subs[0].beats >= from+n })
}

// TestHeartbeatsWaitForNothing: neither a synctool that takes no rows nor a disk that hangs keeps heartbeats back.
func TestHeartbeatsWaitForNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, func(o *Options) { o.MaxPack = 1000 })
	s.tool.credit = 2000
	_, last := fill(t, s.p, 0, 10)
	s.assign(2)
	s.exported(last)

	s.hold()
	_, last = fill(t, s.p, 10, 500)
	s.tool.until("the credit is used up", func() bool { return s.tool.subs[0].beat.GetWaitingFor() == "the synctool to take rows" })
	s.beats(5)
	s.release()
	s.c.cut() // the next attach has all its credit again
	s.exported(last)

	hang := make(chan struct{})
	hung := make(chan struct{})
	var once sync.Once
	s.c.fs.mu.Lock()
	s.c.fs.fail = func(op, name string) error { // under the lock that every call takes
		once.Do(func() { close(hung) })
		<-hang
		return errors.New("input/output error")
	}
	s.c.fs.mu.Unlock()
	if err := s.p.Rotate(); err != nil {
		t.Fatal(err)
	}
	_, last = fill(t, s.p, 510, 1) // a file to link
	<-hung
	s.beats(5)
	close(hang)
	s.c.fs.mu.Lock()
	s.c.fs.fail = nil
	s.c.fs.mu.Unlock()
	s.exported(last)
	s.unfailed()
}
