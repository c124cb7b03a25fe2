package binlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/testenv/binlogw"
)

// entryOf is a put whose value is n bytes long and says its index.
func entryOf(index uint64, n int) *apipb.LogEntry {
	v := bytes.Repeat([]byte{byte(index)}, n)
	copy(v, fmt.Sprint(index))
	return &apipb.LogEntry{Term: proto.Uint64(1), LogIndex: proto.Uint64(index), Pk: proto.String(""), Value: v, Ts: proto.Uint64(1000 + index),
		Dimensions: []*apipb.Dimension{{Key: proto.String(fmt.Sprint("k", index)), Idx: proto.Uint32(0)}}}
}

type writer struct {
	testing.TB
	dir string
	*binlogw.Writer
}

func newWriter(t testing.TB, dir string, opts binlogw.Options) *writer {
	t.Helper()
	w, err := binlogw.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return &writer{t, dir, w}
}

// add appends entries from..to of n bytes.
func (w *writer) add(from, to uint64, n int) {
	w.Helper()
	for i := from; i <= to; i++ {
		if err := w.Append(entryOf(i, n)); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *writer) rotate() {
	w.Helper()
	if err := w.Rotate(); err != nil {
		w.Fatal(err)
	}
}

// restart is a tablet killed and started again.
func (w *writer) restart() {
	w.Helper()
	if err := w.Close(); err != nil {
		w.Fatal(err)
	}
	n, err := binlogw.Open(w.dir, binlogw.Options{})
	if err != nil {
		w.Fatal(err)
	}
	w.Writer = n
	w.Cleanup(func() { n.Close() })
}

func reader(t testing.TB, dir string, opts Options) *Reader {
	t.Helper()
	r := NewReader(OS(), dir, opts)
	t.Cleanup(func() { r.Close() })
	return r
}

// drain reads to the first error.
func drain(r *Reader) (got []uint64, err error) {
	for {
		e, err := r.Next()
		if err != nil {
			return got, err
		}
		if !bytes.HasPrefix(e.Value, []byte(fmt.Sprint(e.Index))) {
			return got, fmt.Errorf("entry %d has value %.20q", e.Index, e.Value)
		}
		got = append(got, e.Index)
	}
}

func (w *writer) wantDrain(r *Reader, want error, indexes ...uint64) {
	w.Helper()
	got, err := drain(r)
	if fmt.Sprint(got) != fmt.Sprint(indexes) {
		w.Fatalf("got %v (%v), want %v", got, err, indexes)
	}
	if want != nil && !errors.Is(err, want) {
		w.Fatalf("after %v: %v, want %v", got, err, want)
	}
}

func (w *writer) wantStats(r *Reader, holes, repeated, skipped uint64) {
	w.Helper()
	if h, rep, s := r.Stats(); h != holes || rep != repeated || s != skipped {
		w.Errorf("holes %d, repeated %d, skipped %d; want %d, %d, %d", h, rep, s, holes, repeated, skipped)
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
