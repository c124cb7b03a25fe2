package catalog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"
)

// Table is a table as its node in table/db_table_data says. It must not be changed.
type Table struct {
	TID      uint32
	DB, Name string
	Info     *nspb.TableInfo // nil when the node was never readable
	Problem  string          // why the node can not be read now; Info is older then
}

// FullName is db.table.
func (t *Table) FullName() string { return t.DB + "." + t.Name }

// OnDisk tells whether the table's data is on disk (SSD or HDD): only such can be exported.
func (t *Table) OnDisk() bool {
	m := t.Info.GetStorageMode()
	return t.Info != nil && (m == commonpb.StorageMode_kSSD || m == commonpb.StorageMode_kHDD)
}

// Storage is the storage mode for people: MEMORY, SSD, HDD.
func (t *Table) Storage() string {
	switch t.Info.GetStorageMode() {
	case commonpb.StorageMode_kSSD:
		return "SSD"
	case commonpb.StorageMode_kHDD:
		return "HDD"
	case commonpb.StorageMode_kMemory:
		return "MEMORY"
	}
	return "UNKNOWN"
}

// Partition finds a partition by its number; its place in the list says nothing.
func (t *Table) Partition(pid uint32) (*nspb.TablePartition, bool) {
	for _, p := range t.Info.GetTablePartition() {
		if p.GetPid() == pid {
			return p, true
		}
	}
	return nil, false
}

// Errors of Leader.
var (
	ErrNoTable     = errors.New("no such table")
	ErrNoPartition = errors.New("no such partition")
	ErrNoLeader    = errors.New("no living leader")
	ErrTwoLeaders  = errors.New("two living leaders")
)

// Leader is the node of a partition's leader: the replica that is leader and alive. After a failover the dead old leader is still flagged leader
// (formats.md §1.2). Two that are both alive are told as ErrTwoLeaders: the name server is about to settle it.
func (t *Table) Leader(pid uint32) (string, error) {
	p, ok := t.Partition(pid)
	if !ok {
		return "", fmt.Errorf("%s partition %d: %w", t.FullName(), pid, ErrNoPartition)
	}
	node := ""
	for _, m := range p.GetPartitionMeta() {
		if !m.GetIsLeader() || !m.GetIsAlive() {
			continue
		}
		if node != "" && node != m.GetEndpoint() {
			return "", fmt.Errorf("%s partition %d: %w: %s and %s", t.FullName(), pid, ErrTwoLeaders, node, m.GetEndpoint())
		}
		node = m.GetEndpoint()
	}
	if node == "" {
		return "", fmt.Errorf("%s partition %d: %w", t.FullName(), pid, ErrNoLeader)
	}
	return node, nil
}

// Replicas are the nodes of a partition's living replicas, the leader among them.
func (t *Table) Replicas(pid uint32) []string {
	p, _ := t.Partition(pid)
	var out []string
	for _, m := range p.GetPartitionMeta() {
		if m.GetIsAlive() {
			out = append(out, m.GetEndpoint())
		}
	}
	return out
}

// parseTable reads the value of table/db_table_data/<name>.
func parseTable(name string, value []byte) (*nspb.TableInfo, error) {
	tid, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("node %q is not a table id", name)
	}
	info := &nspb.TableInfo{}
	if err := proto.Unmarshal(value, info); err != nil {
		return nil, fmt.Errorf("%d bytes are not a TableInfo: %w", len(value), err)
	}
	switch {
	case info.GetTid() != uint32(tid):
		return nil, fmt.Errorf("the TableInfo is that of table %d", info.GetTid())
	case info.GetName() == "":
		return nil, errors.New("the TableInfo has no name")
	}
	return info, nil
}

// System tells whether a database is OpenMLDB's own (src/nameserver/system_table.h).
func System(db string) bool {
	switch db {
	case "INFORMATION_SCHEMA", "__INTERNAL_DB", "__PRE_AGG_DB":
		return true
	}
	return false
}

// nearLine marks near-line tablets in nodes/ (base/strings.h:35).
const nearLine = "NLTABLET_"

// tabletNode is a tablet's name without the mark.
func tabletNode(child string) string { return strings.TrimPrefix(child, nearLine) }
