package catalog

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"time"

	"omsync/openmldb/zkconn"
)

// sections are the parts of the snapshot, each followed on its own.
func (c *Catalog) sections() []section {
	return []section{
		{"the tables", c.followTables},
		{"the tablets", c.followNodes},
		{"the server names", c.followNames},
		{"the databases", c.list("db", func(s *Snapshot) *[]string { return &s.Databases })},
		{"the data collectors", c.list("sync_tool/collector", func(s *Snapshot) *[]string { return &s.Collectors })},
	}
}

// list follows a node's children.
func (c *Catalog) list(rel string, into func(*Snapshot) *[]string) func(context.Context) ([]<-chan struct{}, time.Duration, error) {
	return func(ctx context.Context) ([]<-chan struct{}, time.Duration, error) {
		names, changed, err := c.zk.ListW(ctx, c.at(rel))
		if err != nil {
			return nil, 0, err
		}
		slices.Sort(names)
		c.read(rel, func(s *Snapshot) bool {
			if slices.Equal(*into(s), names) {
				return false
			}
			*into(s) = names
			return true
		})
		return []<-chan struct{}{changed}, 0, nil
	}
}

func (c *Catalog) followNodes(ctx context.Context) ([]<-chan struct{}, time.Duration, error) {
	children, changed, err := c.zk.ListW(ctx, c.at("nodes"))
	if err != nil {
		return nil, 0, err
	}
	nodes := make([]string, len(children))
	for i, n := range children {
		nodes[i] = tabletNode(n)
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	c.read("nodes", func(s *Snapshot) bool {
		if slices.Equal(s.Tablets, nodes) {
			return false
		}
		s.Tablets = nodes
		return true
	})
	return []<-chan struct{}{changed}, 0, nil
}

// followNames reads map/names. A server that moves overwrites its entry and then registers: its coming to nodes/ has them read again.
func (c *Catalog) followNames(ctx context.Context) ([]<-chan struct{}, time.Duration, error) {
	_, moved, err := c.zk.ListW(ctx, c.at("nodes"))
	if err != nil {
		return nil, 0, err
	}
	children, changed, err := c.zk.ListW(ctx, c.at("map/names"))
	if err != nil {
		return nil, 0, err
	}
	names, unset := map[string]string{}, false
	for _, n := range children {
		b, _, err := c.zk.Get(ctx, path.Join(c.at("map/names"), n))
		if errors.Is(err, zkconn.ErrNoNode) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if len(b) == 0 { // made, its value is still to come
			unset = true
			continue
		}
		names[n] = string(b)
	}
	c.read("names", func(s *Snapshot) bool {
		if maps.Equal(s.Names, names) && s.Names != nil {
			return false
		}
		s.Names = names
		return true
	})
	again := time.Duration(0)
	switch {
	case unset:
		again = soon
	case len(names) > 0:
		again = c.o.Refresh
	}
	return []<-chan struct{}{changed, moved}, again, nil
}

// read publishes what a section has read and counts the section as known.
func (c *Catalog) read(section string, edit func(*Snapshot) bool) {
	c.publish(func(s *Snapshot) bool {
		changed := edit(s)
		if c.unread[section] {
			delete(c.unread, section)
			changed = true // Ready waits for it
		}
		return changed
	})
}
