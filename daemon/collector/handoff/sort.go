package handoff

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// A sorted item is a key and a tail of fixed size; items are in the order of (key, tail) as bytes.
const tailSize = 1 + 8 + 8 + 24

// Temp is a nameless temporary file of the sort.
type Temp interface {
	io.Reader
	io.Writer
	io.Seeker
	io.Closer
}

// tempIn makes files in dir that are gone when they are closed, or when the process dies.
func tempIn(dir string) func() (Temp, error) {
	return func() (Temp, error) {
		f, err := os.CreateTemp(dir, "handoff-*")
		if err != nil {
			return nil, err
		}
		if err := os.Remove(f.Name()); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
}

// sorter sorts any number of items in bounded memory: batches are sorted and written to temporary files, which are merged.
type sorter struct {
	temp  func() (Temp, error)
	limit int // bytes of a batch
	fanIn int // files merged at once

	arena []byte
	refs  []ref
	runs  [][]*run // by level: level n+1 files are merges of fanIn level n files
	spill int      // runs written so far
}

// ref is an item of the batch in memory. prefix is the key's first 8 bytes: most comparisons end there.
type ref struct {
	prefix   uint64
	off, key uint32
}

const refSize = 16

func (s *sorter) add(ctx context.Context, key []byte, tail *[tailSize]byte) error {
	need := len(key) + tailSize
	if len(s.refs) > 0 && len(s.arena)+need+refSize*(len(s.refs)+1) > s.limit {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.refs = append(s.refs, ref{prefix(key), uint32(len(s.arena)), uint32(len(key))})
	s.arena = append(append(s.arena, key...), tail[:]...)
	return nil
}

func prefix(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

func (s *sorter) item(r ref) (key, tail []byte) {
	mid := r.off + r.key
	return s.arena[r.off:mid], s.arena[mid : mid+tailSize]
}

func (s *sorter) sortBatch() {
	slices.SortFunc(s.refs, func(a, b ref) int {
		if a.prefix != b.prefix {
			if a.prefix < b.prefix {
				return -1
			}
			return 1
		}
		ka, ta := s.item(a)
		kb, tb := s.item(b)
		return compareItems(ka, ta, kb, tb)
	})
}

func compareItems(ka, ta, kb, tb []byte) int {
	if c := bytes.Compare(ka, kb); c != 0 {
		return c
	}
	return bytes.Compare(ta, tb)
}

// flush writes the batch as a run and merges runs where a level is full.
func (s *sorter) flush(ctx context.Context) error {
	s.sortBatch()
	w, err := s.newRun()
	if err != nil {
		return err
	}
	for _, r := range s.refs {
		key, tail := s.item(r)
		if err := w.put(key, tail); err != nil {
			return errors.Join(err, w.close())
		}
	}
	s.arena, s.refs = s.arena[:0], s.refs[:0]
	for level := 0; ; level++ {
		if err := w.rewind(); err != nil {
			return errors.Join(err, w.close())
		}
		if level == len(s.runs) {
			s.runs = append(s.runs, nil)
		}
		s.runs[level] = append(s.runs[level], w)
		if len(s.runs[level]) < s.fanIn {
			return nil
		}
		if w, err = s.mergeLevel(ctx, level); err != nil {
			return err
		}
	}
}

func (s *sorter) mergeLevel(ctx context.Context, level int) (_ *run, err error) {
	w, err := s.newRun()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	m := merge{}
	for _, r := range s.runs[level] {
		if err := m.push(r); err != nil {
			return nil, err
		}
	}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		key, tail, err := m.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := w.put(key, tail); err != nil {
			return nil, err
		}
	}
	for _, r := range s.runs[level] {
		if err := r.close(); err != nil {
			return nil, err
		}
	}
	s.runs[level] = nil
	return w, nil
}

// sorted begins to read everything in order. Nothing may be added afterwards.
func (s *sorter) sorted() (*merge, error) {
	s.sortBatch()
	m := &merge{}
	if err := m.push(&batch{s: s}); err != nil {
		return nil, err
	}
	for _, level := range s.runs {
		for _, r := range level {
			if err := m.push(r); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// close gives the temporary files up.
func (s *sorter) close() error {
	var errs []error
	for _, level := range s.runs {
		for _, r := range level {
			errs = append(errs, r.close())
		}
	}
	s.runs, s.arena, s.refs = nil, nil, nil
	return errors.Join(errs...)
}

// source is a sorted sequence; item is valid until the next call of next.
type source interface {
	next() (ok bool, err error)
	item() (key, tail []byte)
}

// batch reads the batch that stayed in memory.
type batch struct {
	s *sorter
	i int
}

func (b *batch) next() (bool, error)      { b.i++; return b.i <= len(b.s.refs), nil }
func (b *batch) item() (key, tail []byte) { return b.s.item(b.s.refs[b.i-1]) }

// run is a sorted temporary file: {uvarint key length, key, tail}*.
type run struct {
	f         Temp
	w         *bufio.Writer
	r         *bufio.Reader
	key, tail []byte
	length    []byte // the encoded length of a key that is written
}

const runBuffer = 64 << 10

func (s *sorter) newRun() (*run, error) {
	f, err := s.temp()
	if err != nil {
		return nil, fmt.Errorf("create temporary file of the plan: %w", err)
	}
	s.spill++
	return &run{f: f, w: bufio.NewWriterSize(f, min(runBuffer, s.limit)), tail: make([]byte, tailSize)}, nil
}

func (r *run) put(key, tail []byte) error {
	r.length = binary.AppendUvarint(r.length[:0], uint64(len(key)))
	_, err := r.w.Write(r.length)
	if err == nil {
		_, err = r.w.Write(key)
	}
	if err == nil {
		_, err = r.w.Write(tail)
	}
	if err != nil {
		return fmt.Errorf("write temporary file of the plan: %w", err)
	}
	return nil
}

func (r *run) rewind() error {
	if err := r.w.Flush(); err != nil {
		return fmt.Errorf("write temporary file of the plan: %w", err)
	}
	if _, err := r.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("rewind temporary file of the plan: %w", err)
	}
	r.r = bufio.NewReaderSize(r.f, r.w.Size())
	r.w = nil
	return nil
}

func (r *run) next() (bool, error) {
	n, err := binary.ReadUvarint(r.r)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err == nil {
		r.key = slices.Grow(r.key[:0], int(n))[:n]
		_, err = io.ReadFull(r.r, r.key)
	}
	if err == nil {
		_, err = io.ReadFull(r.r, r.tail)
	}
	if err != nil {
		return false, fmt.Errorf("read temporary file of the plan: %w", err)
	}
	return true, nil
}

func (r *run) item() (key, tail []byte) { return r.key, r.tail }

func (r *run) close() error {
	if err := r.f.Close(); err != nil {
		return fmt.Errorf("close temporary file of the plan: %w", err)
	}
	return nil
}

// merge reads several sorted sequences as one. top[0] is the smallest; the rest is a heap.
type merge struct {
	top     []source
	started bool
}

func (m *merge) push(s source) error {
	ok, err := s.next()
	if err != nil || !ok {
		return err
	}
	m.top = append(m.top, s)
	for i := len(m.top) - 1; i > 0; {
		up := (i - 1) / 2
		if !m.less(i, up) {
			break
		}
		m.top[i], m.top[up] = m.top[up], m.top[i]
		i = up
	}
	return nil
}

func (m *merge) less(i, j int) bool {
	ka, ta := m.top[i].item()
	kb, tb := m.top[j].item()
	return compareItems(ka, ta, kb, tb) < 0
}

// next returns the next item, valid until the next call, or io.EOF.
func (m *merge) next() (key, tail []byte, err error) {
	if m.started && len(m.top) > 0 {
		ok, err := m.top[0].next()
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			last := len(m.top) - 1
			m.top[0] = m.top[last]
			m.top = m.top[:last]
		}
		for i := 0; ; {
			least := i
			for c := 2*i + 1; c <= 2*i+2 && c < len(m.top); c++ {
				if m.less(c, least) {
					least = c
				}
			}
			if least == i {
				break
			}
			m.top[i], m.top[least] = m.top[least], m.top[i]
			i = least
		}
	}
	m.started = true
	if len(m.top) == 0 {
		return nil, nil, io.EOF
	}
	key, tail = m.top[0].item()
	return key, tail, nil
}
