package inspect

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"omsync/openmldb/binlog"
)

// binlogLine is an entry of the log.
type binlogLine struct {
	File       string   `json:"file"`
	End        int64    `json:"end"` // bytes: where the entry's record ends
	LogIndex   uint64   `json:"log_index"`
	Term       uint64   `json:"term"`
	Method     string   `json:"method"`
	Ts         *string  `json:"ts,omitempty"`
	EndTs      *string  `json:"end_ts,omitempty"`
	TsName     string   `json:"ts_name,omitempty"`
	Dimensions [][2]any `json:"dimensions"` // [index, key]
	Row        []any    `json:"row,omitempty"`
	Value      any      `json:"value,omitempty"` // the stored bytes, where they are no row
	Problem    string   `json:"problem,omitempty"`
}

// logWalk prints entries and judges what lies between them, as docs/design.md §5.2 does.
type logWalk struct {
	p       *printer
	file    uint64 // number of the file of the last entry
	last    uint64 // its index, 0 = none yet
	path    string // of the file that ended last
	odd     *binlog.CorruptError
	damaged bool // since the last entry
	count   int
}

// showBinlog prints every whole entry of all files.
func showBinlog(ctx context.Context, p *printer, at place) error {
	if at.binlog == "" {
		return usage("there is no binlog/ here: give a partition's directory (<tid>_<pid>) or binlog/ in it")
	}
	l := &logWalk{p: p}
	w := binlog.Walker{Entry: l.entry, Odd: l.strange, Damage: l.damage, Ended: l.ended}
	switch err := w.Walk(ctx, binlog.OS(), at.binlog); {
	case err != nil && ctx.Err() != nil:
		return interrupted()
	case err != nil:
		return asFailed(err)
	case l.count == 0 && !l.damaged && l.odd == nil:
		p.note("the log has no entry")
	}
	return nil
}

func (l *logWalk) entry(path string, e *binlog.Entry) error {
	l.judge(e)
	l.count++
	line := binlogLine{
		File: filepath.Base(path), End: e.End.Offset, LogIndex: e.Index, Term: e.Term, Method: e.Method.String(), TsName: e.TsName, Dimensions: [][2]any{},
	}
	if e.HasTS {
		ts := strconv.FormatUint(e.TS, 10)
		line.Ts = &ts
	}
	if e.EndTS != nil {
		ts := strconv.FormatUint(*e.EndTS, 10)
		line.EndTs = &ts
	}
	for _, d := range e.Dims {
		line.Dimensions = append(line.Dimensions, [2]any{d.Idx, text(d.Key)})
	}
	if e.Method == binlog.Put {
		if line.Row, line.Problem = l.p.row(e.Value); line.Problem != "" {
			line.Value = text(e.Value)
			l.p.problem("log entry %d, in %s before offset %d: %s", e.Index, line.File, e.End.Offset, line.Problem)
		}
	}
	return l.p.line(line)
}

// judge says what the index of an entry means after the one before it.
func (l *logWalk) judge(e *binlog.Entry) {
	switch {
	case l.last == 0 && e.Index > 1 && !l.damaged && l.odd == nil:
		l.p.note("the log begins with entry %d", e.Index)
	case l.last == 0:
	case e.Index <= l.last:
		l.p.note("entry %d stands a second time, after entry %d; the first one counts", e.Index, l.last)
	case e.Index == l.last+1, l.damaged: // damage is told already
	case l.odd != nil:
		l.p.problem("log entries %d to %d are missing: %s", l.last+1, e.Index-1, damageAt(l.odd))
	case e.Pos.File > l.file+1:
		l.p.problem("log entries %d to %d are missing: the files between %s and number %d are not there", l.last+1, e.Index-1, l.path, e.Pos.File)
	default:
		l.p.note("entries %d to %d were never written: the tablet passed them over when it was restarted", l.last+1, e.Index-1)
	}
	l.last, l.file, l.odd, l.damaged = max(l.last, e.Index), e.Pos.File, nil, false
}

func (l *logWalk) strange(c *binlog.CorruptError) error {
	if l.odd == nil {
		l.odd = c
	}
	return nil
}

func (l *logWalk) damage(c *binlog.CorruptError) error {
	l.damaged = true
	l.p.problem("%s", damageAt(c))
	return nil
}

// damageAt is damage in this command's words: file, position, reason.
func damageAt(c *binlog.CorruptError) string {
	return fmt.Sprintf("log file %s is damaged at offset %d: %s", c.File, c.Offset, c.Reason)
}

func (l *logWalk) ended(path string, tail binlog.Tail, at int64) error {
	l.path = path
	switch tail {
	case binlog.TailCut:
		l.p.note("%s ends inside a record at offset %d: the tablet is writing it, or died over it", path, at)
	case binlog.TailZeros:
		l.p.note("%s ends in zeros from offset %d on", path, at)
	}
	return nil
}
