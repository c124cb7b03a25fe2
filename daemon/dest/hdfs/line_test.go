package hdfs

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newLine(mute bool) (l *line, other net.Conn, failures *[]error) {
	a, b := net.Pipe()
	failures = new([]error)
	return &line{Conn: a, peer: "DataNode d", silence: time.Second, mute: mute, failed: func(err error) { *failures = append(*failures, err) }}, b, failures
}

// TestSilence: a line lives as long as something moves on it, and ends for good when nothing does.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, other, failures := newLine(false)
		defer other.Close()
		go func() {
			for range 5 {
				time.Sleep(900 * time.Millisecond)
				_, _ = other.Write([]byte("x"))
			}
		}()
		b := make([]byte, 1)
		for range 5 {
			if _, err := l.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		_, err := l.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "DataNode d: no answer within 1s") || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if _, again := l.Read(b); again != err {
			t.Errorf("it is used again: %v", again)
		}
		if _, again := l.Write(b); again != err || len(*failures) != 1 {
			t.Errorf("it is used again: %v, %d failures", again, len(*failures))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWriteExtends: who waits for an answer is not cut off while the question is still being sent.
func TestWriteExtends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, other, _ := newLine(false)
		defer l.Close()
		defer other.Close()
		answer := make(chan error, 1)
		go func() {
			_, err := l.Read(make([]byte, 1))
			answer <- err
		}()
		go func() {
			b := make([]byte, 1)
			for range 4 {
				time.Sleep(700 * time.Millisecond)
				_, _ = other.Read(b)
			}
			_, _ = other.Write(b)
		}()
		for range 4 {
			if _, err := l.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-answer; err != nil {
			t.Error(err)
		}
	})
}

// TestMute: writes on a broken mute line seem to go well; the reader, and whoever asks, get the error.
func TestMute(t *testing.T) {
	t.Parallel()
	l, other, failures := newLine(true)
	other.Close()
	for range 3 {
		if n, err := l.Write([]byte("abc")); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if _, err := l.Read(make([]byte, 1)); err == nil || len(*failures) != 1 || (*failures)[0] != err || l.fault() != err {
		t.Errorf("%v, %v", err, *failures)
	}
}
