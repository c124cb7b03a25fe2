package catalog

import (
	"cmp"
	"net"
	"slices"
	"strconv"
)

// Snapshot is the catalog at one moment. It must not be changed.
type Snapshot struct {
	Tables     []*Table // by database and name
	Databases  []string
	Tablets    []string          // nodes of the living tablets, as partitions name them
	Collectors []string          // endpoints of all registered data collectors, upstream's too
	Names      map[string]string // server name → ip:port, with use_name

	byID   map[uint32]*Table
	byName map[[2]string]*Table
}

// index makes the look-ups. Of two tables of one name (one is being dropped) the younger is found.
func (s *Snapshot) index() {
	slices.SortFunc(s.Tables, func(a, b *Table) int {
		return cmp.Or(cmp.Compare(a.DB, b.DB), cmp.Compare(a.Name, b.Name), cmp.Compare(a.TID, b.TID))
	})
	s.byID, s.byName = map[uint32]*Table{}, map[[2]string]*Table{}
	for _, t := range s.Tables {
		s.byID[t.TID] = t
		if t.Info != nil {
			s.byName[[2]string{t.DB, t.Name}] = t
		}
	}
}

// Table finds a table by its names, which are case-sensitive.
func (s *Snapshot) Table(db, name string) (*Table, bool) {
	t, ok := s.byName[[2]string{db, name}]
	return t, ok
}

// ByTID finds a table by its id; it may be one that can not be read.
func (s *Snapshot) ByTID(tid uint32) (*Table, bool) {
	t, ok := s.byID[tid]
	return t, ok
}

// Leader is the node of a partition's living leader.
func (s *Snapshot) Leader(tid, pid uint32) (string, error) {
	t, ok := s.byID[tid]
	if !ok {
		return "", tableError(tid)
	}
	return t.Leader(pid)
}

func tableError(tid uint32) error { return &noTable{tid} }

type noTable struct{ tid uint32 }

func (e *noTable) Error() string {
	return "table " + strconv.FormatUint(uint64(e.tid), 10) + ": " + ErrNoTable.Error()
}
func (e *noTable) Unwrap() error { return ErrNoTable }

// Alive tells whether a tablet is registered now.
func (s *Snapshot) Alive(node string) bool { return slices.Contains(s.Tablets, node) }

// Resolve is the ip:port to dial for a node, from inside the cluster: its entry in map/names, or itself. (map/sdkendpoints is for clients outside.)
func (s *Snapshot) Resolve(node string) string {
	if addr := s.Names[node]; addr != "" {
		return addr
	}
	return node
}

// Host is the host of a node's address, as collectors' hosts are compared with it.
func (s *Snapshot) Host(node string) string {
	addr := s.Resolve(node)
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
