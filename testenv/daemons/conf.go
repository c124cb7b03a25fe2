package daemons

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Conf of a daemon: keys and values, as in its file.
type Conf map[string]string

// with lays more over c.
func (c Conf) with(more Conf) Conf {
	out := maps.Clone(c)
	maps.Copy(out, more)
	return out
}

func (c Conf) write(path, format string) error {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, format+"\n", k, c[k])
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write conf: %w", err)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write conf: %w", err)
	}
	return nil
}

// Place is where daemons run.
type Place struct {
	Bin  string // directory of the binaries
	Dir  string // a directory per daemon is made below it
	ZK   string // zk_cluster
	Root string // zk_root_path
}

// Collector makes the command of a data_collector that listens on endpoint. Its data directory is on the file system of Place.Dir, as the tablets' data
// must be. more overrides keys of conf/data_collector.flags.
func (p Place) Collector(name, endpoint string, more Conf) (Command, error) {
	dir := filepath.Join(p.Dir, name)
	file := filepath.Join(dir, "data_collector.flags")
	c := Conf{
		"endpoint": endpoint, "zk_cluster": p.ZK, "zk_root_path": p.Root, "collector_datadir": filepath.Join(dir, "data"), "openmldb_log_dir": "",
	}.with(more)
	if err := c.write(file, "--%s=%s"); err != nil {
		return Command{}, err
	}
	return Command{Name: name, Path: filepath.Join(p.Bin, "data_collector"), Args: []string{"--flagfile=" + file}, Dir: dir}, nil
}

// Synctool makes the command of a synctool that listens on host:port. more overrides keys of conf/synctool.properties.
func (p Place) Synctool(name, address string, more Conf) (Command, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Command{}, fmt.Errorf("synctool address: %w", err)
	}
	dir := filepath.Join(p.Dir, name)
	file := filepath.Join(dir, "synctool.properties")
	c := Conf{
		"server.host": host, "server.port": port, "zookeeper.cluster": p.ZK, "zookeeper.root_path": p.Root,
		"sync_task.progress_path": filepath.Join(dir, "progress"), "log.dir": "",
	}.with(more)
	if err := c.write(file, "%s=%s"); err != nil {
		return Command{}, err
	}
	return Command{Name: name, Path: filepath.Join(p.Bin, "synctool"), Args: []string{"--conf=" + file}, Dir: dir}, nil
}

// FreePort finds a port of host that nobody listens on now.
func FreePort(host string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return addr, nil
}
