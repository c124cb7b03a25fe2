package inspect_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/binlog"
	"omsync/openmldb/pb/apipb"
	"omsync/testenv/binlogw"
	"omsync/tui/ctl"
	"omsync/tui/inspect"
)

// meter counts lines and looks at the heap after the first lines and near the end.
type meter struct {
	lines, total int
	early, late  uint64
}

func (m *meter) Write(b []byte) (int, error) {
	before := m.lines
	m.lines += bytes.Count(b, []byte("\n"))
	for at, heap := range map[int]*uint64{m.total / 10: &m.early, m.total * 9 / 10: &m.late} {
		if before < at && m.lines >= at {
			runtime.GC()
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			*heap = s.HeapAlloc
		}
	}
	return len(b), nil
}

// TestMemoryDoesNotGrow reads a log of 40 MB in several files: what is in memory does not depend on how much was read. It must not run beside others.
func TestMemoryDoesNotGrow(t *testing.T) {
	const entries = 300_000
	dir := filepath.Join(t.TempDir(), "binlog")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := binlog.NewReader(binlog.OS(), "../../testdata/disk/112_0/binlog", binlog.Options{})
	defer r.Close()
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	w, err := binlogw.Open(dir, binlogw.Options{MaxBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	one := &apipb.LogEntry{Term: proto.Uint64(1), Pk: proto.String(""), Value: bytes.Clone(e.Value), Ts: proto.Uint64(e.TS), LogIndex: proto.Uint64(0),
		Dimensions: []*apipb.Dimension{{Key: proto.String(string(e.Dims[0].Key)), Idx: proto.Uint32(0)}}}
	for i := range uint64(entries) {
		*one.LogIndex = i + 1
		if err := w.Append(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m := &meter{total: entries}
	code := ctl.Main(context.Background(), []string{"inspect", "binlog", "--table-info", "../../testdata/disk/112_0/table_meta.txt", dir}, ctl.Env{
		Out: m, Err: io.Discard, More: []*cli.Command{inspect.Command(inspect.Env{Out: m, Err: io.Discard, Now: time.Now})},
	})
	if code != 0 || m.lines != entries {
		t.Fatalf("exit code %d, %d lines", code, m.lines)
	}
	if m.early == 0 || m.late > m.early+2<<20 {
		t.Errorf("the heap grew from %d to %d bytes", m.early, m.late)
	}
}
