package daemons

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is what to run.
type Command struct {
	Name string // for people, and of the log file
	Path string
	Args []string
	Env  []string // added to the own environment
	Dir  string   // working directory; the log file <Name>.log is here
}

// Process is one running daemon.
type Process struct {
	Command
	pid  int
	done chan struct{}
	mu   sync.Mutex
	err  error
}

// Start runs a command; its output is appended to <Dir>/<Name>.log.
func Start(c Command) (*Process, error) {
	p := &Process{Command: c, done: make(chan struct{})}
	log, err := os.OpenFile(p.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, append(os.Environ(), c.Env...), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal is tied to the thread that forks: it must live as long as the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			err = errors.Join(cmd.Wait(), log.Close())
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.Name, err), log.Close())
	}
	return p, nil
}

// PID of the process.
func (p *Process) PID() int { return p.pid }

// LogPath is where its output goes.
func (p *Process) LogPath() string { return filepath.Join(p.Dir, p.Name+".log") }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether it has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the process's group. One that has ended is no error.
func (p *Process) Signal(s syscall.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := syscall.Kill(-p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s to %s (pid %d): %w", s, p.Name, p.pid, err)
	}
	return nil
}

// Kill is kill -9; it returns when the process is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Stop asks the process to end and kills it after the grace. The error says when it had to be killed or ended badly.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		return errors.Join(fmt.Errorf("stop %s: still running %s after SIGTERM; its log ends:\n%s", p.Name, grace, p.Tail(10)), p.Kill())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("stop %s: %w; its log ends:\n%s", p.Name, p.err, p.Tail(10))
	}
	return nil
}

// ExitCode of an ended process; -1 for one that was killed or still runs.
func (p *Process) ExitCode() int {
	if p.Running() {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var e *exec.ExitError
	switch {
	case p.err == nil:
		return 0
	case errors.As(p.err, &e):
		return e.ExitCode()
	}
	return -1
}

// Tail is the end of the log, for error messages.
func (p *Process) Tail(lines int) string {
	b, err := os.ReadFile(p.LogPath())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Until asks again and again until cond is true; the error names what was waited for. cond's error ends the wait.
func Until(ctx context.Context, what string, every time.Duration, cond func(ctx context.Context) (bool, error)) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		ok, err := cond(ctx)
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		}
	}
}
