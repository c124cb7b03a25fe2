package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// lines is the audience without a terminal: a line per event, and one of progress every few seconds.
type lines struct {
	out   io.Writer
	began time.Time

	mu   sync.Mutex
	last time.Time
}

const progressEvery = 3 * time.Second

func (l *lines) print(format string, args ...any) {
	fmt.Fprintf(l.out, "%6.1fs  %s\n", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

func (l *lines) Event(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.print(format, args...)
}

func (l *lines) Show(now snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.last) < progressEvery {
		return
	}
	l.last = time.Now()
	var committed, lag uint64
	for _, s := range now.Subtasks {
		committed += s.Counters.Rows
		if s.LagEntries != nil {
			lag += *s.LagEntries
		}
	}
	l.print("written %d rows; %d subtasks, committed %d, lag %d entries", now.Puts, len(now.Subtasks), committed, lag)
}

func (l *lines) Applause(context.Context) {}
