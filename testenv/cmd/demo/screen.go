package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/term"

	"omsync/tui/state"
)

// screen is the audience at a terminal: a live table of subtasks above the last events.
type screen struct {
	in, out *os.File
	was     *term.State
	key     chan struct{} // closed at the first key

	mu     sync.Mutex
	now    snapshot
	events []string
	foot   string
}

// openScreen takes the terminal over; Close gives it back.
func openScreen(in, out *os.File) (*screen, error) {
	was, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("take the terminal: %w", err)
	}
	s := &screen{in: in, out: out, was: was, key: make(chan struct{}), foot: "running; any key ends it when all is verified"}
	fmt.Fprint(out, "\x1b[?1049h\x1b[?25l")
	go func() { // ends with the process: a read of a terminal can not be ended
		b := make([]byte, 1)
		for {
			if n, err := in.Read(b); n == 0 || err != nil {
				return
			}
			if b[0] == 3 { // Ctrl-C: raw mode makes no signal of it
				if p, err := os.FindProcess(os.Getpid()); err == nil {
					_ = p.Signal(os.Interrupt) // our own process is there
				}
			}
			s.mu.Lock()
			select {
			case <-s.key:
			default:
				close(s.key)
			}
			s.mu.Unlock()
		}
	}()
	return s, nil
}

// Close leaves the events on the ordinary screen.
func (s *screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.out, "\x1b[?25h\x1b[?1049l")
	_ = term.Restore(int(s.in.Fd()), s.was) // the terminal is gone if this fails
	for _, e := range s.events {
		fmt.Fprintln(s.out, e)
	}
}

func (s *screen) Event(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
	s.draw()
}

func (s *screen) Show(now snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
	s.draw()
}

func (s *screen) Applause(ctx context.Context) {
	s.mu.Lock()
	s.foot = "verified; any key ends the demo"
	// A key pressed before was not meant for this.
	select {
	case <-s.key:
		s.key = make(chan struct{})
	default:
	}
	key := s.key
	s.draw()
	s.mu.Unlock()
	select {
	case <-key:
	case <-ctx.Done():
	}
}

// draw is called with the lock held.
func (s *screen) draw() {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width < 20 || height < 8 {
		width, height = 80, 24
	}
	fmt.Fprint(s.out, frame(s.now, s.events, s.foot, width, height))
}

// frame is one picture of the demo, as the terminal takes it.
func frame(now snapshot, events []string, foot string, width, height int) string {
	rows := []string{
		fmt.Sprintf("omsync demo    rows written: %d", now.Puts), "",
		fmt.Sprintf("%-14s %3s %-11s %-9s %9s %7s %6s %5s  %s", "TABLE", "PID", "STATE", "PHASE", "ROWS", "ROWS/S", "LAG", "FILES", "COLLECTOR"),
	}
	for _, t := range now.Subtasks {
		rows = append(rows, fmt.Sprintf("%-14s %3d %-11s %-9s %9d %7s %6s %5d  %s",
			t.Name(), t.PID, t.State, t.Phase, t.Counters.Rows, state.Rate(t.RowsPerSecond), state.Lag(t.LagEntries), t.Files, t.Collector))
	}
	rows = append(rows, "")
	if room := height - len(rows) - 2; room > 0 {
		rows = append(rows, events[max(0, len(events)-room):]...)
	}
	rows = slices.Grow(rows, height)[:min(len(rows), height-1)]
	for len(rows) < height-1 {
		rows = append(rows, "")
	}
	rows = append(rows, foot)
	for i, r := range rows {
		if cut := []rune(r); len(cut) > width {
			r = string(cut[:width])
		}
		rows[i] = r + "\x1b[K"
	}
	return "\x1b[H" + strings.Join(rows, "\r\n")
}
