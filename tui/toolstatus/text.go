package toolstatus

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"omsync/tui/state"
)

// page collects the text, so that a part's columns are as wide as they need to be.
type page struct {
	bytes.Buffer
	now time.Time
}

// head begins a part.
func (p *page) head(format string, args ...any) {
	if p.Len() > 0 {
		p.WriteByte('\n')
	}
	fmt.Fprintln(p, plain(fmt.Sprintf(format, args...)))
}

func (p *page) say(format string, args ...any) {
	fmt.Fprintln(p, "  "+plain(fmt.Sprintf(format, args...)))
}

// table writes lines of cells below a head line.
func (p *page) table(head string, lines [][]string) {
	if len(lines) == 0 {
		return
	}
	t := tabwriter.NewWriter(p, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{strings.Fields(head)}, lines...) {
		for i, c := range cells {
			if cells[i] = plain(c); c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, "  "+strings.Join(cells, "\t"))
	}
	t.Flush() // into memory
}

// plain keeps a text from outside on its line.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

func (p *page) age(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return state.Age(p.now, time.UnixMilli(ms))
}

// write is the report for people.
func (r *Report) write(w io.Writer, now time.Time) error {
	p := &page{now: now}
	p.head("PROPERTIES of %s", r.Conf)
	var lines [][]string
	for _, s := range r.Properties {
		from := s.Source
		if s.Line > 0 {
			from = "line " + strconv.Itoa(s.Line)
		}
		if s.Unused != "" {
			from += ", without effect: " + s.Unused
		}
		lines = append(lines, []string{s.Key, s.Value, from})
	}
	p.table("KEY VALUE FROM", lines)
	for _, one := range r.Warnings {
		p.say("warning: %s", one)
	}
	r.Synctool.write(p)
	r.Mirror.write(p)
	r.ZooKeeper.write(p)
	if _, err := w.Write(p.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (s *Synctool) write(p *page) {
	switch s.State {
	case "leads":
		p.head("SYNCTOOL at %s leads", s.Address)
		p.say("advertised as %s, epoch %d, tasks: %d", s.Leader, s.Epoch, s.Tasks)
	case "answers":
		p.head("SYNCTOOL at %s answers", s.Address)
		p.say("%s", s.Reason)
	default:
		p.head("SYNCTOOL at %s is down or unreachable", s.Address)
		p.say("%s", s.Reason)
	}
}

func (m *Mirror) write(p *page) {
	p.head("PROGRESS MIRROR in %s", m.Path)
	if m.Problem != "" {
		p.say("%s", m.Problem)
	} else if len(m.Files) == 0 {
		p.say("no progress file")
	}
	var lines [][]string
	for _, f := range m.Files {
		if f.Problem != "" {
			p.say("%s: %s", f.File, f.Problem)
			continue
		}
		lines = append(lines, []string{f.File, p.age(f.UpdatedMs), strconv.FormatUint(uint64(f.TID), 10), strconv.FormatUint(uint64(f.PID), 10), f.Mode, f.Point, f.Tablet, f.Token, f.Dest})
	}
	p.table("FILE UPDATED TID PID MODE POINT TABLET TOKEN DEST", lines)
	p.say("spool %s: files %d, %s", m.Spool.Path, m.Spool.Files, state.Size(uint64(m.Spool.Bytes)))
	if len(m.Leftovers) > 0 {
		p.head("LEFTOVERS")
		for _, l := range m.Leftovers {
			p.say("%s: %s", l.File, l.What)
		}
	}
}

func (z *ZooKeeper) write(p *page) {
	at := strings.Join(z.Servers, ",") + z.Root
	if z.Problem != "" {
		p.head("ZOOKEEPER %s is down or unreachable", at)
		p.say("%s", z.Problem)
		return
	}
	p.head("ZOOKEEPER %s", at)
	if z.Leader == "" {
		p.say("no synctool leads")
	} else {
		p.say("leader %s", z.Leader)
	}
	if len(z.Standby) > 0 {
		p.say("standing by: %s", strings.Join(z.Standby, ", "))
	}
	if z.Epoch == 0 {
		p.say("no epoch yet: no synctool ever led here")
	} else {
		p.say("epoch %d of %s, begun %s ago", z.Epoch, z.EpochOf, p.age(z.EpochMs))
	}
	p.say("ended tasks on record: %d", z.Finished)
	for _, one := range z.Problems {
		p.say("problem: %s", one)
	}
	var lines [][]string
	for _, c := range z.Collectors {
		lines = append(lines, []string{c.Endpoint, c.Host, c.State, c.Version, p.age(c.SinceMs), c.DataDir})
	}
	if p.head("COLLECTORS"); len(lines) == 0 {
		p.say("none is registered")
	}
	p.table("ENDPOINT HOST STATE VERSION SINCE DATADIR", lines)
	if p.head("TASKS"); len(z.Tasks) == 0 {
		p.say("none")
	}
	for _, t := range z.Tasks {
		t.write(p)
	}
}

func (t *Task) write(p *page) {
	switch {
	case t.Table == "":
		p.say("%s: has no spec that can be read: half created, or half removed", t.ID)
	case t.Deleting:
		p.say("%s: %s (tid %d) is being deleted", t.ID, t.Table, t.TID)
	default:
		p.say("%s: %s (tid %d), %s to %s", t.ID, t.Table, t.TID, state.ModeName(int32(t.Mode)), t.Dest)
	}
	var lines [][]string
	for _, s := range t.Subtasks {
		status := s.Status
		if status == "" {
			status = "no state"
		}
		point := s.Phase
		if s.Index > 0 {
			point += " " + strconv.FormatUint(s.Index, 10)
		}
		lines = append(lines, []string{strconv.FormatUint(uint64(s.PID), 10), status, point, strconv.FormatUint(s.Rows, 10), strconv.FormatUint(s.Seq, 10),
			p.age(s.CommittedMs), s.Collector, s.Tablet, s.Pending})
	}
	p.table("PID STATUS POINT ROWS SEQ COMMITTED COLLECTOR TABLET PENDING", lines)
	for _, s := range t.Subtasks {
		if s.Reason != "" {
			p.say("partition %d: %s [%s]: %s", s.PID, s.Reason, s.Code, s.Hint)
		}
	}
}
