package coord

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"omsync/openmldb/zkconn"
	"omsync/testenv/memzk"
	"omsync/testenv/zkserver"
)

// ballot records who leads when, as the candidates themselves believe.
type ballot struct {
	mu      sync.Mutex
	leading map[string]bool
	overlap []string
	terms   []string
	epochs  []uint64
}

// candidate stands until the test ends.
type candidate struct {
	name  string
	proxy *zkserver.Proxy
	conn  *zkconn.Conn
	stop  context.CancelFunc
	done  chan struct{}
}

func (b *ballot) stand(t *testing.T, z *zkserver.Target, name string) *candidate {
	t.Helper()
	p, err := zkserver.NewProxy(z.Addr())
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	s := session(t, p.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	c := &candidate{name: name, proxy: p, conn: s.conn, stop: cancel, done: make(chan struct{})}
	t.Cleanup(func() { cancel(); <-c.done })
	go func() {
		defer close(c.done)
		err := s.Election(name).Run(ctx, func(ctx context.Context, l *Lead) error {
			b.mu.Lock()
			for other := range b.leading {
				b.overlap = append(b.overlap, name+" while "+other)
			}
			b.leading[name] = true
			b.mu.Unlock()
			end := func() {
				b.mu.Lock()
				delete(b.leading, name)
				b.mu.Unlock()
			}
			defer end()
			store, err := l.Begin(ctx)
			if err != nil {
				return err
			}
			b.mu.Lock()
			b.terms, b.epochs = append(b.terms, name), append(b.epochs, store.Epoch())
			b.mu.Unlock()
			select {
			case <-l.Lost:
			case <-ctx.Done():
			}
			return nil
		})
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, zkconn.ErrNotConnected) {
			t.Errorf("%s: the election ended with %v", name, err)
		}
	}()
	return c
}

// next waits for the n-th term and returns who has it.
func (b *ballot) next(t *testing.T, n int) string {
	t.Helper()
	eventually(t, fmt.Sprintf("term %d", n), func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.terms) >= n
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.terms[n-1]
}

// TestElection: of three one leads; whatever happens to it another follows, and before that it has given up by itself.
func TestElection(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	b := &ballot{leading: map[string]bool{}}
	all := map[string]*candidate{}
	for _, name := range []string{"one:1", "two:2", "three:3"} {
		all[name] = b.stand(t, z, name)
		if name == "one:1" {
			b.next(t, 1)
		}
	}
	watch := session(t, z.Addr()).WatchLeader()
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan error, 1)
	go func() { watching <- watch.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-watching) })

	term := 1
	for _, tc := range []struct {
		name string
		hurt func(c *candidate)
		heal func(c *candidate)
	}{
		{"swallowed packets", func(c *candidate) { c.proxy.Mute(true) }, func(c *candidate) { c.proxy.Mute(false) }},
		{"refused connections", func(c *candidate) { c.proxy.Refuse(true) }, func(c *candidate) { c.proxy.Refuse(false) }},
		{"node removed", func(c *candidate) {
			w := session(t, z.Addr())
			names, _, err := w.conn.Children(limit(t), w.paths.leader())
			must(t, err)
			must(t, w.conn.Delete(limit(t), w.paths.leader()+"/"+inOrder(names)[0], -1))
		}, func(*candidate) {}},
		{"orderly end", func(c *candidate) { c.stop(); <-c.done }, func(*candidate) {}},
	} {
		leader := all[b.next(t, term)]
		eventually(t, "the leader's address", func() bool { return watch.Snapshot() == leader.name })
		began := time.Now()
		tc.hurt(leader)
		term++
		next := b.next(t, term)
		t.Logf("%s: %s after %s", tc.name, next, time.Since(began).Round(time.Millisecond))
		if next == leader.name {
			t.Errorf("%s: %s leads again although others stood", tc.name, next)
		}
		if tc.name == "orderly end" && time.Since(began) > sessionTime {
			t.Errorf("after an orderly end the next leader came after %s", time.Since(began))
		}
		tc.heal(leader)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// A removed node is a surprise that no clock foretells; otherwise nobody may begin while another believes to lead.
	if len(b.overlap) > 1 || len(b.overlap) == 1 && b.terms[3] != b.overlap[0][:len(b.terms[3])] {
		t.Errorf("two at a time: %v", b.overlap)
	}
	for i := 1; i < len(b.epochs); i++ {
		if b.epochs[i] <= b.epochs[i-1] {
			t.Errorf("epochs %v", b.epochs)
		}
	}
}

// TestExpiredLeader: a session that the server ends by itself costs the lead; the same process may win it again in a later epoch.
func TestExpiredLeader(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	b := &ballot{leading: map[string]bool{}}
	c := b.stand(t, z, "one:1")
	for n := 1; n <= 3; n++ {
		b.next(t, n)
		expire(z, c.conn)
	}
	b.next(t, 4)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.overlap) != 0 {
		t.Errorf("two at a time: %v", b.overlap)
	}
}

// TestElectionLosesAnswers: the answers to a candidate's create get lost; it leaves no second node, and no node at its end.
func TestElectionLosesAnswers(t *testing.T) {
	t.Parallel()
	script := []memzk.Fault{{Lose: true}, {Drop: true}, {Lose: true}}
	z, err := memzk.Start(memzk.Options{Fault: func(r memzk.Request) memzk.Fault {
		if r.Op != memzk.OpCreate || len(r.Path) < 3 || r.Path[len(r.Path)-3:] != "-n-" || len(script) == 0 {
			return memzk.Fault{}
		}
		f := script[0]
		script = script[1:]
		return f
	}})
	must(t, err)
	t.Cleanup(func() { must(t, z.Close()) })
	s := session(t, z.Addr())
	for range 2 {
		_, stop := lead(t, s)
		names, _, err := s.conn.Children(limit(t), s.paths.leader())
		must(t, err)
		if len(names) != 1 {
			t.Fatalf("one candidate has %v", names)
		}
		stop()
		if names, _, err = s.conn.Children(limit(t), s.paths.leader()); err != nil || len(names) != 0 {
			t.Fatalf("it leaves %v, %v", names, err)
		}
	}
}

// TestBeginLosesAnswers: a bump whose answer is lost counts once and is recognised.
func TestBeginLosesAnswers(t *testing.T) {
	t.Parallel()
	var z *memzk.Server
	faults := make(chan memzk.Fault, 8)
	z, err := memzk.Start(memzk.Options{Fault: func(r memzk.Request) memzk.Fault {
		if r.Op != memzk.OpMulti {
			return memzk.Fault{}
		}
		select {
		case f := <-faults:
			return f
		default:
			return memzk.Fault{}
		}
	}})
	must(t, err)
	t.Cleanup(func() { must(t, z.Close()) })
	s := session(t, z.Addr())
	first, stop := lead(t, s)
	stop()
	last := first.Epoch()
	for _, f := range []memzk.Fault{{Lose: true}, {Drop: true}, {Late: 30 * time.Millisecond}} {
		faults <- f
		store, stop := lead(t, s)
		if store.Epoch() != last+1 {
			t.Fatalf("%+v: epoch %d after %d", f, store.Epoch(), last)
		}
		spec, sts := task(fmt.Sprintf("t7-%d", store.Epoch()), 1)
		must(t, store.Create(limit(t), spec, sts)) // the Store is bound to what is there
		last = store.Epoch()
		stop()
	}
}

// TestStandAgain: a process that fails to lead stands at a growing pace; however often ZooKeeper takes the lead away, it is stood for soon.
func TestStandAgain(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		err  error
		most time.Duration
	}{
		"lost":          {fmt.Errorf("the term is over: %w", ErrLost), lostStand},
		"not connected": {&zkconn.Error{Failed: -1, Err: zkconn.ErrNotConnected}, lostStand},
		"failed":        {errors.New("load tasks: damaged"), lastStand},
	} {
		var now time.Duration
		wait := firstStand
		for round := range 20 {
			if now, wait = standAgain(wait, c.err); round == 0 && now != firstStand || now > c.most {
				t.Errorf("%s, round %d: %s", what, round, now)
			}
		}
		if now != c.most {
			t.Errorf("%s: %s after many rounds, want %s", what, now, c.most)
		}
	}
}

// TestLostBeforeBegin: who lost the election can not bump the epoch.
func TestLostBeforeBegin(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	s := session(t, z.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	round, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Election("a:1").Run(ctx, func(ctx context.Context, l *Lead) error {
			if round++; round > 1 {
				cancel()
				return nil
			}
			if err := s.conn.Delete(ctx, l.node, -1); err != nil {
				t.Error(err)
			}
			_, err := l.Begin(ctx)
			if !errors.Is(err, ErrLost) {
				t.Errorf("begin after the lead was lost: %v", err)
			}
			closed(t, "the loss", l.Lost)
			return err
		})
	}()
	closed(t, "the election's end", done)
	if round != 2 {
		t.Fatalf("%d rounds", round)
	}
}
