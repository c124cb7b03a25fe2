package zkconn

import (
	"context"
	"errors"

	"github.com/go-zookeeper/zk"
)

// Stat is what ZooKeeper knows of a node.
type Stat = zk.Stat

type got struct {
	data     []byte
	children []string
	exists   bool
	stat     *Stat
	fired    <-chan struct{}
}

func getData(path string) func(*zk.Conn) (got, error) {
	return func(z *zk.Conn) (got, error) {
		b, st, err := z.Get(path)
		return got{data: b, stat: st, exists: true}, err
	}
}

func getChildren(path string) func(*zk.Conn) (got, error) {
	return func(z *zk.Conn) (got, error) {
		names, st, err := z.Children(path)
		return got{children: names, stat: st, exists: true}, err
	}
}

func getExists(path string) func(*zk.Conn) (got, error) {
	return func(z *zk.Conn) (got, error) {
		ok, st, err := z.Exists(path)
		return got{exists: ok, stat: st}, err
	}
}

func (c *Conn) get(ctx context.Context, op, path string, f func(*zk.Conn) (got, error)) (got, error) {
	return read(ctx, c, op, path, func(ctx context.Context, l *link) (got, error) { return call(ctx, l, f) })
}

func (c *Conn) getW(ctx context.Context, op, path string, kind watchKind, plain func(*zk.Conn) (got, error), armed func(*zk.Conn) (watched[got], error)) (got, error) {
	return read(ctx, c, op, path, func(ctx context.Context, l *link) (got, error) {
		g, fired, err := watch(ctx, l, watchKey{kind, path}, plain, armed)
		g.fired = fired
		return g, err
	})
}

// Get returns a node's value. ErrNoNode when there is none.
func (c *Conn) Get(ctx context.Context, path string) ([]byte, *Stat, error) {
	g, err := c.get(ctx, "read", path, getData(path))
	if err != nil {
		return nil, nil, err
	}
	return g.data, g.stat, nil
}

// GetW is Get with a watch: the channel is closed when the value changes, the node goes, or either may have been missed. ErrNoNode sets no watch:
// ExistsW does.
func (c *Conn) GetW(ctx context.Context, path string) ([]byte, *Stat, <-chan struct{}, error) {
	g, err := c.getW(ctx, "read", path, watchData, getData(path), func(z *zk.Conn) (watched[got], error) {
		b, st, ch, err := z.GetW(path)
		return watched[got]{got{data: b, stat: st, exists: true}, ch}, err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return g.data, g.stat, g.fired, nil
}

// Children returns the names of a node's children, in no order.
func (c *Conn) Children(ctx context.Context, path string) ([]string, *Stat, error) {
	g, err := c.get(ctx, "list", path, getChildren(path))
	if err != nil {
		return nil, nil, err
	}
	return g.children, g.stat, nil
}

// ChildrenW is Children with a watch on children that come and go, and on the node itself going.
func (c *Conn) ChildrenW(ctx context.Context, path string) ([]string, *Stat, <-chan struct{}, error) {
	g, err := c.getW(ctx, "list", path, watchChild, getChildren(path), func(z *zk.Conn) (watched[got], error) {
		names, st, ch, err := z.ChildrenW(path)
		return watched[got]{got{children: names, stat: st, exists: true}, ch}, err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return g.children, g.stat, g.fired, nil
}

// Exists tells whether a node is there; its Stat only then.
func (c *Conn) Exists(ctx context.Context, path string) (bool, *Stat, error) {
	g, err := c.get(ctx, "look for", path, getExists(path))
	if err != nil || !g.exists {
		return false, nil, err
	}
	return true, g.stat, nil
}

// ExistsW is Exists with a watch on the node coming, changing or going.
func (c *Conn) ExistsW(ctx context.Context, path string) (bool, *Stat, <-chan struct{}, error) {
	g, err := c.getW(ctx, "look for", path, watchExist, getExists(path), func(z *zk.Conn) (watched[got], error) {
		ok, st, ch, err := z.ExistsW(path)
		return watched[got]{got{exists: ok, stat: st}, ch}, err
	})
	switch {
	case err != nil:
		return false, nil, nil, err
	case !g.exists:
		return false, nil, g.fired, nil
	}
	return true, g.stat, g.fired, nil
}

// Sync makes what was written anywhere before it visible to reads after it.
func (c *Conn) Sync(ctx context.Context, path string) error {
	_, err := c.get(ctx, "sync", path, func(z *zk.Conn) (got, error) {
		_, err := z.Sync(path)
		return got{}, err
	})
	return err
}

// ListW returns a node's children; a missing node has none. The channel is closed when that changes, the node coming or going included.
func (c *Conn) ListW(ctx context.Context, path string) ([]string, <-chan struct{}, error) {
	for {
		names, _, fired, err := c.ChildrenW(ctx, path)
		if !errors.Is(err, ErrNoNode) {
			return names, fired, err
		}
		there, _, fired, err := c.ExistsW(ctx, path)
		if err != nil || !there {
			return nil, fired, err
		}
	}
}

// ReadW returns a node's value, there = false where it is missing. The channel is closed when that changes.
func (c *Conn) ReadW(ctx context.Context, path string) (value []byte, there bool, fired <-chan struct{}, err error) {
	for {
		value, _, fired, err := c.GetW(ctx, path)
		if !errors.Is(err, ErrNoNode) {
			return value, err == nil, fired, err
		}
		there, _, fired, err := c.ExistsW(ctx, path)
		if err != nil || !there {
			return nil, false, fired, err
		}
	}
}
