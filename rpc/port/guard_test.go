package port

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"omsync/rpc/budget"
)

func h2frame(kind, flags byte, stream uint32, payload []byte) []byte {
	h := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(h, stream), payload...)
}

func message(n int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(n)), make([]byte, n)...)
}

func padded(data []byte, pad int) []byte {
	return append(append([]byte{byte(pad)}, data...), make([]byte, pad)...)
}

func testGuard() *guard {
	return &guard{inbound: budget.New(1<<30, "k"), open: map[uint32]*inbound{}}
}

// held tells what the guard counts as incomplete after the peer's and our own frames.
func TestGuardCountsIncompleteMessages(t *testing.T) {
	t.Parallel()
	m := message(100)
	type step struct {
		ours  bool
		frame []byte
		held  int64
	}
	for name, steps := range map[string][]step{
		"whole message":        {{false, h2frame(frameHeaders, 4, 1, []byte("h")), 0}, {false, h2frame(frameData, 0, 1, m), 0}},
		"in two frames":        {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, 0, 1, m[:60]), 60}, {false, h2frame(frameData, 0, 1, m[60:]), 0}},
		"prefix cut":           {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, 0, 1, m[:3]), 3}, {false, h2frame(frameData, 0, 1, m[3:]), 0}},
		"two messages and one": {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, 0, 1, append(append([]byte{}, m...), m[:10]...)), 10}},
		"empty messages":       {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, 0, 1, append(message(0), message(0)...)), 0}},
		"padding":              {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, flagPadded, 1, padded(m[:50], 30)), 50}, {false, h2frame(frameData, flagPadded, 1, padded(m[50:], 0)), 0}},
		"nothing but padding":  {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, flagPadded, 1, padded(nil, 7)), 0}},
		"peer resets":          {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, 0, 1, m[:60]), 60}, {false, h2frame(frameReset, 0, 1, []byte("abcd")), 0}},
		"peer ends early":      {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, flagEndStream, 1, m[:60]), 60}, {true, h2frame(frameHeaders, 5, 1, nil), 0}},
		"we end": {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, 0, 1, m[:60]), 60},
			{true, h2frame(frameHeaders, 4, 1, nil), 60}, {true, h2frame(frameHeaders, 4|flagEndStream, 1, []byte("status")), 0}, {false, h2frame(frameData, 0, 1, m[60:]), 0}},
		"we reset":           {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameData, 0, 1, m[:60]), 60}, {true, h2frame(frameReset, 0, 1, []byte("abcd")), 0}},
		"two streams":        {{false, h2frame(frameHeaders, 4, 1, nil), 0}, {false, h2frame(frameHeaders, 4, 3, nil), 0}, {false, h2frame(frameData, 0, 1, m[:60]), 60}, {false, h2frame(frameData, 0, 3, m[:50]), 110}, {false, h2frame(frameData, 0, 1, m[60:]), 50}},
		"trailers open none": {{false, h2frame(frameHeaders, 4, 3, nil), 0}, {false, h2frame(frameReset, 0, 3, []byte("abcd")), 0}, {false, h2frame(frameHeaders, 5, 3, nil), 0}, {false, h2frame(frameData, 0, 3, m[:60]), 0}},
		"unknown stream":     {{false, h2frame(frameData, 0, 7, m[:60]), 0}},
	} {
		for _, chunk := range []int{1, 7, 1 << 20} {
			g := testGuard()
			for i, st := range steps {
				for b := st.frame; len(b) > 0; {
					n := min(chunk, len(b))
					if st.ours {
						g.out.feed(b[:n], g.fromUs)
					} else {
						g.in.feed(b[:n], g.fromPeer)
					}
					b = b[n:]
				}
				if g.partial != st.held {
					t.Errorf("%s, %d bytes at a time, step %d: %d held, want %d", name, chunk, i, g.partial, st.held)
				}
			}
		}
	}
}

// However frames are cut into reads, the same is held at the end.
func TestGuardDoesNotDependOnPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var all []byte
		for range rapid.IntRange(1, 30).Draw(rt, "frames") {
			stream := uint32(rapid.IntRange(0, 4).Draw(rt, "stream"))
			payload := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, "payload")
			if rapid.Bool().Draw(rt, "message") {
				payload = message(rapid.IntRange(0, 40).Draw(rt, "size"))
			}
			kind := rapid.SampledFrom([]byte{frameData, frameHeaders, frameData, frameReset, 8}).Draw(rt, "kind")
			all = append(all, h2frame(kind, rapid.SampledFrom([]byte{0, 1, 8, 9}).Draw(rt, "flags"), stream, payload)...)
		}
		whole, pieces := testGuard(), testGuard()
		whole.in.feed(all, whole.fromPeer)
		for b := all; len(b) > 0; {
			n := rapid.IntRange(1, len(b)).Draw(rt, "piece")
			pieces.in.feed(b[:n], pieces.fromPeer)
			b = b[n:]
		}
		if whole.partial != pieces.partial || whole.complete != pieces.complete || len(whole.open) != len(pieces.open) {
			rt.Fatalf("%d held in %d streams at once, %d in %d in pieces", whole.partial, len(whole.open), pieces.partial, len(pieces.open))
		}
	})
}

// What was reserved while a message came in is handed to the call that reads it, never counted twice and never lost.
func TestClaims(t *testing.T) {
	t.Parallel()
	g := testGuard()
	big := 1 << 20
	g.in.feed(h2frame(frameHeaders, 4, 1, nil), g.fromPeer)
	for b := message(big); len(b) > 0; b = b[min(16<<10, len(b)):] {
		g.in.feed(h2frame(frameData, 0, 1, b[:min(16<<10, len(b))]), g.fromPeer)
		if want := g.partial + g.complete - allowance - g.taken; want > 0 {
			if err := g.inbound.Reserve(want); err != nil {
				t.Fatal(err)
			}
			g.taken += want
		}
	}
	reserved := int64(big + prefixLen - allowance)
	if g.complete != int64(big+prefixLen) || g.taken != reserved || g.inbound.Used() != reserved {
		t.Fatalf("complete %d, taken %d, used %d", g.complete, g.taken, g.inbound.Used())
	}
	l := g.claim(int64(big))
	if l.Held() != reserved || g.taken != 0 || g.complete != 0 || g.inbound.Used() != reserved {
		t.Fatalf("claimed %d, taken %d, complete %d, used %d", l.Held(), g.taken, g.complete, g.inbound.Used())
	}
	l.Release()
	if g.inbound.Used() != 0 {
		t.Fatalf("%d bytes lost", g.inbound.Used())
	}
	// a message nobody reads is counted until no call is open
	g.in.feed(h2frame(frameData, 0, 1, message(100)), g.fromPeer)
	if g.complete != 105 {
		t.Fatalf("complete %d", g.complete)
	}
	g.out.feed(h2frame(frameHeaders, 4|flagEndStream, 1, nil), g.fromUs)
	if g.complete != 0 {
		t.Fatalf("complete %d after the last call", g.complete)
	}
	if l := g.claim(10); l.Held() != 0 {
		t.Fatalf("claimed %d of nothing", l.Held())
	}
	(*guard)(nil).claim(5).Release()
}

func FuzzGuard(f *testing.F) {
	f.Add(append(h2frame(frameHeaders, 4, 1, nil), h2frame(frameData, 8, 1, padded(message(10), 3))...))
	f.Add([]byte{0, 0, 1, 0, 8, 0, 0, 0, 1, 255, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		g := testGuard()
		g.in.feed(in, g.fromPeer)
		g.out.feed(in, g.fromUs)
		var sum int64
		for _, m := range g.open {
			sum += m.held
		}
		if g.partial != sum || g.partial < 0 || g.complete < 0 || g.partial+g.complete > int64(len(in)) {
			t.Fatalf("%d partial, the streams say %d, %d complete, of %d bytes", g.partial, sum, g.complete, len(in))
		}
	})
}
