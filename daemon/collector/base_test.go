package collector

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"omsync/openmldb/snapshot"
)

// TestPlanOfALargeSnapshotEnds: reading the checkpoint's rows ends with the subtask, however few of them concern the log.
func TestPlanOfALargeSnapshotEnds(t *testing.T) {
	t.Parallel()
	p := fixture(t, "101_0")
	m, err := p.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	db, err := snapshot.Open(snapshot.OS(), filepath.Join(p.SnapshotDir(), m.GetName()), snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b, err := openBase(p.Meta(), db)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	rows, closeRows, err := b.rows(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	defer closeRows()
	if _, err := rows.Next(); err != nil {
		t.Fatal(err)
	}
	cancel(errStopped)
	rows, closeAgain, err := b.rows(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAgain()
	if _, err := rows.Next(); !errors.Is(err, errStopped) {
		t.Errorf("%v", err)
	}
}
