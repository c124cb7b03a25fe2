package inspect

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"omsync/openmldb/row"
)

// problemsShown bounds what is kept of problems; the rest is counted.
const problemsShown = 20

// printer writes lines, and keeps what is to be said at the end.
type printer struct {
	w        *bufio.Writer
	enc      *json.Encoder
	err      io.Writer
	problems []string
	more     int

	set   *row.Set
	plain []byte // unpacked row
	cells []any
}

func newPrinter(out, err io.Writer, set *row.Set) *printer {
	p := &printer{w: bufio.NewWriterSize(out, 64<<10), err: err, set: set}
	p.enc = json.NewEncoder(p.w)
	p.enc.SetEscapeHTML(false)
	return p
}

// line writes one JSON line.
func (p *printer) line(v any) error {
	if err := p.enc.Encode(v); err != nil {
		return failed("write: %v", err)
	}
	return nil
}

// row decodes a stored value. What is no row is a problem, and is shown by its bytes.
func (p *printer) row(stored []byte) (cells []any, problem string) {
	plain, err := p.set.Plain(p.plain[:0], stored)
	if err != nil {
		return nil, err.Error()
	}
	if p.set.Snappy() && len(plain) > 0 && (len(stored) == 0 || &plain[0] != &stored[0]) {
		p.plain = plain
	}
	s, err := p.set.Check(plain)
	if err != nil {
		return nil, err.Error()
	}
	p.cells = values(p.cells[:0], s, plain)
	return p.cells, ""
}

// note says at once what is good to know and no problem.
func (p *printer) note(format string, args ...any) { fmt.Fprintf(p.err, "note: "+format+"\n", args...) }

// problem keeps what makes the exit code 1.
func (p *printer) problem(format string, args ...any) {
	if len(p.problems) == problemsShown {
		p.more++
		return
	}
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// end writes what is left, then the problems; a lone one, or the first of several, is the command's error.
func (p *printer) end(err error) error {
	if flush := p.w.Flush(); err == nil && flush != nil {
		err = failed("write: %v", flush)
	}
	if n := len(p.problems) + p.more; n > 1 {
		for _, one := range p.problems {
			fmt.Fprintf(p.err, "problem: %s\n", one)
		}
		if p.more > 0 {
			fmt.Fprintf(p.err, "problem: and %d more\n", p.more)
		}
		if err == nil {
			err = failed("%d problems, the first: %s", n, p.problems[0])
		}
	} else if n == 1 && err == nil {
		err = failed("%s", p.problems[0])
	} else if n == 1 {
		fmt.Fprintf(p.err, "problem: %s\n", p.problems[0])
	}
	return err
}
