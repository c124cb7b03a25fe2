package hdfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
		if w.session.fault() == nil && !plain(err) {
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
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-w.session.life.Done():
			t.Stop()
			return context.Cause(w.session.life)
		}
		err = w.file.Close()
	}
	return err
}

// blocked sends the files that follow through WebHDFS.
func (s *service) blocked(err error) {
	if s.transport != Auto {
		return
	}
	length := s.route.blocked()
	s.log.Warn("HDFS: a DataNode failed; files go through WebHDFS for a while", "hdfs", s.name, "for", length, "err", err)
}
