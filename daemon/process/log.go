package process

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/DeRuina/timberjack"

	"omsync/conf"
)

// OpenLog returns the logger of a conf file: to standard error, or to dir/<name>.log, rotated by size. Close it at the end.
func OpenLog(name string, c conf.Log) (*slog.Logger, io.Closer, error) {
	var to io.WriteCloser = nopCloser{os.Stderr}
	if c.Dir != "" {
		if err := os.MkdirAll(c.Dir, 0o755); err != nil {
			return nil, nil, fmt.Errorf("log directory: %w", err)
		}
		path := filepath.Join(c.Dir, name+".log")
		// The library opens at the first line, too late to tell an operator that it can not.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			return nil, nil, fmt.Errorf("log file: %w", err)
		}
		if err := f.Close(); err != nil {
			return nil, nil, fmt.Errorf("log file: %w", err)
		}
		const mib = 1 << 20
		to = &logFile{Logger: &timberjack.Logger{
			Filename: path, MaxSize: int(max(1, (c.MaxBytes+mib-1)/mib)), MaxBackups: c.MaxFiles, MaxAge: c.OverdueDays, LocalTime: true, FileMode: 0o644,
		}, instead: os.Stderr}
	}
	o := &slog.HandlerOptions{Level: level(c.Level)}
	var h slog.Handler = slog.NewTextHandler(to, o)
	if c.Format == "json" {
		h = slog.NewJSONHandler(to, o)
	}
	return slog.New(h), to, nil
}

func level(name string) slog.Level {
	switch name {
	case "debug":
		return slog.LevelDebug
	case "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// logFile says on standard error what the file does not take: a full disk, a line longer than a file may be. slog itself would drop it without a word.
type logFile struct {
	*timberjack.Logger
	instead io.Writer
}

func (l *logFile) Write(p []byte) (int, error) {
	n, err := l.Logger.Write(p)
	if err != nil {
		fmt.Fprintf(l.instead, "the log file does not take this line (%v): %s", err, p)
	}
	return n, err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
