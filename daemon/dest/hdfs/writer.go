package hdfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	native "github.com/colinmarc/hdfs/v2"
)

// piece is what the native client is given at a time: an error of a line is seen after each.
const piece = 64 << 10

// writer writes a file natively. After the first error the name is burned: the file may be short, corrupt, or be renamed away under a writer that
// goes on. Whoever wants the rows writes them again under a new name.
type writer struct {
	service *service
	session *session
	file    *native.FileWriter
	path    string
	failed  error
	ended   bool
	stop    func() bool
	size    int64
	block   time.Time // when the last block was begun; of a file with one block only it is not set
}

// create opens a new file. Its parent is there.
func (s *service) create(ctx context.Context, path string) (*writer, error) {
	var x *session
	var f *native.FileWriter
	for {
		var err error
		if x, err = s.borrow(ctx); err != nil {
			return nil, s.explain("create", path, err)
		}
		err = x.guard(ctx, func() (err error) {
			f, err = x.client.CreateFile(path, s.client.Replication, s.client.BlockSize, 0o666&^s.client.Umask)
			return err
		})
		if err == nil {
			break
		}
		fault := x.fault()
		s.give(x, plain(err))
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case x.reused && unsent(err):
			continue
		}
		return nil, s.explain("create", path, cmp.Or(fault, err))
	}
	w := &writer{service: s, session: x, file: f, path: path}
	w.stop = context.AfterFunc(ctx, func() { x.abort(context.Cause(ctx)) })
	return w, nil
}

func (w *writer) Write(b []byte) (int, error) {
	if w.ended {
		return 0, fs.ErrClosed
	}
	done := 0
	for done < len(b) && w.failed == nil {
		part := b[done:min(len(b), done+piece)]
		_, err := w.file.Write(part)
		if w.judge("write", err) == nil {
			done += len(part)
			if last := w.size; last > 0 && (last-1)/w.service.client.BlockSize != (last+int64(len(part))-1)/w.service.client.BlockSize {
				w.block = time.Now()
			}
			w.size += int64(len(part))
		}
	}
	return done, w.failed
}

// judge notes the first error: of the client, or of a line, which the client may not have seen yet.
func (w *writer) judge(op string, err error) error {
	if fault := w.session.blockFault(); fault != nil {
		err = fault
	}
	if fault := w.session.fault(); fault != nil {
		err = fault
	}
	if err != nil && w.failed == nil {
		w.failed = w.service.explain(op, w.path, err)
		if w.session.fault() == nil && (!plain(err) || strings.Contains(err.Error(), "NotReplicatedYetException")) {
			w.service.blocked(w.failed)
		}
	}
	return w.failed
}

// Sync can not do more than say what is known: only a good Close means that a file is stored.
func (w *writer) Sync() error { return w.failed }

// Close ends the file. It is whole if all writes went well and the first answer was that it is complete, or that its blocks are still being
// reported, and then complete. "Being reported" after any error hides a short file.
func (w *writer) Close() error {
	if w.ended {
		return fs.ErrClosed
	}
	w.ended = true
	clean := w.failed == nil
	if wait := time.Until(w.block.Add(blockRest)); clean && wait > 0 {
		w.pause(wait)
	}
	err := w.file.Close() // after an error too: it ends the client's goroutines
	if clean {
		err = w.complete(err)
		_ = w.judge("close", err)
	}
	w.stop()
	w.service.give(w.session, w.failed == nil)
	if w.failed == nil && w.service.route.clear() {
		w.service.log.Info("HDFS: files are written straight to the DataNodes again", "hdfs", w.service.name)
	}
	return w.failed
}

const (
	firstAsk = 2 * time.Millisecond
	mostAsk  = 500 * time.Millisecond
	// blockRest is how long the last block but one may take to be reported. The native client names the last block in its first Close only, and
	// the NameNode does not listen to that while the one before is not reported: such a file is never completed.
	blockRest = time.Second
)

// complete asks again while the NameNode has not heard of all blocks.
func (w *writer) complete(err error) error {
	end := time.Now().Add(w.service.timeout)
	for pause := firstAsk; native.IsErrReplicating(err); pause = min(2*pause, mostAsk) {
		if fault := errors.Join(w.session.fault(), w.session.blockFault()); fault != nil {
			return fault
		}
		if time.Now().After(end) {
			return fmt.Errorf("its DataNodes have not reported it to the NameNode within %s", w.service.timeout)
		}
		w.pause(pause)
		err = w.file.Close()
	}
	return err
}

// pause waits, or until the session is over.
func (w *writer) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.session.life.Done():
	}
}

// blocked sends the files that follow through WebHDFS.
func (s *service) blocked(err error) {
	if s.transport != Auto {
		return
	}
	length := s.route.blocked()
	s.log.Warn("HDFS: a DataNode failed; files go through WebHDFS for a while", "hdfs", s.name, "for", length, "err", err)
}
