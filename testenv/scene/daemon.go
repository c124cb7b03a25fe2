package scene

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"

	"omsync/rpc/client"
	"omsync/testenv/daemons"
)

// Daemon is a collector or synctool of the scene: a place for one process after the other.
type Daemon struct {
	Name string
	Addr string // host:port it listens on

	command daemons.Command
	mu      sync.Mutex
	process *daemons.Process // nil before the first start
	conn    *grpc.ClientConn
}

// StartCollector starts a data_collector on the host of a tablet. more overrides keys of its conf file.
func (s *Scene) StartCollector(ctx context.Context, name string, tablet int, more daemons.Conf, env ...string) (*Daemon, error) {
	addr, err := daemons.FreePort(s.Cluster.Host(tablet))
	if err != nil {
		return nil, err
	}
	conf := merge(quickCollector, s.o.Collector, more)
	if c := s.o.Cluster.AuthCert; c != "" {
		conf["zk_cert"] = c
	}
	command, err := s.place.Collector(name, addr, conf)
	if err != nil {
		return nil, err
	}
	return s.start(ctx, name, addr, command, env)
}

// StartSynctool starts a synctool on 127.0.0.1. Local destinations are allowed below the scene's directory.
func (s *Scene) StartSynctool(ctx context.Context, name string, more daemons.Conf, env ...string) (*Daemon, error) {
	addr, err := daemons.FreePort("127.0.0.1")
	if err != nil {
		return nil, err
	}
	conf := merge(quickSynctool, daemons.Conf{"dest.default_fs": "file:///", "dest.allowed_prefixes": s.Dest("")}, s.o.Synctool, more)
	if c := s.o.Cluster.AuthCert; c != "" {
		conf["zookeeper.cert"] = c
	}
	command, err := s.place.Synctool(name, addr, conf)
	if err != nil {
		return nil, err
	}
	d, err := s.start(ctx, name, addr, command, env)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.synctools = append(s.synctools, d)
	s.mu.Unlock()
	return d, nil
}

func merge(of ...daemons.Conf) daemons.Conf {
	out := daemons.Conf{}
	for _, c := range of {
		maps.Copy(out, c)
	}
	return out
}

func (s *Scene) start(ctx context.Context, name, addr string, command daemons.Command, env []string) (*Daemon, error) {
	command.Env = append(append(command.Env, s.o.Env...), env...)
	conn, err := client.Dial(addr, client.Options{})
	if err != nil {
		return nil, err
	}
	d := &Daemon{Name: name, Addr: addr, command: command, conn: conn}
	s.mu.Lock()
	s.daemons = append(s.daemons, d)
	s.mu.Unlock()
	if err := d.Start(); err != nil {
		return nil, err
	}
	return d, d.Serves(ctx)
}

// Start starts the process (again), with the environment it had plus env.
func (d *Daemon) Start(env ...string) error {
	c := d.command
	c.Env = append(append([]string{}, c.Env...), env...)
	p, err := daemons.Start(c)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.process = p
	d.mu.Unlock()
	return nil
}

// SetEnv replaces what later starts add to the environment.
func (d *Daemon) SetEnv(env ...string) { d.command.Env = env }

// Process is the one that runs or ran last.
func (d *Daemon) Process() *daemons.Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.process
}

// Kill is kill -9.
func (d *Daemon) Kill() error {
	if p := d.Process(); p != nil {
		return p.Kill()
	}
	return nil
}

// Stop is SIGTERM; the error says when the process did not end well in time.
func (d *Daemon) Stop(grace time.Duration) error { return d.Process().Stop(grace) }

// Bounce is kill -9 and start.
func (d *Daemon) Bounce(env ...string) error {
	if err := d.Kill(); err != nil {
		return err
	}
	return d.Start(env...)
}

func (d *Daemon) hang() { d.conn.Close() }

// Serves waits until the daemon's port answers, or says how it ended.
func (d *Daemon) Serves(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return daemons.Until(ctx, d.Name+" serves", 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		if p := d.Process(); !p.Running() {
			return false, fmt.Errorf("%s has ended with code %d:\n%s", d.Name, p.ExitCode(), p.Tail(20))
		}
		_, err := d.Get(ctx, "/version")
		return err == nil, nil
	})
}

// Get reads a page.
func (d *Daemon) Get(ctx context.Context, page string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.Addr+page, nil)
	if err != nil {
		return "", err
	}
	t := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	answer, err := (&http.Client{Transport: t, Timeout: 5 * time.Second}).Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", page, answer.Status, b)
	}
	return string(b), err
}
