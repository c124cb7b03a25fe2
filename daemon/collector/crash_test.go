package collector

import (
	"errors"
	"io/fs"
	"sync"
)

var errCrash = errors.New("crashed")

// crashFS fails everything once it has crashed, as the calls of a process that is gone never happen; after is the number of changing calls until then,
// 0 = never.
type crashFS struct {
	FS
	mu      sync.Mutex
	after   int
	crashed bool
	onCrash func()
	fail    func(op, name string) error
}

func (c *crashFS) hit(op, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crashed {
		return errCrash
	}
	if c.fail != nil {
		if err := c.fail(op, name); err != nil {
			return err
		}
	}
	if c.after > 0 {
		if c.after--; c.after == 0 {
			c.crashed = true
			if c.onCrash != nil {
				go c.onCrash()
			}
			return errCrash
		}
	}
	return nil
}

func (c *crashFS) crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crashed = true
}

func (c *crashFS) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crashed
}

func (c *crashFS) WriteFile(name string, b []byte) error {
	if err := c.hit("write", name); err != nil {
		return err
	}
	return c.FS.WriteFile(name, b)
}

func (c *crashFS) Link(from, to string) error {
	if err := c.hit("link", from); err != nil {
		return err
	}
	return c.FS.Link(from, to)
}

func (c *crashFS) MkdirAll(name string) error {
	if err := c.hit("mkdir", name); err != nil {
		return err
	}
	return c.FS.MkdirAll(name)
}

func (c *crashFS) Rename(from, to string) error {
	if err := c.hit("rename", from); err != nil {
		return err
	}
	return c.FS.Rename(from, to)
}

func (c *crashFS) Remove(name string) error {
	if err := c.hit("remove", name); err != nil {
		return err
	}
	return c.FS.Remove(name)
}

func (c *crashFS) RemoveAll(name string) error {
	if err := c.hit("remove all", name); err != nil {
		return err
	}
	return c.FS.RemoveAll(name)
}

func (c *crashFS) ReadDir(name string) ([]fs.DirEntry, error) {
	c.mu.Lock()
	crashed := c.crashed
	c.mu.Unlock()
	if crashed {
		return nil, errCrash
	}
	return c.FS.ReadDir(name)
}

func (c *crashFS) ReadFile(name string) ([]byte, error) {
	if err := c.hit("read", name); err != nil {
		return nil, err
	}
	return c.FS.ReadFile(name)
}
