package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(exit(run(ctx, os.Args[1:], os.Stdout)))
}

// exit turns an error into the code of formats that our daemons use: 0 stopped, 2 usage, 4 fatal.
func exit(err error) int {
	switch {
	case err == nil:
		return 0
	case isUsage(err):
		fmt.Fprintf(os.Stderr, "tablet: %v\nTry tablet --help.\n", err)
		return 2
	}
	fmt.Fprintf(os.Stderr, "tablet: %v\n", err)
	return 4
}
