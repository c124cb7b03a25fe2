package process

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Exit codes of the daemons (docs/design.md §3).
const (
	Stopped = 0 // by a signal, everything under way is committed or given up in order
	Usage   = 2 // command line or conf file
	Taken   = 3 // the port, or the lock of a directory, is another process's
	Fatal   = 4
)

// UntilSignal is a context that ends at the first SIGTERM or SIGINT. At the second one the process exits at once, as a kill would end it.
// release stops listening.
func UntilSignal(log *slog.Logger) (ctx context.Context, release context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() { // ended by release
		for {
			select {
			case s := <-signals:
				if ctx.Err() != nil {
					log.Error("a second signal: gone at once", "signal", s.String())
					os.Exit(Fatal)
				}
				log.Info("stopping; a second signal ends the process at once", "signal", s.String())
				cancel()
			case <-done:
				return
			}
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		cancel()
		close(done)
	})
}

// Complain writes an error for people, a line per joined error, and returns code.
func Complain(w io.Writer, name string, code int, err error) int {
	fmt.Fprintf(w, "%s: %v\n", name, err)
	return code
}
