package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"sync"

	"omsync/openmldb/zkconn"
)

// States of a collector in the list.
const (
	Active  = "active"  // works for its host: of ours, the longest registered there
	Standby = "standby" // takes over when the active one is gone
	Foreign = "foreign" // upstream's, or of a release not known here
)

// CollectorRecord is the value of collectors/<endpoint>.
type CollectorRecord struct {
	Schema   int    `json:"schema"`
	Endpoint string `json:"endpoint"` // exactly the --endpoint flag
	Host     string `json:"host"`
	Version  string `json:"version,omitempty"`
	DataDir  string `json:"data_dir,omitempty"`
	State    string `json:"state,omitempty"` // as the collector last knew it; the list's is worked out from the nodes' ages
	SinceMs  int64  `json:"since_ms,omitempty"`
	Instance string `json:"instance"` // one process's life; filled in when empty
	HTTP     string `json:"http,omitempty"`
}

// Collector is a registered collector.
type Collector struct {
	CollectorRecord
	Czxid   int64  // age of the record among all
	Problem string // why the record can not be read; then Foreign
}

// Standing is what a collector knows of its own place.
type Standing struct {
	Registered bool
	State      string // Active or Standby; "" while not known
}

// RegisterCollector keeps a collector registered until ctx ends, over sessions: upstream's node (formats.md §1.1) and the record of ours. changed is
// told whenever the standing changes and must not wait. Nodes of the same instance, or of an earlier process with the same host and data
// directory, are replaced; any other that holds the endpoint is waited for.
func (s *Session) RegisterCollector(ctx context.Context, rec CollectorRecord, changed func(Standing)) error {
	if rec.Endpoint == "" || rec.Host == "" {
		return errors.New("register collector: endpoint and host are required")
	}
	rec.Schema = Schema
	if rec.Instance == "" {
		rec.Instance = nonce()
	}
	at, theirs := path.Join(s.paths.records(), rec.Endpoint), path.Join(s.paths.collectors(), rec.Endpoint)
	value, err := encode(at, rec)
	if err != nil {
		return err
	}
	// The record first: so nobody takes ours for a foreign one.
	reg := s.conn.Register(zkconn.Node{Path: at, Value: value}, zkconn.Node{Path: theirs, Value: []byte(rec.Endpoint)})
	replaced := map[int64]bool{} // sessions of predecessors
	reg.Own = func(n zkconn.Node, found []byte, st *zkconn.Stat) bool {
		if n.Path == theirs {
			return replaced[st.EphemeralOwner]
		}
		var old CollectorRecord
		if decode(at, found, &old) != nil {
			return false
		}
		own := old.Instance == rec.Instance || old.Host == rec.Host && old.DataDir == rec.DataDir && old.DataDir != ""
		if own {
			replaced[st.EphemeralOwner] = true
		}
		return own
	}
	var mu sync.Mutex
	var now Standing
	tell := func(edit func(*Standing)) {
		mu.Lock()
		defer mu.Unlock()
		next := now
		edit(&next)
		if next != now {
			now = next
			changed(next)
		}
	}
	reg.Changed = func(ok bool) { tell(func(st *Standing) { st.Registered = ok }) }

	list := s.WatchCollectors()
	lctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var listErr error
	wg.Go(func() { listErr = list.Run(lctx) })
	wg.Go(func() {
		for lctx.Err() == nil {
			next := list.Changed()
			for _, c := range list.Snapshot() {
				if c.Endpoint != rec.Endpoint || c.Instance != rec.Instance {
					continue
				}
				tell(func(st *Standing) { st.State = c.State })
				if rec.State != c.State {
					rec.State = c.State
					if b, err := encode(at, rec); err == nil {
						reg.Update(at, b)
					}
				}
			}
			select {
			case <-next:
			case <-lctx.Done():
			}
		}
	})
	err = reg.Run(ctx)
	cancel()
	wg.Wait()
	return errors.Join(err, listErr)
}

// Collectors is the list of registered collectors, kept up to date by Run.
type Collectors struct {
	view[[]Collector]
	s *Session
}

// WatchCollectors returns the list; Run keeps it.
func (s *Session) WatchCollectors() *Collectors {
	return &Collectors{view: newView[[]Collector](), s: s}
}

// Run keeps the list until ctx ends. It returns nil.
func (c *Collectors) Run(ctx context.Context) error {
	return c.follow(ctx, c.s.log, "the list of collectors", c.read)
}

// read lists the collectors and returns what tells of changes.
func (c *Collectors) read(ctx context.Context) ([]Collector, []<-chan struct{}, error) {
	conn, p := c.s.conn, c.s.paths
	names, changed1, err := conn.ListW(ctx, p.collectors())
	if err != nil {
		return nil, nil, err
	}
	records, changed2, err := conn.ListW(ctx, p.records())
	if err != nil {
		return nil, nil, err
	}
	changes := []<-chan struct{}{changed1, changed2}
	var out []Collector
	for _, name := range records {
		at := path.Join(p.records(), name)
		b, st, err := conn.Get(ctx, at)
		if errors.Is(err, zkconn.ErrNoNode) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		out = append(out, readCollector(at, name, b, st.Czxid))
	}
	for _, name := range names {
		if !slices.ContainsFunc(out, func(c Collector) bool { return c.Endpoint == name }) {
			out = append(out, foreign(name, ""))
		}
	}
	stateAll(out)
	return out, changes, nil
}

func readCollector(at, name string, b []byte, czxid int64) Collector {
	var c Collector
	if err := decode(at, b, &c.CollectorRecord); err != nil {
		return foreign(name, err.Error())
	}
	if c.Endpoint != name {
		return foreign(name, fmt.Sprintf("%s names another endpoint, %q", at, c.Endpoint))
	}
	c.Czxid = czxid
	c.State = Standby
	return c
}

func foreign(name, problem string) Collector {
	host, _, err := net.SplitHostPort(name)
	if err != nil {
		host = name
	}
	return Collector{CollectorRecord: CollectorRecord{Endpoint: name, Host: host, State: Foreign}, Problem: problem}
}

// stateAll makes the oldest of each host active and sorts by host, the active one first.
func stateAll(list []Collector) {
	oldest := map[string]int64{}
	for _, c := range list {
		if z, ok := oldest[c.Host]; c.State != Foreign && (!ok || c.Czxid < z) {
			oldest[c.Host] = c.Czxid
		}
	}
	for i := range list {
		if c := &list[i]; c.State != Foreign && oldest[c.Host] == c.Czxid {
			c.State = Active
		}
	}
	slices.SortFunc(list, func(a, b Collector) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Czxid, b.Czxid), cmp.Compare(a.Endpoint, b.Endpoint))
	})
}
