package process

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// It sets the environment, so neither test here is parallel.
func TestReadyTellsStartSh(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd, err := syscall.Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv(readyFD, strconv.Itoa(fd))
	t.Setenv("NOTIFY_SOCKET", "")
	Ready(slog.New(slog.DiscardHandler), "10.0.0.1:8888", []string{"no tablet\nyet"})
	got, err := io.ReadAll(r) // ends because the descriptor was closed
	if err != nil || string(got) != "warning: no tablet yet\nready 10.0.0.1:8888\n" {
		t.Errorf("%q %v", got, err)
	}
	if os.Getenv(readyFD) != "" {
		t.Error("children would inherit the variable")
	}
}

func TestReadyTellsSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv(readyFD, "")
	Ready(slog.New(slog.DiscardHandler), "10.0.0.1:8888", nil)
	b := make([]byte, 200)
	n, err := l.Read(b)
	if err != nil || string(b[:n]) != "READY=1\nSTATUS=serves 10.0.0.1:8888" {
		t.Errorf("%q %v", b[:n], err)
	}
}

func TestReadySaysWhyItTellsNobody(t *testing.T) {
	var b strings.Builder
	for _, bad := range []string{"x", "1", "99999"} {
		t.Setenv(readyFD, bad)
		b.Reset()
		Ready(slog.New(slog.NewTextHandler(&b, nil)), "a:1", nil)
		if !strings.Contains(b.String(), "start.sh is not told") || !strings.Contains(b.String(), bad) {
			t.Errorf("%s: %s", bad, b.String())
		}
	}
}
