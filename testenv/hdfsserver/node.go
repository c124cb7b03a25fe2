package hdfsserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"omsync/testenv/daemons"
)

// startTimeout is for a loaded machine; on a quiet one it takes 5 to 8 s.
const startTimeout = 3 * time.Minute

// Node is a NameNode or DataNode: a place for one process after the other, with the data it had.
type Node struct {
	Name string
	Host string // of a DataNode: its address
	HTTP string // of a NameNode: host:port of its pages

	command daemons.Command
	mu      sync.Mutex
	process *daemons.Process // nil before the first start
}

// Up starts the process if it does not run. It does not wait until it serves: Cluster.Await does.
func (n *Node) Up() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil && n.process.Running() {
		return nil
	}
	p, err := daemons.Start(n.command)
	if err != nil {
		return err
	}
	n.process = p
	return nil
}

func (n *Node) current() *daemons.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

// Running tells whether the process is there, frozen or not.
func (n *Node) Running() bool {
	p := n.current()
	return p != nil && p.Running()
}

// Kill is kill -9; also of a frozen process.
func (n *Node) Kill() error {
	if p := n.current(); p != nil {
		return p.Kill()
	}
	return nil
}

// Stop ends the process in good order.
func (n *Node) Stop() error {
	p := n.current()
	if p == nil {
		return nil
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.Done(): // Java's exit code after SIGTERM is 143; that is well
		return nil
	case <-time.After(30 * time.Second):
		return errors.Join(fmt.Errorf("stop %s: it did not end within 30 s and was killed", n.Name), p.Kill())
	}
}

// Freeze is SIGSTOP: connections stay, new ones are taken by the kernel, nothing is answered. Thaw lets it go on.
func (n *Node) Freeze() error { return n.send(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (n *Node) Thaw() error { return n.send(syscall.SIGCONT) }

func (n *Node) send(sig syscall.Signal) error {
	p := n.current()
	if p == nil || !p.Running() {
		return fmt.Errorf("%s is down", n.Name)
	}
	return p.Signal(sig)
}

// ended is the error of a process that should run and does not.
func (n *Node) ended() error {
	p := n.current()
	if p == nil || p.Running() {
		return nil
	}
	return fmt.Errorf("%s has ended; its log ends:\n%s", n.Name, p.Tail(15))
}

// Log is the path of its log.
func (n *Node) Log() string { return n.current().LogPath() }

// run runs a command to its end.
func run(ctx context.Context, c daemons.Command) error {
	p, err := daemons.Start(c)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s: %w", c.Name, context.Cause(ctx)), p.Kill())
	}
	if code := p.ExitCode(); code != 0 {
		return fmt.Errorf("%s: exit code %d; its log ends:\n%s", c.Name, code, p.Tail(15))
	}
	return nil
}
