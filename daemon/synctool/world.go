package synctool

import (
	"context"
	"errors"

	"omsync/openmldb/pb/nspb"
)

// World is what the synctool sees of the cluster: tables, partition leaders, collectors. It answers from what its watches brought; nothing
// here waits for ZooKeeper but Refresh.
type World interface {
	Table(db, name string) (*nspb.TableInfo, bool)
	TableByID(tid uint32) (*nspb.TableInfo, bool)
	// Leader is the living leader of a partition.
	Leader(tid, pid uint32) (Leader, error)
	// Replicas are the tablets that have a partition, the leader first. One that is down for a moment is among them: its log is still there.
	Replicas(tid, pid uint32) []Replica
	// Collector is the active collector of ours on a host.
	Collector(host string) (endpoint string, ok bool)
	// Alive tells that a collector of ours is registered and the active one of its host.
	Alive(endpoint string) bool
	Collectors() []CollectorInfo
	// Connected tells whether ZooKeeper can be asked now.
	Connected() bool
	// Refresh reads the tables anew.
	Refresh(ctx context.Context) error
	// Changed is closed at the next change.
	Changed() <-chan struct{}
}

// Leader is a tablet that leads a partition.
type Leader struct {
	Node     string // as ZooKeeper names it
	Address  string // ip:port to dial
	Host     string // compared with collectors' hosts
	Replicas uint32 // living ones
}

// Replica is a tablet that has a partition.
type Replica struct {
	Node    string // as ZooKeeper names it
	Address string // ip:port to dial
	Host    string // compared with collectors' hosts
}

// CollectorInfo is a registered collector.
type CollectorInfo struct {
	Endpoint, Host, Version, DataDir, State string // active, standby, foreign
	SinceMs                                 int64
}

// errNoLeader says that a partition has no living leader.
var errNoLeader = errors.New("no living leader")
