package binlogw

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
)

func open(t *testing.T, dir string, opts Options) *Writer {
	t.Helper()
	w, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vector is the entry of formats.md §4.2 as a full record.
const vector = "47d23475" + "1400" + "01" + "080110011a002202616228e80732050a016b1000"

const eofRecord = "f0b91d31" + "0000" + "05"

func vectorEntry() *apipb.LogEntry {
	return &apipb.LogEntry{Term: proto.Uint64(1), LogIndex: proto.Uint64(1), Pk: proto.String(""), Value: []byte("ab"), Ts: proto.Uint64(1000),
		Dimensions: []*apipb.Dimension{{Key: proto.String("k"), Idx: proto.Uint32(0)}}}
}

func TestVectors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := open(t, dir, Options{})
	if err := w.Append(vectorEntry()); err != nil {
		t.Fatal(err)
	}
	if err := w.Rotate(); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(read(t, dir, "00000000.log")); got != vector+eofRecord {
		t.Fatalf("got %s", got)
	}
}

// A record that begins with exactly a header's room left in its block has an empty first piece; with less room the block is filled with zeros.
func TestBlockEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		left  int
		types []byte // of the physical records behind the first
		at    int64
	}{{8, []byte{first, last}, block - 8}, {7, []byte{first, last}, block - 7}, {6, []byte{full}, block}, {1, []byte{full}, block}, {0, []byte{full}, block}} {
		dir := t.TempDir()
		w := open(t, dir, Options{})
		for _, n := range []int{block - header - tt.left, 40} {
			if err := w.AppendBytes(bytes.Repeat([]byte("x"), n)); err != nil {
				t.Fatal(err)
			}
		}
		b := read(t, dir, "00000000.log")
		var types []byte
		for off := tt.at; off < int64(len(b)); {
			types = append(types, b[off+6])
			off += header + int64(b[off+4]) + int64(b[off+5])<<8
			off += pad(off)
		}
		if !bytes.Equal(types, tt.types) {
			t.Errorf("%d bytes left: records %v, want %v", tt.left, types, tt.types)
		}
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := open(t, dir, Options{MaxBytes: 100, NameWidth: 4})
	for range 9 {
		if err := w.AppendBytes(make([]byte, 30)); err != nil { // 37 bytes with its header
			t.Fatal(err)
		}
	}
	for _, name := range []string{"0000.log", "0001.log"} {
		if b := read(t, dir, name); len(b) != 3*37+header || hex.EncodeToString(b[3*37:]) != eofRecord {
			t.Errorf("%s: %d bytes", name, len(b))
		}
	}
	if b := read(t, dir, "0002.log"); len(b) != 3*37 || w.File() != 2 {
		t.Errorf("%d bytes in file %d", len(b), w.File())
	}
}

// TestRestart: EOF over a torn tail, a new file at the next append; a last file without a whole record is used again.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := open(t, dir, Options{})
	if err := w.Append(vectorEntry()); err != nil {
		t.Fatal(err)
	}
	big := vectorEntry()
	big.Value = make([]byte, 9000)
	if err := w.Tear(big, 5000); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(big); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("append after the crash: %v", err)
	}
	good := int64(len(vector) / 2)
	open(t, dir, Options{})
	b := read(t, dir, "00000000.log")
	if int64(len(b)) != good+5000 || hex.EncodeToString(b[good:good+header]) != eofRecord {
		t.Fatalf("%d bytes, %x at the end of the last record", len(b), b[good:good+header])
	}
	if w = open(t, dir, Options{}); w.File() != 1 || len(read(t, dir, "00000000.log")) != len(b) {
		t.Fatal("a second restart changes nothing")
	}
	if err := w.Tear(big, 5000); err != nil {
		t.Fatal(err)
	}
	if w = open(t, dir, Options{}); w.File() != 1 {
		t.Fatalf("a last file without a whole record must be used again, not %d", w.File())
	}
	if err := w.Append(vectorEntry()); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(read(t, dir, "00000001.log")); got != vector {
		t.Fatalf("the file without a record was not used again: %s", got)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); err == nil {
		t.Error("a file is no directory")
	}
	dir := t.TempDir()
	w := open(t, dir, Options{})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(vectorEntry()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
