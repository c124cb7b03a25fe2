package snapshot

import (
	"container/list"
	"sync"
)

// tables keeps table files open. Files in use stay open; of the others the last used, up to a limit, do.
type tables struct {
	open  func(num uint64) (*table, error)
	limit int // open files that nobody uses

	mu     sync.Mutex
	byNum  map[uint64]*tableRef
	idle   list.List // of *tableRef, last used first
	closed bool
}

type tableRef struct {
	num  uint64
	once sync.Once
	t    *table
	err  error

	users int           // under tables.mu
	place *list.Element // in idle, under tables.mu
}

func newTables(limit int, open func(num uint64) (*table, error)) *tables {
	return &tables{open: open, limit: limit, byNum: map[uint64]*tableRef{}}
}

// acquire opens the file or finds it open. Every acquire that succeeds needs a release.
func (c *tables) acquire(num uint64) (*tableRef, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	r := c.byNum[num]
	if r == nil {
		r = &tableRef{num: num}
		c.byNum[num] = r
	}
	r.users++
	if r.place != nil {
		c.idle.Remove(r.place)
		r.place = nil
	}
	c.mu.Unlock()
	r.once.Do(func() { r.t, r.err = c.open(num) })
	if r.err != nil {
		err := r.err
		c.release(r)
		return nil, err
	}
	return r, nil
}

// release gives a file back. The error is that of closing files that became too many.
func (c *tables) release(r *tableRef) error {
	c.mu.Lock()
	r.users--
	var old []*table
	if r.users == 0 {
		switch {
		case r.err != nil: // another acquire tries again
			delete(c.byNum, r.num)
		case c.closed:
			delete(c.byNum, r.num)
			old = append(old, r.t)
		default:
			r.place = c.idle.PushFront(r)
			old = c.evict(c.limit)
		}
	}
	c.mu.Unlock()
	return closeAll(old)
}

// evict forgets all but keep idle files; the caller closes them.
func (c *tables) evict(keep int) []*table {
	var old []*table
	for c.idle.Len() > keep {
		r := c.idle.Remove(c.idle.Back()).(*tableRef)
		delete(c.byNum, r.num)
		old = append(old, r.t)
	}
	return old
}

// close closes idle files now and the others when they are released.
func (c *tables) close() error {
	c.mu.Lock()
	c.closed = true
	old := c.evict(0)
	c.mu.Unlock()
	return closeAll(old)
}

func closeAll(ts []*table) error {
	var first error
	for _, t := range ts {
		if err := t.close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
