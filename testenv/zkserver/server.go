package zkserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options of a Server.
type Options struct {
	Dir  string // for data, conf and log; required
	Port int    // default: a free one
	// Tick is ZooKeeper's tickTime, the grain of session expiry; default 100 ms. Sessions may time out after 100 ms to 1 min.
	Tick time.Duration
}

// Server is one standalone ZooKeeper.
type Server struct {
	o        Options
	java, cp string

	mu   sync.Mutex
	proc *process // nil while down
}

// startTimeout is for a loaded machine; on a quiet one it takes a second.
const startTimeout = time.Minute

// Start starts a server and waits until it answers.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("start ZooKeeper: a directory is needed")
	}
	if o.Tick <= 0 {
		o.Tick = 100 * time.Millisecond
	}
	s := &Server{o: o}
	var err error
	if s.java, s.cp, err = classPath(); err != nil {
		return nil, err
	}
	if s.o.Port == 0 {
		if s.o.Port, err = freePort(); err != nil {
			return nil, fmt.Errorf("start ZooKeeper: %w", err)
		}
	}
	return s, s.Up(ctx)
}

// Require starts a server for one test or fails it with the remedy. The server ends with the test.
func Require(t testing.TB) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.o.Port)) }

func (s *Server) data() string { return filepath.Join(s.o.Dir, "data") }

// Up starts a server that is down, with the data it had.
func (s *Server) Up(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return nil
	}
	if err := os.MkdirAll(s.data(), 0o755); err != nil {
		return fmt.Errorf("start ZooKeeper: %w", err)
	}
	conf := filepath.Join(s.o.Dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=%d\nminSessionTimeout=100\nmaxSessionTimeout=60000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\n"+
		"admin.enableServer=false\n4lw.commands.whitelist=ruok\nmaxClientCnxns=0\n", s.o.Tick.Milliseconds(), s.data(), s.o.Port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return fmt.Errorf("start ZooKeeper: %w", err)
	}
	// forceSync=no: what a killed process has written is in the kernel; these tests cut no power.
	p, err := startProcess(filepath.Join(s.o.Dir, "log"), s.java, "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=1024", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", s.cp, "org.apache.zookeeper.server.quorum.QuorumPeerMain", conf)
	if err != nil {
		return fmt.Errorf("start ZooKeeper: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !alive(ctx, s.Addr()) {
		select {
		case <-p.gone:
			return fmt.Errorf("start ZooKeeper: it ended at once:\n%s", p.tail())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start ZooKeeper: it does not answer: %w\n%s", context.Cause(ctx), p.tail()), p.signal(syscall.SIGKILL))
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.proc = p
	return nil
}

// alive asks "are you ok".
func alive(ctx context.Context, addr string) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	if _, err := io.WriteString(conn, "ruok"); err != nil {
		return false
	}
	b, err := io.ReadAll(conn)
	return err == nil && string(b) == "imok"
}

// Stop ends the server in good order.
func (s *Server) Stop() error { return s.down(syscall.SIGTERM) }

// Kill ends it as kill -9 does.
func (s *Server) Kill() error { return s.down(syscall.SIGKILL) }

func (s *Server) down(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.proc
	if p == nil {
		return nil
	}
	s.proc = nil
	if err := p.signal(sig); err != nil {
		return fmt.Errorf("stop ZooKeeper: %w", err)
	}
	select {
	case <-p.gone:
		return nil
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("stop ZooKeeper: it did not end within 30 s and was killed"), p.signal(syscall.SIGKILL))
	}
}

// Freeze stops the process's clock, as it were: connections stay, nothing is answered. Thaw lets it go on.
func (s *Server) Freeze() error { return s.send(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() error { return s.send(syscall.SIGCONT) }

func (s *Server) send(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return errors.New("ZooKeeper is down")
	}
	return s.proc.signal(sig)
}

// Wipe kills the server and starts it with an empty data directory.
func (s *Server) Wipe(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.data()); err != nil {
		return fmt.Errorf("wipe ZooKeeper: %w", err)
	}
	return s.Up(ctx)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
