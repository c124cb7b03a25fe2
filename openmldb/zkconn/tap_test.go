package zkconn

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// stream is what a server sends.
type stream struct {
	net.Conn
	b    []byte
	step int
}

func (s *stream) Read(b []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.step)], s.b)
	s.b = s.b[n:]
	return n, nil
}

func (s *stream) Write(b []byte) (int, error) { return len(b), nil }
func (s *stream) Close() error                { return nil }
func (s *stream) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

func packet(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func greeting(session uint64, timeout uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0)
	b = binary.BigEndian.AppendUint32(b, timeout)
	b = binary.BigEndian.AppendUint64(b, session)
	b = binary.BigEndian.AppendUint32(b, 16)
	return packet(append(b, "sixteen bytes pw"...))
}

func answer(xid int32, size int) []byte {
	return packet(append(binary.BigEndian.AppendUint32(nil, uint32(xid)), make([]byte, size)...))
}

// TestTap: however the bytes are cut, each answer counts for the oldest request, and events for none.
func TestTap(t *testing.T) {
	t.Parallel()
	for _, step := range []int{1, 2, 3, 5, 7, 64, 1 << 20} {
		var in []byte
		for _, p := range [][]byte{greeting(42, 3000), answer(1, 12), answer(-1, 40), answer(-2, 0), answer(2, 5000), answer(-1, 3)} {
			in = append(in, p...)
		}
		var heard []time.Time
		var session int64
		var timeout time.Duration
		var password []byte
		x := &tap{Conn: &stream{b: in, step: step}, heard: func(sent time.Time) { heard = append(heard, sent) },
			hello: func(s int64, d time.Duration, p []byte) { session, timeout, password = s, d, p }}
		for range 5 { // the connect, a request, a ping, a request, one that stays open
			if _, err := x.Write([]byte("request")); err != nil {
				t.Fatal(err)
			}
		}
		sent := append([]time.Time(nil), x.unanswered...)
		if _, err := io.Copy(io.Discard, readOnly{x}); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if session != 42 || timeout != 3*time.Second || string(password) != "sixteen bytes pw" {
			t.Fatalf("step %d: session %d, time-out %s, password %q", step, session, timeout, password)
		}
		if len(heard) != 4 || heard[3] != sent[3] || x.waiting() != sent[4] {
			t.Fatalf("step %d: %d answers, the last to %v, waiting since %v", step, len(heard), heard, x.waiting())
		}
	}
}

// TestTapHolds: behind the greeting, and the answers let through, nothing comes before the request that sets watches, or the connection's end.
func TestTapHolds(t *testing.T) {
	t.Parallel()
	setWatches := binary.BigEndian.AppendUint32(make([]byte, 8), 101)
	for _, tc := range []struct {
		name  string
		free  int
		first int // bytes that come at once
		wake  func(x *tap) error
		all   bool // the rest comes then
	}{
		{"watches set", 0, 40, func(x *tap) error { _, err := x.Write(setWatches); return err }, true},
		{"after a credential", 1, 40 + 20, func(x *tap) error { _, err := x.Write(setWatches); return err }, true},
		{"cut", 0, 40, func(x *tap) error { return x.cut() }, false},
	} {
		in := append(append(greeting(42, 3000), answer(1, 12)...), answer(2, 12)...)
		x := &tap{Conn: &stream{b: in, step: 4}, heard: func(time.Time) {}, hello: func(int64, time.Duration, []byte) {},
			hold: make(chan struct{}), broken: make(chan struct{}), free: tc.free}
		if _, err := x.Write(make([]byte, 12)); err != nil { // another request releases nothing
			t.Fatal(err)
		}
		if _, err := io.ReadFull(x, make([]byte, tc.first)); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		rest := make(chan int, 1)
		go func() {
			b, _ := io.ReadAll(x)
			rest <- len(b)
		}()
		select {
		case n := <-rest:
			t.Fatalf("%s: %d bytes came before", tc.name, n)
		case <-time.After(20 * time.Millisecond): // a slow machine sees nothing here, a fault is seen on a fast one
		}
		if err := tc.wake(x); err != nil {
			t.Fatal(err)
		}
		want := 0
		if tc.all {
			want = len(in) - tc.first
		}
		if n := <-rest; n != want {
			t.Errorf("%s: %d bytes came then, want %d", tc.name, n, want)
		}
	}
}

type readOnly struct{ io.Reader }

func FuzzTap(f *testing.F) {
	f.Add(append(greeting(1, 1000), answer(-2, 0)...), 3)
	f.Add([]byte{0, 0, 0, 0}, 1)
	f.Add([]byte("HTTP/1.1 400 Bad Request"), 5)
	f.Add([]byte{0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff}, 2)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		heard := 0
		x := &tap{Conn: &stream{b: in, step: max(1, step)}, heard: func(time.Time) { heard++ }, hello: func(int64, time.Duration, []byte) {}}
		for range 3 {
			if _, err := x.Write(nil); err != nil {
				t.Fatal(err)
			}
		}
		n, err := io.Copy(io.Discard, readOnly{x})
		if err == nil && n != int64(len(in)) {
			t.Fatalf("%d of %d bytes passed", n, len(in))
		}
		if heard > 3 || len(x.head) > 40 {
			t.Fatalf("%d answers to 3 requests, %d bytes kept", heard, len(x.head))
		}
	})
}
