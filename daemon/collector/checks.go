package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"omsync/openmldb/tablet"
)

// checks are the start-up checks of docs/design.md §3: the data directory is on the tablets' file system, files there may be linked, and the endpoint's
// host is that of a tablet. What can not be looked at yet (no tablet, no table) is looked at again.
type checks struct {
	c *Collector

	mu      sync.Mutex
	reasons []string // why not all is well
	passed  bool
}

// verdict of one round.
type verdict struct {
	passed  bool  // everything was looked at and is right
	wrong   error // it is certain that no table of this host can be exported; wraps ErrConf
	reasons []string
}

// first looks for at most pace.checks. Only what is certain is an error.
func (k *checks) first(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.c.o.pace.checks)
	defer cancel()
	for {
		changed := k.c.cluster.Changed()
		if _, known := k.c.cluster.Tablets(); known {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			k.note(verdict{reasons: []string{"the tablets can not be read from ZooKeeper yet: whether collector_datadir fits them is not checked"}})
			return nil
		}
	}
	v := k.look(ctx)
	k.note(v)
	return v.wrong
}

// run looks again until all is well or ctx ends.
func (k *checks) run(ctx context.Context) {
	for !k.done() {
		changed := k.c.cluster.Changed()
		if pause(ctx, k.c.o.Clock, k.c.o.pace.checks, changed) != nil {
			return
		}
		if _, known := k.c.cluster.Tablets(); known {
			once, cancel := context.WithTimeout(ctx, k.c.o.RequestTimeout)
			v := k.look(once)
			cancel()
			if ctx.Err() != nil {
				return
			}
			k.note(v)
		}
	}
}

func (k *checks) note(v verdict) {
	if v.wrong != nil {
		v.reasons = append(v.reasons, v.wrong.Error())
	}
	k.mu.Lock()
	was := strings.Join(k.reasons, "\n")
	k.reasons, k.passed = v.reasons, v.passed
	k.mu.Unlock()
	if now := strings.Join(v.reasons, "\n"); now != was {
		for _, r := range v.reasons {
			k.c.log.Warn("start-up check", "reason", r)
		}
	}
}

func (k *checks) done() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.passed
}

func (k *checks) problems() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reasons
}

// look is one round.
func (k *checks) look(ctx context.Context) (v verdict) {
	list, _ := k.c.cluster.Tablets()
	if len(list) == 0 {
		v.reasons = append(v.reasons, "no tablet is registered yet: whether collector_datadir fits the tablets' data is not checked")
		return v
	}
	host := hostOf(k.c.cluster.Resolve(k.c.o.Endpoint))
	var mine []Tablet
	var hosts []string
	for _, t := range list {
		hosts = append(hosts, t.Host)
		if t.Host == host {
			mine = append(mine, t)
		}
	}
	if len(mine) == 0 {
		v.reasons = append(v.reasons, hostMismatch(k.c.o.Endpoint, host, hosts))
		return v
	}
	return k.tablets(ctx, mine)
}

// hostMismatch explains that the synctool will never find this collector.
func hostMismatch(endpoint, host string, hosts []string) string {
	why := "the synctool looks for a collector by the host text of the partition's leader"
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		why += "; a loopback address is the usual mistake where tablets are registered under a public one"
	}
	return fmt.Sprintf("endpoint %s: no tablet is registered on host %s (tablets are on %s): %s; set --endpoint in data_collector.flags to <that host>:<port>",
		endpoint, host, strings.Join(hosts, ", "), why)
}

// tablets tries to link a file of each root directory that this host's tablets tell of.
func (k *checks) tablets(ctx context.Context, mine []Tablet) (v verdict) {
	tried := map[string]error{} // by root
	silent := 0
	for _, t := range mine {
		client, err := k.c.tablets.At(t.Address)
		if err != nil {
			silent++
			continue
		}
		all, err := client.Statuses(ctx)
		if err != nil {
			v.reasons = append(v.reasons, fmt.Sprintf("tablet %s does not answer: whether collector_datadir fits its data is not checked (%v)", t.Node, err))
			silent++
			continue
		}
		for _, st := range all {
			if tablet.Ready(st) != nil {
				continue
			}
			src := &source{Snapshots: filepath.Clean(st.GetSnapshotPath()), Logs: filepath.Clean(st.GetBinlogPath())}
			root := filepath.Dir(filepath.Dir(src.Logs))
			if _, known := tried[root]; known {
				continue
			}
			if err := k.c.tryLink(src); !errors.Is(err, errNothingToLink) {
				tried[root] = err
			}
		}
	}
	bad := 0
	for root, err := range tried {
		if err == nil {
			continue
		}
		bad++
		t := classify("link a file of "+root+" into collector_datadir "+k.c.o.DataDir, err)
		text := t.fault.GetReason() + ": " + t.fault.GetHint()
		v.reasons = append(v.reasons, text)
		if t.class == operator {
			v.wrong = fmt.Errorf("%w: %s", ErrConf, text)
		}
	}
	switch {
	case bad > 0 && bad < len(tried):
		v.wrong = nil // the tables below the other roots can be exported
	case bad > 0 && v.wrong != nil:
		v.reasons = nil // they are all in it
	case len(tried) == 0 && silent == 0:
		v.reasons = append(v.reasons, "the tablets of this host hold no table on disk yet: whether collector_datadir fits their data is not checked")
	}
	v.passed = len(tried) > 0 && bad == 0 && silent == 0
	return v
}

// errNothingToLink: the partition has neither files nor directories yet.
var errNothingToLink = errors.New("there is nothing to link yet")

// tryLink links one real file of a partition into the data directory, and removes the link. errNothingToLink: nothing can be said.
func (c *Collector) tryLink(src *source) error {
	fsys := c.o.Files
	files, err := logFiles(fsys, src.Logs)
	if err != nil && !notExist(err) {
		return fmt.Errorf("list the log directory: %w", err)
	}
	candidates := []string{filepath.Join(src.Snapshots, "MANIFEST")}
	for _, f := range files {
		candidates = append(candidates, filepath.Join(src.Logs, f.name))
	}
	probe := filepath.Join(c.o.DataDir, fmt.Sprintf(".probe-%s-%d", c.instance, c.attaches.Add(1)))
	for _, from := range candidates {
		err := fsys.Link(from, probe)
		switch {
		case err == nil:
			if err := fsys.Remove(probe); err != nil {
				return fmt.Errorf("remove a link: %w", err)
			}
			return nil
		case notExist(err):
			if _, derr := fsys.Stat(c.o.DataDir); derr != nil {
				return fmt.Errorf("collector_datadir: %w", derr)
			}
		case errors.Is(err, syscall.EXDEV):
			return fmt.Errorf("%w (Invalid cross-device link)", err)
		default:
			return err
		}
	}
	return c.sameDevice(src)
}

// sameDevice compares devices where there is no file to link yet.
func (c *Collector) sameDevice(src *source) error {
	dir := src.Logs
	there, err := c.o.Files.Stat(dir)
	if notExist(err) { // made with the first entry
		dir = src.Snapshots
		there, err = c.o.Files.Stat(dir)
	}
	if notExist(err) {
		return errNothingToLink
	}
	if err != nil {
		return err
	}
	here, err := c.o.Files.Stat(c.o.DataDir)
	if err != nil {
		return fmt.Errorf("collector_datadir: %w", err)
	}
	if identityOf(there).dev != identityOf(here).dev {
		return fmt.Errorf("%s and %s: %w (Invalid cross-device link)", dir, c.o.DataDir, syscall.EXDEV)
	}
	return nil
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
