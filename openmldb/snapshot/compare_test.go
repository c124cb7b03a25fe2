package snapshot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCompareOrder(t *testing.T) {
	t.Parallel()
	// In order; formats.md §3.3.
	keys := [][]byte{
		uk("", math.MaxUint64), uk("", 256), uk("", 255), uk("", 0), uk("\x00", 1),
		uk("a", 1<<63), uk("a", 1<<32), uk("a", 0), uk("a\x00", math.MaxUint64), uk("a\x00", 0), uk("aa", 7), uk("b", 7), uk("\xff", 0), uk("\xff\xff", 9),
	}
	for i, a := range keys {
		for j, b := range keys {
			if got := Compare(a, b); got != cmp.Compare(i, j) {
				t.Errorf("Compare(%x, %x) = %d", a, b, got)
			}
		}
	}
	for _, short := range [][]byte{nil, {1}, []byte("1234567")} {
		if Compare(short, uk("", 0)) != 0 || Compare(uk("", 1), short) != -1 || Compare(short, uk("a", 9)) != -1 {
			t.Errorf("a key of %d bytes does not count as no pk and ts 0", len(short))
		}
	}
}

func TestCompareIsDefinition(t *testing.T) {
	t.Parallel()
	key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xff}), 0, 14)
	split := func(k []byte) ([]byte, uint64) {
		if len(k) < 8 {
			return nil, 0
		}
		ts := uint64(0)
		for i := range 8 {
			ts |= uint64(k[len(k)-8+i]) << (8 * i)
		}
		return k[:len(k)-8], ts
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		pa, ta := split(a)
		pb, tb := split(b)
		want := cmp.Or(slices.Compare(pa, pb), cmp.Compare(tb, ta))
		if got := Compare(a, b); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		if Compare(b, a) != -want {
			t.Fatal("not antisymmetric")
		}
	})
}

func TestIndexKey(t *testing.T) {
	t.Parallel()
	id, other := uint32(3), uint32(noTsColumn)
	alone, shared := Index{}, Index{TsColID: &id}
	if got := alone.Key([]byte("x"), []byte("pk"), 258); !bytes.Equal(got, []byte("xpk\x02\x01\x00\x00\x00\x00\x00\x00")) {
		t.Errorf("alone: %q", got)
	}
	if got := shared.Key(nil, []byte("pk"), 1); !bytes.Equal(got, []byte("pk\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00")) {
		t.Errorf("shared: %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		pk, ts := rapid.SliceOf(rapid.Byte()).Draw(t, "pk"), rapid.Uint64().Draw(t, "ts")
		for _, ix := range []Index{alone, shared} {
			gotPK, gotTs, ok := ix.Split(ix.Key(nil, pk, ts))
			if !ok || !bytes.Equal(gotPK, pk) || gotTs != ts {
				t.Fatalf("%x %d became %x %d %v", pk, ts, gotPK, gotTs, ok)
			}
		}
		if _, _, ok := (Index{TsColID: &other}).Split(shared.Key(nil, pk, ts)); ok {
			t.Fatal("a key of another index was taken")
		}
	})
	for _, k := range [][]byte{nil, make([]byte, 7), binary.LittleEndian.AppendUint64(nil, 1)} {
		if _, _, ok := shared.Split(k); ok {
			t.Errorf("%x was taken for a key of a shared family", k)
		}
	}
}
