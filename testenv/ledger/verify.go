package ledger

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sort"
	"strings"
)

// Row is one row of a destination.
type Row struct {
	File   string
	Line   int
	PID    int // from the file's name, -1 unknown
	Values []any
}

// Examples kept of each kind and partition.
const examples = 5

// Result of one partition.
type Result struct {
	PID                      uint32
	Rows                     int // in the files
	Must                     int // that the files must hold
	Lost, Duplicate, Phantom int
	Examples                 []string
}

// Report of one table.
type Report struct {
	Table      string
	Partitions []Result
}

// Sum adds the partitions up.
func (r Report) Sum() Result {
	var s Result
	for _, p := range r.Partitions {
		s.Rows += p.Rows
		s.Must += p.Must
		s.Lost += p.Lost
		s.Duplicate += p.Duplicate
		s.Phantom += p.Phantom
	}
	return s
}

// Err is nil when nothing is lost, doubled or made up.
func (r Report) Err() error {
	if s := r.Sum(); s.Lost+s.Duplicate+s.Phantom == 0 {
		return nil
	}
	var b strings.Builder
	r.Print(&b) //nolint:errcheck // a builder takes everything
	return errors.New(b.String())
}

// Print writes a line per partition and the examples.
func (r Report) Print(w io.Writer) error {
	for _, p := range r.Partitions {
		if _, err := fmt.Fprintf(w, "%s p%d: rows=%d lost=%d duplicate=%d phantom=%d\n", r.Table, p.PID, p.Rows, p.Lost, p.Duplicate, p.Phantom); err != nil {
			return err
		}
		for _, e := range p.Examples {
			if _, err := fmt.Fprintf(w, "    %s\n", e); err != nil {
				return err
			}
		}
	}
	return nil
}

// tally counts what the files hold of one partition.
type tally struct {
	rows  int
	count []uint16
	where map[uint32]string // a place of rows seen more than once
	wrong []string          // phantoms that are no row of the ledger
	bad   int
}

// Verify takes the rows of a destination against the ledger. windows names the partitions that were exported.
func (t *Table) Verify(rows iter.Seq2[Row, error], windows map[uint32]Window) (Report, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tallies := map[uint32]*tally{}
	for pid, w := range windows {
		if len(w.Bases) == 0 {
			return Report{}, fmt.Errorf("verify %s: partition %d: no snapshot fits the window", t.shape.Name, pid)
		}
		tallies[pid] = &tally{count: make([]uint16, len(t.part(pid).rows)), where: map[uint32]string{}}
	}
	for r, err := range rows {
		if err != nil {
			return Report{}, fmt.Errorf("verify %s: %w", t.shape.Name, err)
		}
		if err := t.tally(tallies, r); err != nil {
			return Report{}, fmt.Errorf("verify %s: %w", t.shape.Name, err)
		}
	}
	rep := Report{Table: t.shape.Name}
	for pid, w := range windows {
		rep.Partitions = append(rep.Partitions, t.judge(pid, w, tallies[pid]))
	}
	slices.SortFunc(rep.Partitions, func(a, b Result) int { return int(a.PID) - int(b.PID) })
	return rep, nil
}

func (t *Table) tally(tallies map[uint32]*tally, r Row) error {
	place := fmt.Sprintf("%s:%d", r.File, r.Line)
	id, why := t.identify(r)
	pid := id.pid
	if why != "" && r.PID >= 0 {
		pid = uint32(r.PID)
	}
	y := tallies[pid]
	if y == nil {
		return fmt.Errorf("%s: a row of partition %d, which was not exported", place, pid)
	}
	y.rows++
	if why == "" && r.PID >= 0 && uint32(r.PID) != pid {
		why = fmt.Sprintf("row of partition %d in a file of partition %d", pid, r.PID)
	}
	if why != "" {
		y.bad++
		if len(y.wrong) < examples {
			y.wrong = append(y.wrong, fmt.Sprintf("phantom: %s: %s", place, why))
		}
		return nil
	}
	if y.count[id.n]++; y.count[id.n] > 1 {
		y.where[id.n] = place
	}
	return nil
}

// identify finds a row by its tag, or by its values; why says what is wrong with it.
func (t *Table) identify(r Row) (id rowID, why string) {
	hash := hashValues(normalAll(t.shape.Columns, r.Values))
	if t.shape.Tag >= 0 && t.shape.Tag < len(r.Values) {
		if tag, ok := r.Values[t.shape.Tag].(string); ok {
			if n, err := fmt.Sscanf(tag, "L%d-%d", &id.pid, &id.n); err == nil && n == 2 {
				h := t.parts[id.pid]
				switch {
				case h == nil || int(id.n) >= len(h.rows) || h.rows[id.n].hash == 0:
					return id, fmt.Sprintf("row %s was never put", tag)
				case h.rows[id.n].hash != hash:
					return id, fmt.Sprintf("row %s has other values than were put: %v", tag, r.Values)
				}
				return id, ""
			}
		}
	}
	id, ok := t.byRow[hash]
	if !ok {
		return id, fmt.Sprintf("no such row was there: %v", r.Values)
	}
	return id, ""
}

func (t *Table) judge(pid uint32, w Window, y *tally) Result {
	h := t.part(pid)
	l := resolve(h)
	res := Result{PID: pid, Rows: y.rows, Phantom: y.bad, Examples: y.wrong}
	kept := map[string]int{}
	note := func(kind string, n uint32, c count) {
		if kept[kind]++; kept[kind] > examples {
			return
		}
		res.Examples = append(res.Examples, fmt.Sprintf("%s: L%d-%d is there %d times, expected %s; %s", kind, pid, n, y.count[n], c, l.story(n, w, y.where[n])))
	}
	for n := range h.rows {
		if h.rows[n].hash == 0 {
			continue
		}
		c, got := l.rowBounds(t, uint32(n), w), int(y.count[n])
		res.Must += c.min
		switch {
		case got < c.min:
			res.Lost += c.min - got
			note("lost", uint32(n), c)
		case got > c.max && c.max == 0:
			res.Phantom += got
			note("phantom", uint32(n), c)
		case got > c.max:
			res.Duplicate += got - c.max
			note("duplicate", uint32(n), c)
		}
	}
	sort.Strings(res.Examples)
	return res
}

func (c count) String() string {
	if c.min == c.max {
		return fmt.Sprint(c.min)
	}
	return fmt.Sprintf("%d..%d", c.min, c.max)
}

// story tells a row's history for a person.
func (l *lives) story(n uint32, w Window, where string) string {
	var b strings.Builder
	for _, i := range l.puts[n] {
		p := l.h.puts[i]
		fmt.Fprintf(&b, "put %d ts %d (steps %d-%d) ", p.index, p.ts, p.begin, p.end)
	}
	if l.loose[n] > 0 {
		fmt.Fprintf(&b, "%d attempts without an answer ", l.loose[n])
	}
	for _, i := range l.ofRow[n] {
		if g := l.all[i].gone; g != nil {
			fmt.Fprintf(&b, "removed by %d (steps %d-%d) ", g.index, g.begin, g.span.end)
		}
		if g := l.all[i].trunc; g != nil {
			fmt.Fprintf(&b, "truncated (steps %d-%d) ", g.begin, g.span.end)
		}
		if l.all[i].shaky {
			b.WriteString("open ")
		}
	}
	fmt.Fprintf(&b, "z %d..%d", w.ZLo, w.ZHi)
	for _, x := range w.Bases {
		if x.Name == "" {
			b.WriteString(" base none")
		} else {
			fmt.Fprintf(&b, " base %s (steps %d-%d)", x.Name, x.Begin, x.End)
		}
	}
	if where != "" {
		fmt.Fprintf(&b, " seen again at %s", where)
	}
	return b.String()
}
