package ledger

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"strings"
	"time"

	"omsync/testenv/tabletsim"
)

//go:embed read.py
var script string

// ReadPython reads every row below a destination with pyarrow, which must be there for the Python given (build/venv/bin/python). suffix is ".csv"
// (standard dialect) or ".parquet".
func ReadPython(ctx context.Context, python, dir, suffix string, cols []tabletsim.Column, loc *time.Location) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		paths, err := files(dir, suffix)
		if err != nil {
			yield(Row{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		cmd := exec.CommandContext(ctx, python, "-c", script, fmt.Sprint(len(cols)))
		cmd.Stdin = strings.NewReader(strings.Join(paths, "\n"))
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			yield(Row{}, fmt.Errorf("read with %s: %w", python, err))
			return
		}
		stopped := false
		err = pythonRows(out, paths, cols, loc, func(r Row) bool {
			stopped = !yield(r, nil)
			return !stopped
		})
		if err != nil || stopped {
			cancel()
		}
		werr := cmd.Wait()
		if stopped {
			return
		}
		if err = errors.Join(err, werr); err != nil {
			yield(Row{}, fmt.Errorf("read with %s: %w: %s", python, err, said.String()))
		}
	}
}

func pythonRows(in io.Reader, paths []string, cols []tabletsim.Column, loc *time.Location, f func(Row) bool) error {
	sc := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := sc.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var (
			raw  []json.RawMessage
			at   [2]int
			text []field
		)
		if err := json.Unmarshal(line, &raw); err != nil {
			return err
		}
		if len(raw) < 2 {
			return fmt.Errorf("row %q", line)
		}
		for i, m := range raw {
			if i < 2 {
				err = json.Unmarshal(m, &at[i])
			} else {
				var s *string
				if err = json.Unmarshal(m, &s); err == nil {
					fl := field{null: s == nil}
					if s != nil {
						fl.text = *s
					}
					text = append(text, fl)
				}
			}
			if err != nil {
				return err
			}
		}
		if at[0] >= len(paths) {
			return fmt.Errorf("row of file %d of %d", at[0], len(paths))
		}
		r := Row{File: paths[at[0]], Line: at[1], PID: pidOf(paths[at[0]])}
		if r.Values, err = values(cols, text, loc); err != nil {
			return fmt.Errorf("%s:%d: %w", r.File, r.Line, err)
		}
		if !f(r) {
			return nil
		}
	}
}
