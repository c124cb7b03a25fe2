package ctl

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/urfave/cli/v3"

	"omsync/tui/state"
)

// wantsJSON reads -o.
func wantsJSON(cmd *cli.Command) (bool, error) {
	switch o := cmd.String("o"); o {
	case "table":
		return false, nil
	case "json":
		return true, nil
	default:
		return false, usage("-o %q: table or json", o)
	}
}

// json writes items in the envelope all answers share.
func (e *Env) json(kind, source string, items any) error {
	return state.WriteJSON(e.Out, kind, e.Now(), source, items)
}

// table writes lines of cells in columns as wide as their widest cell; the first line is the head. Nothing is cut, and the width of a
// terminal plays no part.
func table(w io.Writer, head string, lines [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(strings.Fields(head), "\t"))
	for _, cells := range lines {
		for i, c := range cells {
			cells[i] = cell(c)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// cell keeps a text from outside on its line and in its column: no tabs, newlines or escape sequences. An empty cell is "-".
func cell(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s
}

// say writes a message for people.
func (e *Env) say(format string, args ...any) { fmt.Fprintf(e.Err, format+"\n", args...) }

// warn writes warnings, one per line.
func (e *Env) warn(all []string) {
	for _, w := range all {
		e.say("warning: %s", w)
	}
}
