package collector

import (
	"context"
	"errors"
	"fmt"

	"omsync/openmldb/binlog"
	"omsync/rpc/omsyncpb"
)

// logReader reads a partition's log through the links, from one incarnation of the tablet's directory into the next.
type logReader struct {
	s     *subtask
	r     *binlog.Reader // nil: nothing is linked yet
	inc   incarnation
	newer bool        // a later incarnation was seen
	at    uint64      // index of the last entry consumed
	mark  binlog.Mark // of it; Index 0: not known
	read  passed      // so far
	done  passed      // of that, in incarnations before
}

// passed counts what the reader went over.
type passed struct{ holes, repeated, skipped uint64 }

func (s *subtask) reader(inc incarnation) *binlog.Reader {
	return binlog.NewReader(s.c.o.Logs, inc.dir, binlog.Options{SkipBadBlocks: s.a.GetSkipBadBlocks()})
}

func markTo(m binlog.Mark) *omsyncpb.LogMark {
	if m.Index == 0 {
		return nil
	}
	return &omsyncpb.LogMark{LogIndex: m.Index, Term: m.Term, Crc: m.CRC}
}

// errShort: the log ends before the entry that was committed last.
var errShort = errors.New("the log is shorter than what is committed")

// openLog stands behind entry index, which mark identifies if it is known. It compares the log with mark. errShort: the log does not reach there.
func (s *subtask) openLog(ctx context.Context, index uint64, mark *omsyncpb.LogMark) (*logReader, error) {
	incs, err := s.hold.incarnations()
	if err != nil {
		return nil, err
	}
	if len(incs) == 0 {
		if index > 0 {
			return nil, errShort
		}
		return &logReader{s: s}, nil
	}
	for i, inc := range incs {
		l := &logReader{s: s, inc: inc, r: s.reader(inc), at: index}
		err := l.seek(ctx, index, mark)
		if err == nil {
			s.hold.read(inc.num)
			return l, nil
		}
		var trimmed *binlog.TrimmedError
		if cerr := l.close(); cerr != nil {
			return nil, cerr
		}
		if i == len(incs)-1 || !errors.Is(err, errShort) && !errors.As(err, &trimmed) {
			return nil, err
		}
	}
	return nil, errShort
}

func (l *logReader) seek(ctx context.Context, index uint64, mark *omsyncpb.LogMark) error {
	if mark.GetLogIndex() != index || index == 0 {
		return l.r.Seek(ctx, index+1)
	}
	err := l.r.Seek(ctx, index)
	var trimmed *binlog.TrimmedError
	if errors.As(err, &trimmed) && trimmed.First == index+1 {
		l.s.log.Warn("the last committed entry can not be compared: the log begins right behind it", "index", index)
		return l.r.Seek(ctx, index+1)
	}
	if err != nil {
		return err
	}
	e, err := l.r.Next()
	if errors.Is(err, binlog.ErrTail) {
		return errShort
	}
	if err != nil {
		return err
	}
	return l.compare(e, mark)
}

// compare refuses a log whose entry is another than the one that was committed.
func (l *logReader) compare(e *binlog.Entry, mark *omsyncpb.LogMark) error {
	m := binlog.MarkOf(e)
	if m.Index == mark.GetLogIndex() && m.Term == mark.GetTerm() && m.CRC == mark.GetCrc() {
		l.mark = m
		return nil
	}
	what := fmt.Sprintf("entry %d of term %d with checksum %08x", m.Index, m.Term, m.CRC)
	return troubled(operator, codeLogForked, hintReexport,
		"%s on %s: the log is not the one that was exported: committed was entry %d of term %d with checksum %08x, the log has %s; entries up to %d are at the destination",
		partitionName(l.s.a), l.s.a.GetTabletEndpoint(), mark.GetLogIndex(), mark.GetTerm(), mark.GetCrc(), what, mark.GetLogIndex())
}

// next returns the next entry, valid until the next call. binlog.ErrTail: nothing more now; links are looked for before it is said. errShort: the
// tablet's directory was made anew with a log that does not reach what was read of the former one.
func (l *logReader) next(ctx context.Context) (*binlog.Entry, error) {
	for looked := false; ; looked = true {
		if l.r != nil {
			e, err := l.r.Next()
			if err == nil {
				l.count()
				return e, nil
			}
			if !errors.Is(err, binlog.ErrTail) {
				return nil, err
			}
		}
		if looked && !l.newer {
			return nil, binlog.ErrTail
		}
		if l.newer { // read to its end after the new directory was seen: no more comes here
			if err := l.change(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := l.s.hold.sync(); err != nil {
			return nil, err
		}
		next, err := l.successor()
		if err != nil {
			return nil, err
		}
		l.newer = next.num != 0
	}
}

// successor is the next incarnation that holds anything, zero when there is none.
func (l *logReader) successor() (incarnation, error) {
	incs, err := l.s.hold.incarnations()
	if err != nil {
		return incarnation{}, err
	}
	for _, inc := range incs {
		if inc.num > l.inc.num && inc.count > 0 {
			return inc, nil
		}
	}
	return incarnation{}, nil
}

// change goes on to the next incarnation.
func (l *logReader) change(ctx context.Context) error {
	inc, err := l.successor()
	if err != nil || inc.num == 0 {
		l.newer = false
		return err
	}
	next := &logReader{s: l.s, inc: inc, r: l.s.reader(inc)}
	if err := next.seek(ctx, l.at, markTo(l.mark)); err != nil {
		return errors.Join(err, next.close())
	}
	if l.inc.num != 0 {
		l.s.log.Warn("the tablet's log directory was made anew; reading goes on there", "dir", inc.dir, "index", l.at)
	}
	if err := l.close(); err != nil {
		return errors.Join(err, next.close())
	}
	l.done, l.r, l.inc, l.newer = l.read, next.r, inc, false
	l.s.hold.read(inc.num)
	return nil
}

func (l *logReader) count() {
	holes, repeated, skipped := l.r.Stats()
	l.read = passed{l.done.holes + holes, l.done.repeated + repeated, l.done.skipped + skipped}
}

// consumed notes that e is done with.
func (l *logReader) consumed(e *binlog.Entry) { l.at, l.mark = e.Index, binlog.MarkOf(e) }

// last is the index of the last entry that was read.
func (l *logReader) last() uint64 {
	if l.r == nil {
		return 0
	}
	return l.r.Last()
}

func (l *logReader) close() error {
	if l.r == nil {
		return nil
	}
	return l.r.Close()
}
