package coord

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestIndexes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in  []uint64
		out []byte
	}{
		{nil, []byte{}},
		{[]uint64{0}, []byte{0}},
		{[]uint64{1, 2, 3}, []byte{1, 1, 1}},
		{[]uint64{300, 301, 1000}, []byte{0xac, 0x02, 1, 0xbb, 0x05}},
		{[]uint64{math.MaxUint64}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
	} {
		b, err := EncodeIndexes(tc.in)
		must(t, err)
		if !bytes.Equal(b, tc.out) {
			t.Errorf("%v: % x, want % x", tc.in, b, tc.out)
		}
		got, err := DecodeIndexes(b)
		must(t, err)
		if !slices.Equal(got, tc.in) {
			t.Errorf("%v: came back as %v", tc.in, got)
		}
	}
	for _, in := range [][]uint64{{1, 1}, {2, 1}, {0, 0}} {
		if _, err := EncodeIndexes(in); err == nil {
			t.Errorf("%v is encoded", in)
		}
	}
	for _, b := range [][]byte{
		{0x80},    // cut
		{1, 0},    // repeated
		{0, 0},    // repeated 0
		{1, 0x80}, // cut later
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, // no varint
		{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, // overflow
	} {
		if got, err := DecodeIndexes(b); err == nil {
			t.Errorf("% x is decoded as %v", b, got)
		}
	}
}

func TestIndexesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfDistinct(rapid.Uint64(), rapid.ID).Draw(t, "indexes")
		slices.Sort(in)
		b, err := EncodeIndexes(in)
		must(t, err)
		got, err := DecodeIndexes(b)
		must(t, err)
		if !slices.Equal(got, in) {
			t.Fatalf("%v came back as %v", in, got)
		}
	})
}

func FuzzDecodeIndexes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 1, 1})
	f.Add([]byte{0xac, 0x02, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := DecodeIndexes(b)
		if err != nil {
			return
		}
		again, err := EncodeIndexes(got)
		if err != nil {
			t.Fatalf("decoded %v: %v", got, err)
		}
		if back, err := DecodeIndexes(again); err != nil || !slices.Equal(back, got) {
			t.Fatalf("%v, %v", back, err)
		}
	})
}

func BenchmarkDecodeIndexes(b *testing.B) {
	in := make([]uint64, 1<<20)
	for i := range in {
		in[i] = uint64(i)*3 + 1_000_000_000
	}
	enc, err := EncodeIndexes(in)
	must(b, err)
	b.SetBytes(int64(len(enc)))
	for b.Loop() {
		n := 0
		for _, err := range Indexes(enc) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != len(in) {
			b.Fatal(n)
		}
	}
}
