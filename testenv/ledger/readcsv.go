package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"omsync/testenv/tabletsim"
)

// Dialect of CSV files.
type Dialect int

const (
	// Upstream writes strings as JSON does and NULL as a bare null (formats.md §8).
	Upstream Dialect = iota
	// Standard is RFC 4180: quotes are doubled, NULL is an empty field without quotes, an empty string one with.
	Standard
)

// maxField bounds one field; the product's largest row is 64 MiB.
const maxField = 512 << 20

// ReadCSV reads every row below a destination directory. Columns a file's rows lack at the end are NULL.
func ReadCSV(dir string, cols []tabletsim.Column, d Dialect, loc *time.Location) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		paths, err := files(dir, ".csv")
		if err != nil {
			yield(Row{}, err)
			return
		}
		for _, p := range paths {
			if !readFile(p, cols, d, loc, yield) {
				return
			}
		}
	}
}

func readFile(path string, cols []tabletsim.Column, d Dialect, loc *time.Location, yield func(Row, error) bool) bool {
	f, err := os.Open(path)
	if err != nil {
		return yield(Row{}, err)
	}
	defer f.Close() //nolint:errcheck // read only
	rd := &csvReader{in: bufio.NewReaderSize(f, 1<<18), dialect: d, line: 1}
	pid := pidOf(path)
	for {
		line := rd.line
		fields, err := rd.row()
		if errors.Is(err, io.EOF) {
			return true
		}
		r := Row{File: path, Line: line, PID: pid}
		if err == nil {
			r.Values, err = values(cols, fields, loc)
		}
		if err != nil {
			yield(r, fmt.Errorf("%s:%d: %w", path, line, err))
			return false
		}
		if !yield(r, nil) {
			return false
		}
	}
}

// field of a row; a NULL has no text.
type field struct {
	text   string
	quoted bool
	null   bool
}

func values(cols []tabletsim.Column, fields []field, loc *time.Location) ([]any, error) {
	if len(fields) > len(cols) {
		return nil, fmt.Errorf("%d fields for %d columns", len(fields), len(cols))
	}
	out := make([]any, len(cols))
	for i, f := range fields {
		if f.null {
			continue
		}
		v, err := parseValue(cols[i], f.text, loc)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// csvReader is a byte-wise reader; it never trusts a line end inside quotes.
type csvReader struct {
	in      *bufio.Reader
	dialect Dialect
	line    int
	buf     []byte
}

func (r *csvReader) row() ([]field, error) {
	if _, err := r.in.Peek(1); err != nil {
		return nil, err
	}
	var out []field
	for {
		f, end, err := r.field()
		if err != nil {
			return nil, err
		}
		out = append(out, f)
		if end == '\n' {
			r.line++
			return out, nil
		}
	}
}

// field reads up to a comma or a line end, and returns which. A last line without an end is an error: a file is whole or it is not there.
func (r *csvReader) field() (f field, end byte, err error) {
	r.buf = r.buf[:0]
	b, err := r.byte()
	if err != nil {
		return f, 0, err
	}
	if b == '"' {
		f.quoted = true
		if err := r.quoted(); err != nil {
			return f, 0, err
		}
		if b, err = r.byte(); err != nil {
			return f, 0, err
		}
		if b == '\r' {
			if b, err = r.byte(); err != nil {
				return f, 0, err
			}
		}
		if b != ',' && b != '\n' {
			return f, 0, fmt.Errorf("%q behind a closing quote", b)
		}
		f.text = string(r.buf)
		return f, b, nil
	}
	for b != ',' && b != '\n' {
		if b == '"' {
			return f, 0, errors.New("a quote inside a bare field")
		}
		r.buf = append(r.buf, b)
		if b, err = r.byte(); err != nil {
			return f, 0, err
		}
	}
	f.text = strings.TrimSuffix(string(r.buf), "\r")
	if r.dialect == Upstream {
		f.null = f.text == "null"
	} else {
		f.null = f.text == ""
	}
	return f, b, nil
}

func (r *csvReader) byte() (byte, error) {
	b, err := r.in.ReadByte()
	if errors.Is(err, io.EOF) {
		return 0, io.ErrUnexpectedEOF
	}
	if len(r.buf) > maxField {
		return 0, fmt.Errorf("a field of more than %d bytes", maxField)
	}
	return b, err
}

func (r *csvReader) quoted() error {
	for {
		b, err := r.byte()
		if err != nil {
			return err
		}
		switch {
		case b == '"' && r.dialect == Upstream:
			return nil
		case b == '"':
			next, err := r.in.Peek(1)
			if err != nil || next[0] != '"' {
				return nil //nolint:nilerr // the end of the file shows at the next byte
			}
			if b, err = r.byte(); err != nil {
				return err
			}
		case b == '\\' && r.dialect == Upstream:
			if err := r.escape(); err != nil {
				return err
			}
			continue
		case b == '\n':
			r.line++
		}
		r.buf = append(r.buf, b)
	}
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads what follows a backslash in upstream's dialect.
func (r *csvReader) escape() error {
	b, err := r.byte()
	if err != nil {
		return err
	}
	if c, ok := escapes[b]; ok {
		r.buf = append(r.buf, c)
		return nil
	}
	if b != 'u' {
		return fmt.Errorf("escape \\%c is unknown", b)
	}
	c, err := r.hex()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(c) {
		if next, err := r.in.Peek(2); err == nil && string(next) == `\u` {
			if _, err := r.in.Discard(2); err != nil {
				return err
			}
			low, err := r.hex()
			if err != nil {
				return err
			}
			c = utf16.DecodeRune(c, low)
		}
	}
	r.buf = append(r.buf, string(c)...)
	return nil
}

func (r *csvReader) hex() (rune, error) {
	var d [4]byte
	for i := range d {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		d[i] = b
	}
	n, err := strconv.ParseUint(string(d[:]), 16, 16)
	if err != nil {
		return 0, fmt.Errorf("escape \\u%s: %w", d[:], err)
	}
	return rune(n), nil
}
