package synctool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/failpoint"
	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/datasyncpb"
	"omsync/openmldb/snapshot"
)

// mirror keeps <progress_path>/<tid>/<pid>.progress, upstream's record of where a subtask stands (formats.md §6.3): for the helper's
// tool-status and for a way back. The truth is in ZooKeeper; nothing is ever read from here.
type mirror struct {
	dir    string
	tool   string // advertised address
	log    *slog.Logger
	errors atomic.Int64

	files   sync.Mutex // no directory is retired while a file in it is written
	mu      sync.Mutex
	waiting map[*subtask]struct{}
	wake    chan struct{}
	lastErr error
}

func newMirror(dir, tool string, log *slog.Logger) *mirror {
	return &mirror{dir: dir, tool: tool, log: log, waiting: map[*subtask]struct{}{}, wake: make(chan struct{}, 1)}
}

// add has a subtask's present state mirrored.
func (m *mirror) add(s *subtask) {
	if m.dir == "" {
		return
	}
	m.mu.Lock()
	m.waiting[s] = struct{}{}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends. A failure is shown in /health and tried again at the subtask's next commit.
func (m *mirror) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		}
		m.flush(ctx)
	}
}

// flush writes what waits now.
func (m *mirror) flush(ctx context.Context) {
	for s := m.next(); s != nil && ctx.Err() == nil; s = m.next() {
		m.note(m.write(s))
	}
}

func (m *mirror) next() *subtask {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.waiting {
		delete(m.waiting, s)
		return s
	}
	return nil
}

func (m *mirror) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.errors.Add(1)
		if m.lastErr == nil {
			m.log.Error("progress mirror", "err", err)
		}
	}
	m.lastErr = err
}

// err is the last write's.
func (m *mirror) err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastErr
}

func (m *mirror) write(s *subtask) error {
	if err := failpoint.Hit("synctool/mirror"); err != nil {
		return err
	}
	m.files.Lock()
	defer m.files.Unlock()
	select {
	case <-s.ended: // its directory may be out of the way already (retire)
		return nil
	default:
	}
	st := s.rec.get()
	var b bytes.Buffer
	if _, err := protodelim.MarshalTo(&b, progressOf(&s.task.spec, s.pid, &st, m.tool, s.task.split)); err != nil {
		return fmt.Errorf("mirror %s partition %d: %w", s.task.name(), s.pid, err)
	}
	path := m.path(s.task.spec.TID, s.pid)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("sync_task.progress_path: %w", err)
	}
	if err := replaceFile(path, b.Bytes()); err != nil {
		return fmt.Errorf("sync_task.progress_path: %w", err)
	}
	return nil
}

func (m *mirror) path(tid, pid uint32) string {
	return filepath.Join(m.dir, strconv.Itoa(int(tid)), strconv.Itoa(int(pid))+".progress")
}

// retire puts a task's mirror out of the way under the name upstream gives it, <tid>.deleted.<ms>.
func (m *mirror) retire(t *task, ms int64) error {
	if m.dir == "" {
		return nil
	}
	m.mu.Lock()
	for _, s := range t.subs {
		delete(m.waiting, s)
	}
	m.mu.Unlock()
	m.files.Lock()
	defer m.files.Unlock()
	dir := filepath.Join(m.dir, strconv.Itoa(int(t.spec.TID)))
	err := os.Rename(dir, fmt.Sprintf("%s.deleted.%d", dir, ms))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// progressOf writes a subtask as upstream's SyncTool would (formats.md §6.1): a snapshot point names the next row, a log point the next
// index. Ours names the last one, so the snapshot's key is given as it is: at worst upstream repeats one row. split cuts a checkpoint's key.
func progressOf(spec *coord.TaskSpec, pid uint32, st *coord.SubtaskState, tool string, split func(key []byte) (pk []byte, ts uint64, ok bool)) *datasyncpb.AddSyncTaskRequest {
	p := &datasyncpb.AddSyncTaskRequest{
		Tid: proto.Uint32(spec.TID), Pid: proto.Uint32(pid), Mode: datasyncpb.SyncMode(spec.Mode).Enum(), StartTs: proto.Uint64(spec.StartTS),
		SyncPoint: &datasyncpb.SyncPoint{Type: datasyncpb.SyncType_kSNAPSHOT.Enum()}, TabletEndpoint: proto.String(st.Tablet),
		DesEndpoint: proto.String(tool), Token: proto.String(st.Token), Dest: proto.String(spec.Dest),
	}
	switch st.Point.Phase {
	case phaseLog, phaseDone:
		p.SyncPoint.Type, p.SyncPoint.Offset = datasyncpb.SyncType_kBINLOG.Enum(), proto.Uint64(st.Point.Index+1)
	case phaseBacklog:
		p.SyncPoint.Type, p.SyncPoint.Offset = datasyncpb.SyncType_kBINLOG.Enum(), proto.Uint64(st.Point.Index)
	default:
		// A key that is kept in a file of its own, or whose bytes are no UTF-8 (upstream's proto2 strings carry them all the same, Go's do not), is not
		// told: the snapshot's beginning is, and upstream would repeat what is before it.
		if pk, ts, ok := split(st.Point.Key); ok && !isKeyRef(st.Point.Key) && isText(string(pk)) {
			p.SyncPoint.Pk, p.SyncPoint.Ts = proto.String(string(pk)), proto.Uint64(ts)
		}
	}
	return p
}

// split cuts a key of the table's checkpoints. In a family that several indexes share it ends in the ts column's number and the ts, else in the ts
// alone; an index added later has a family of its own until the tablet loads the table anew, which only the key itself tells.
func (t *task) split(key []byte) (pk []byte, ts uint64, ok bool) {
	if info, known := t.term.world.TableByID(t.spec.TID); known {
		meta := &apipb.TableMeta{Db: info.Db, Name: info.Name, ColumnKey: info.GetColumnKey(), ColumnDesc: info.GetColumnDesc(), AddedColumnDesc: info.GetAddedColumnDesc()}
		if ix, err := snapshot.IndexOf(meta, 0); err == nil {
			if pk, ts, ok = ix.Split(key); ok {
				return pk, ts, true
			}
		}
	}
	return snapshot.Index{}.Split(key)
}
