package tabletsim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/testenv/binlogw"
)

// load makes data/ of the last snapshot, replays the log behind MANIFEST's offset and opens the log for appending (formats.md §3.1, §4.1). Where
// the offset runs ahead of the log, what came between is lost to the tablet and the index goes on behind the offset: a hole.
func (p *Partition) load() error {
	m, err := readManifest(p.SnapshotDir())
	if err != nil {
		return err
	}
	if p.opts.Engine.Writes() {
		if err := os.RemoveAll(p.dataDir()); err != nil {
			return err
		}
		if m != nil {
			if err := linkDir(filepath.Join(p.SnapshotDir(), m.GetName()), p.dataDir()); err != nil {
				return err
			}
		}
	}
	s := p.Schema()
	if p.store, err = p.opts.Engine.Open(p.dataDir(), s.familyNames(), s.Storage.Number() == 3); err != nil {
		return err
	}
	p.offset.Store(m.GetOffset())
	if err := replay(p.BinlogDir(), func(num uint64, e *apipb.LogEntry) error {
		if len(p.files) == 0 || p.files[len(p.files)-1].num != num {
			p.files = append(p.files, logFile{num: num, first: e.GetLogIndex()})
		}
		p.last = max(p.last, e.GetLogIndex())
		if e.GetLogIndex() <= m.GetOffset() {
			return nil
		}
		return p.applyToStore(e)
	}); err != nil {
		return err
	}
	p.last = max(p.last, m.GetOffset())
	p.offset.Store(p.last)
	p.log, err = binlogw.Open(p.BinlogDir(), binlogw.Options{MaxBytes: p.opts.LogBytes})
	return err
}

func linkDir(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	des, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, de := range des {
		// RocksDB goes on writing MANIFEST-* and CURRENT: a link would change the snapshot.
		src, dst := filepath.Join(from, de.Name()), filepath.Join(to, de.Name())
		if filepath.Ext(de.Name()) == ".sst" {
			err = os.Link(src, dst)
		} else {
			err = copyFile(src, dst)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// Kill ends the replica as SIGKILL ends a tablet: puts under way fail, the log is left where it is. With tear the beginning of a record that nobody
// was told of is its end.
func (p *Partition) Kill(tear bool) error {
	p.mu.Lock()
	log, last := p.log, p.last
	p.log = nil
	links := p.links
	p.links = nil
	p.mu.Unlock()
	if log == nil {
		return nil
	}
	for _, l := range links {
		l.stop()
	}
	var err error
	if tear {
		e := &apipb.LogEntry{
			Pk: proto.String(""), LogIndex: proto.Uint64(last + 1), Term: proto.Uint64(p.Term()), Ts: proto.Uint64(uint64(p.opts.Now().UnixMilli())),
			Value: make([]byte, 300+rand.IntN(9000)),
		}
		err = log.Tear(e, 1+rand.IntN(300))
	}
	err = errors.Join(err, log.Close())
	p.life.Lock()
	defer p.life.Unlock()
	p.dead = true
	if err = errors.Join(err, p.store.Close()); err != nil {
		return fmt.Errorf("kill %d_%d: %w", p.TID, p.PID, err)
	}
	return nil
}
