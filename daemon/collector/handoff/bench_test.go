package handoff

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
)

// madeLog is a log of n puts of n/2 keys, made while it is read.
type madeLog struct {
	i, n uint64
	key  [16]byte
	r    *rand.Rand
}

func (l *madeLog) Next() (Entry, error) {
	if l.i == l.n {
		return Entry{}, io.EOF
	}
	l.i++
	binary.BigEndian.PutUint64(l.key[:], l.r.Uint64N(l.n/2))
	return Entry{Index: l.i, Op: Put, Key: l.key[:], Ts: l.i / 4, Hash: hashOf(int(l.i)), PutMs: l.i}, nil
}

// madeRows is a checkpoint of n/2 keys with one row each, made while it is read.
type madeRows struct {
	i, n uint64
	key  [16]byte
}

func (l *madeRows) Next() (Row, error) {
	if l.i == l.n {
		return Row{}, io.EOF
	}
	binary.BigEndian.PutUint64(l.key[:], l.i)
	l.i++
	return Row{Key: l.key[:], Ts: 1}, nil
}

func (l *madeRows) Hash() ([16]byte, error) { return hashOf(1), nil }

func BenchmarkCompute(b *testing.B) {
	const n = 1_000_000
	for _, bm := range []struct {
		name  string
		batch int
	}{{"in memory", 1 << 28}, {"8 MiB", 0}, {"1 MiB", 1 << 20}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			dir := b.TempDir()
			for b.Loop() {
				in := Input{Log: &madeLog{n: n, r: rand.New(rand.NewPCG(1, 1))}, Rows: &madeRows{n: n / 2}, ManifestOffset: n, CheckpointMs: 1}
				if _, err := Compute(context.Background(), in, Options{TempDir: dir, Batch: bm.batch}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
