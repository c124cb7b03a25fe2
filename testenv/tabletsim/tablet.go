package tabletsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"omsync/openmldb/pb/apipb"
	"omsync/rpc/baidustd"
)

// TabletOptions shape a Tablet.
type TabletOptions struct {
	Host string // address to listen on, e.g. 127.0.0.2
	Port int    // 0 = a free one
	Name string // server name; set = the cluster runs with use_name
	Dir  string // its ssd_root_path
	// ZooKeeper; no Servers = do not register.
	Servers        []string
	Root           string
	SessionTimeout time.Duration // default 2 s, as shipped
	AuthScheme     string
	AuthCert       string
	// OldPaths makes GetTableStatus answer without paths, as tablets up to 0.7.3 do.
	OldPaths bool
	// Partition shapes the replicas it makes.
	Partition PartitionOptions
}

// Tablet is one simulated TabletServer.
type Tablet struct {
	opts   TabletOptions
	addr   string
	server *baidustd.Server
	served chan error
	stop   context.CancelFunc
	reg    *registration

	mu    sync.Mutex
	parts map[[2]uint32]*Partition
}

// StartTablet listens, serves and registers.
func StartTablet(ctx context.Context, o TabletOptions) (*Tablet, error) {
	if o.SessionTimeout == 0 {
		o.SessionTimeout = 2 * time.Second
	}
	t := &Tablet{opts: o, served: make(chan error, 1), parts: map[[2]uint32]*Partition{}}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start tablet: %w", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		return nil, fmt.Errorf("start tablet: %w", err)
	}
	t.addr = l.Addr().String()
	t.server = baidustd.NewServer(baidustd.ServerOptions{})
	t.server.RegisterService(&apipb.TabletServer_ServiceDesc, service{t: t})
	serving, stop := context.WithCancel(context.Background())
	t.stop = stop
	go func() { t.served <- t.server.Serve(serving, l) }()
	if len(o.Servers) > 0 {
		t.reg, err = register(ctx, o.Servers, o.SessionTimeout, o.AuthScheme, o.AuthCert, o.Root+"/nodes/"+t.Endpoint(), t.Endpoint())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start tablet: %w", err), t.Close())
		}
	}
	return t, nil
}

// Addr is ip:port.
func (t *Tablet) Addr() string { return t.addr }

// Endpoint is what ZooKeeper knows the tablet by: its address or its name.
func (t *Tablet) Endpoint() string {
	if t.opts.Name != "" {
		return t.opts.Name
	}
	return t.addr
}

// Open starts a replica below the tablet's directory.
func (t *Tablet) Open(s *Schema, pid uint32, mode apipb.TableMode, term uint64) (*Partition, error) {
	return t.OpenDir(filepath.Join(t.opts.Dir, fmt.Sprintf("%d_%d", s.TID, pid)), s, pid, mode, term)
}

// OpenDir starts a replica on a directory of its own.
func (t *Tablet) OpenDir(dir string, s *Schema, pid uint32, mode apipb.TableMode, term uint64) (*Partition, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open partition: %w", err)
	}
	if abs, err = realDir(abs); err != nil {
		return nil, fmt.Errorf("open partition: %w", err)
	}
	p, err := OpenPartition(abs, s, pid, mode, term, t.opts.Partition)
	if err != nil {
		return nil, err
	}
	p.endpoint = t.Endpoint()
	t.mu.Lock()
	t.parts[[2]uint32{s.TID, pid}] = p
	t.mu.Unlock()
	return p, nil
}

// realDir makes dir and resolves links in its path, as snapshot_path is a realpath.
func realDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// Drop closes a replica and moves its directory away, as DROP TABLE does (recycle bin).
func (t *Tablet) Drop(tid, pid uint32) error {
	p, ok := t.Partition(tid, pid)
	if !ok {
		return nil
	}
	t.mu.Lock()
	delete(t.parts, [2]uint32{tid, pid})
	t.mu.Unlock()
	if err := p.Kill(false); err != nil {
		return err
	}
	bin := filepath.Join(t.opts.Dir, "recycle")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("drop %d_%d: %w", tid, pid, err)
	}
	if err := os.Rename(p.dir, filepath.Join(bin, fmt.Sprintf("%d_%d_%d", tid, pid, time.Now().UnixNano()))); err != nil {
		return fmt.Errorf("drop %d_%d: %w", tid, pid, err)
	}
	return nil
}

// Partition finds a replica.
func (t *Tablet) Partition(tid, pid uint32) (*Partition, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.parts[[2]uint32{tid, pid}]
	return p, ok
}

// Partitions lists the replicas by tid and pid.
func (t *Tablet) Partitions() []*Partition {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*Partition, 0, len(t.parts))
	for _, p := range t.parts {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Partition) int { return cmp.Or(cmp.Compare(a.TID, b.TID), cmp.Compare(a.PID, b.PID)) })
	return out
}

// Close stops the tablet in order.
func (t *Tablet) Close() error { return t.end(false, false) }

// Kill stops it as SIGKILL does: connections break, logs stay as they are (with tear: with half a record), the ZooKeeper node stays until its session
// times out.
func (t *Tablet) Kill(tear bool) error { return t.end(true, tear) }

func (t *Tablet) end(abrupt, tear bool) error {
	var errs []error
	if abrupt {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		t.server.Stop(now)
	}
	t.stop()
	errs = append(errs, <-t.served)
	for _, p := range t.Partitions() {
		errs = append(errs, p.Kill(tear))
	}
	if t.reg != nil {
		errs = append(errs, t.reg.close(abrupt))
	}
	return errors.Join(errs...)
}
