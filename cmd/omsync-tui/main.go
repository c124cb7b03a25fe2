package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"
	"google.golang.org/grpc"

	"omsync/daemon/process"
	"omsync/rpc/client"
	"omsync/tui/ctl"
	"omsync/tui/inspect"
	"omsync/tui/toolstatus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := ctl.Main(ctx, os.Args[1:], ctl.Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal:  term.IsTerminal(int(os.Stdin.Fd())),
		Now:       time.Now,
		ConfFiles: confFiles(),
		Dial:      dial,
		Cluster:   zooKeeper{},
		Version:   process.Version(),
		More: []*cli.Command{
			toolstatus.Command(toolstatus.Env{Out: os.Stdout, Err: os.Stderr, Now: time.Now, ConfFiles: confFiles(), Dial: dial, Cluster: look}),
			inspect.Command(inspect.Env{Out: os.Stdout, Err: os.Stderr, Now: time.Now}),
		},
	})
	stop()
	os.Exit(code)
}

func dial(addr string) (*grpc.ClientConn, error) { return client.Dial(addr, client.Options{}) }

// confFiles are the places of synctool.properties: below the working directory, and beside the package's bin/.
func confFiles() []string {
	files := []string{filepath.Join("conf", "synctool.properties")}
	if exe, err := os.Executable(); err == nil {
		files = append(files, filepath.Join(filepath.Dir(exe), "..", "conf", "synctool.properties"))
	}
	return files
}
