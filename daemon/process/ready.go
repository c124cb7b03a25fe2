package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
)

// readyFD is the environment variable that names the descriptor bin/start.sh reads on.
const readyFD = "OMSYNC_READY_FD"

// Ready tells whoever started the process that it serves, once: systemd (Type=notify), and bin/start.sh, which gets a line per problem that does not
// keep the daemon from working and then "ready <address>". Nobody who listens is no error: the daemon works all the same.
func Ready(log *slog.Logger, address string, problems []string) {
	log.Info("ready", "address", address)
	if _, err := daemon.SdNotify(true, daemon.SdNotifyReady+"\nSTATUS=serves "+address); err != nil {
		log.Warn("systemd is not told that the daemon is ready", "error", err)
	}
	if err := tellReadyFD(address, problems); err != nil {
		log.Warn("start.sh is not told that the daemon is ready", "error", err)
	}
}

func tellReadyFD(address string, problems []string) error {
	text := os.Getenv(readyFD)
	if text == "" {
		return nil
	}
	if err := os.Unsetenv(readyFD); err != nil {
		return err
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return fmt.Errorf("%s=%q is not a descriptor above 2", readyFD, text)
	}
	f := os.NewFile(uintptr(fd), readyFD)
	if f == nil {
		return fmt.Errorf("%s=%d is not open", readyFD, fd)
	}
	var b strings.Builder
	for _, p := range problems {
		b.WriteString("warning: " + strings.ReplaceAll(p, "\n", " ") + "\n")
	}
	b.WriteString("ready " + address + "\n")
	if _, err := f.WriteString(b.String()); err != nil {
		return errors.Join(fmt.Errorf("%s=%d: %w", readyFD, fd, err), f.Close())
	}
	return f.Close()
}
