package hdfs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// line is a connection that ends itself: at the first error, and when neither side says anything for too long while something is expected. Once it
// failed it stays so, and says why.
type line struct {
	net.Conn
	peer    string // for people: "NameNode nn1:8020"
	silence time.Duration
	// mute makes writes succeed after a failure; the reader gets the error. The native client's block writer ends its goroutines only when all
	// its writes succeed, and asks for errors where it reads acknowledgements.
	mute   bool
	failed func(error) // called once

	mu  sync.Mutex
	err error
}

// fail closes the line, for the first error only, which it returns from then on.
func (l *line) fail(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("no answer within %s: %w", l.silence, err)
	}
	err = fmt.Errorf("%s: %w", l.peer, err)
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.err
	}
	l.err = err
	l.mu.Unlock()
	_ = l.Conn.Close() // it is given up
	if l.failed != nil {
		l.failed(err)
	}
	return err
}

func (l *line) fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *line) Read(b []byte) (int, error) {
	if err := l.fault(); err != nil {
		return 0, err
	}
	if err := l.Conn.SetReadDeadline(time.Now().Add(l.silence)); err != nil {
		return 0, l.fail(err)
	}
	n, err := l.Conn.Read(b)
	if err != nil {
		return n, l.fail(err)
	}
	return n, nil
}

func (l *line) Write(b []byte) (int, error) {
	err := l.fault()
	if err == nil {
		// What is written extends the wait of a reader, too: acknowledgements come after it.
		if err = l.Conn.SetDeadline(time.Now().Add(l.silence)); err == nil {
			_, err = l.Conn.Write(b)
		}
		if err == nil {
			return len(b), nil
		}
		err = l.fail(err)
	}
	if l.mute {
		return len(b), nil
	}
	return 0, err
}

// Deadlines are the line's own.
func (l *line) SetDeadline(time.Time) error      { return nil }
func (l *line) SetReadDeadline(time.Time) error  { return nil }
func (l *line) SetWriteDeadline(time.Time) error { return nil }

// Close closes the line in good order.
func (l *line) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil
	}
	l.err = fmt.Errorf("%s: %w", l.peer, net.ErrClosed)
	return l.Conn.Close()
}
