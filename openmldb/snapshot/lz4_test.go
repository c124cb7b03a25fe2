package snapshot

import (
	"bytes"
	"testing"

	"github.com/pierrec/lz4/v4"
	"pgregory.net/rapid"
)

func lz4Compress(t testing.TB, b []byte) []byte {
	t.Helper()
	out := make([]byte, lz4.CompressBlockBound(len(b)))
	n, err := lz4.CompressBlock(b, out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 { // it does not shrink; literals only then
		out = append(out[:0], 0xF0)
		n := len(b) - 15
		if n < 0 {
			return append([]byte{byte(len(b)) << 4}, b...)
		}
		for ; n >= 255; n -= 255 {
			out = append(out, 255)
		}
		return append(append(out, byte(n)), b...)
	}
	return out[:n]
}

func TestLZ4(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var b []byte
		for range rapid.IntRange(0, 30).Draw(rt, "pieces") {
			piece := rapid.SliceOfN(rapid.ByteRange(0, 3), 1, 40).Draw(rt, "piece")
			b = append(b, bytes.Repeat(piece, rapid.IntRange(1, 40).Draw(rt, "times"))...)
		}
		packed := lz4Compress(t, b)
		out := make([]byte, len(b))
		if err := lz4Block(out, packed); err != nil || !bytes.Equal(out, b) {
			rt.Fatalf("%x: %v", packed, err)
		}
		for _, n := range []int{0, len(b) - 1, len(b) + 1} {
			if n >= 0 && n != len(b) && lz4Block(make([]byte, n), packed) == nil {
				rt.Fatalf("%d bytes decoded into %d", len(b), n)
			}
		}
	})
}

// FuzzLZ4: no input reads or writes outside, and what is accepted is what the usual decoder makes of it.
func FuzzLZ4(f *testing.F) {
	f.Add(lz4Compress(f, bytes.Repeat([]byte("abcabcabcx"), 50)), 500)
	f.Add([]byte{0xF0}, 3)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 1 || n > 1<<16 {
			return
		}
		dst := make([]byte, n)
		if lz4Block(dst, b) != nil {
			return
		}
		want := make([]byte, n)
		if k, err := lz4.UncompressBlock(b, want); err == nil && k == n && !bytes.Equal(dst, want) {
			t.Fatalf("got %x, want %x", dst, want)
		}
	})
}

func BenchmarkLZ4(b *testing.B) {
	block := benchTables(1000, 1, false, compressNone)[0].table()[:200_000]
	packed := lz4Compress(b, block)
	dst := make([]byte, len(block))
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if err := lz4Block(dst, packed); err != nil {
			b.Fatal(err)
		}
	}
}
