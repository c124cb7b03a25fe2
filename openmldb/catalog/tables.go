package catalog

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"omsync/openmldb/zkconn"
)

// tables remembers what was read of each table's node.
type tables struct {
	mu    sync.Mutex // one reading at a time
	known map[string]entry
}

// entry is a node as read: czxid and mzxid say whether it is still that.
type entry struct {
	czxid, mzxid int64
	table        *Table
}

// readers is how many nodes are asked for at a time.
const readers = 16

func (c *Catalog) followTables(ctx context.Context) ([]<-chan struct{}, time.Duration, error) {
	_, notified, bumped, err := c.zk.ReadW(ctx, c.at("table/notify"))
	if err != nil {
		return nil, 0, err
	}
	names, changed, err := c.zk.ListW(ctx, c.at("table/db_table_data"))
	if err != nil {
		return nil, 0, err
	}
	if err := c.readTables(ctx, names); err != nil {
		return nil, 0, err
	}
	again := c.o.Refresh
	if !notified {
		again = c.o.Unnotified
	}
	return []<-chan struct{}{bumped, changed}, again, nil
}

// Refresh reads what changed of the tables now, whatever watches have told.
func (c *Catalog) Refresh(ctx context.Context) error {
	dir := c.at("table/db_table_data")
	if err := c.zk.Sync(ctx, dir); err != nil {
		return fmt.Errorf("read the tables: %w", err)
	}
	names, _, err := c.zk.ListW(ctx, dir)
	if err != nil {
		return fmt.Errorf("read the tables: %w", err)
	}
	if err := c.readTables(ctx, names); err != nil {
		return fmt.Errorf("read the tables: %w", err)
	}
	return nil
}

// readTables asks for the modification numbers of the tables and reads those that changed.
func (c *Catalog) readTables(ctx context.Context, names []string) error {
	t := &c.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	found := make([]entry, len(names))
	all, actx := errgroup.WithContext(ctx)
	all.SetLimit(readers)
	for i, name := range names {
		old, seen := t.known[name]
		all.Go(func() (err error) {
			found[i], err = c.readTable(actx, name, old, seen)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	next, list, same := map[string]entry{}, []*Table{}, len(names) == len(t.known)
	for i, name := range names {
		if found[i].table == nil {
			same = false
			continue // dropped meanwhile
		}
		same = same && found[i] == t.known[name]
		next[name] = found[i]
		list = append(list, found[i].table)
	}
	t.known = next
	c.read("tables", func(s *Snapshot) bool {
		if same {
			return false
		}
		s.Tables = list
		return true
	})
	return nil
}

// readTable reads one node, unless it is what it was. A node that is gone gives no table.
func (c *Catalog) readTable(ctx context.Context, name string, old entry, seen bool) (entry, error) {
	at := path.Join(c.at("table/db_table_data"), name)
	if seen {
		there, st, err := c.zk.Exists(ctx, at)
		switch {
		case err != nil:
			return entry{}, err
		case !there:
			return entry{}, nil
		case st.Czxid == old.czxid && st.Mzxid == old.mzxid:
			return old, nil
		}
	}
	b, st, err := c.zk.Get(ctx, at)
	switch {
	case errors.Is(err, zkconn.ErrNoNode):
		return entry{}, nil
	case errors.Is(err, zkconn.ErrNoAuth):
		return c.unreadable(name, err, old, entry{}), nil
	case err != nil:
		return entry{}, err
	}
	info, err := parseTable(name, b)
	if err != nil {
		return c.unreadable(name, err, old, entry{czxid: st.Czxid, mzxid: st.Mzxid}), nil
	}
	return entry{st.Czxid, st.Mzxid, &Table{TID: info.GetTid(), DB: info.GetDb(), Name: info.GetName(), Info: info}}, nil
}

// unreadable is a table that keeps what was last known of it.
func (c *Catalog) unreadable(name string, why error, old, now entry) entry {
	was := old.table
	if was != nil && was.Problem == why.Error() && old.mzxid == now.mzxid {
		return old
	}
	c.o.Logger.Warn("a table's node can not be read", "node", path.Join(c.at("table/db_table_data"), name), "err", why)
	t := &Table{Name: "table " + name}
	if was != nil && (now.czxid == 0 || now.czxid == old.czxid) {
		*t = *was
	}
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		t.TID = uint32(id)
	}
	t.Problem = why.Error()
	now.table = t
	return now
}
