package state

import (
	"cmp"
	"slices"

	"omsync/rpc/omsyncpb"
)

// Collector is one data_collector as the synctool sees it.
type Collector struct {
	Endpoint  string `json:"endpoint"`
	Host      string `json:"host"`
	State     string `json:"state"` // active, standby, foreign
	Connected bool   `json:"connected"`
	Subtasks  uint32 `json:"subtasks"`
	Failed    uint32 `json:"failed"`
	Version   string `json:"version,omitempty"`
	DataDir   string `json:"dataDir,omitempty"`
	Since     string `json:"since,omitempty"`
	SinceMs   int64  `json:"-"`
}

// CollectorsOf returns the collectors of an answer by endpoint.
func CollectorsOf(r *omsyncpb.CollectorsResponse) []Collector {
	out := []Collector{}
	for _, v := range r.GetCollectors() {
		out = append(out, Collector{
			Endpoint: v.GetEndpoint(), Host: v.GetHost(), State: v.GetState(), Connected: v.GetConnected(), Subtasks: v.GetSubtasks(),
			Failed: v.GetFailed(), Version: v.GetVersion(), DataDir: v.GetDataDir(), Since: stamp(v.GetSinceMs()), SinceMs: v.GetSinceMs(),
		})
	}
	slices.SortFunc(out, func(a, b Collector) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return out
}

// Table is one table of the cluster, from ZooKeeper.
type Table struct {
	DB         string `json:"db"`
	Table      string `json:"table"`
	TID        uint32 `json:"tid"`
	Storage    string `json:"storage"` // MEMORY, SSD, HDD
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Syncable   bool   `json:"syncable"`
	Reason     string `json:"reason,omitempty"` // why not
}

// SortTables orders tables by name.
func SortTables(tables []Table) {
	slices.SortFunc(tables, func(a, b Table) int { return cmp.Or(cmp.Compare(a.DB, b.DB), cmp.Compare(a.Table, b.Table)) })
}

// Partition is one line of a dry run: who would export it.
type Partition struct {
	PID       uint32 `json:"pid"`
	Leader    string `json:"leader"`
	Collector string `json:"collector"`
}

// Problem is a reason for which a create would be refused.
type Problem struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
}

// Preflight is the answer to a dry run.
type Preflight struct {
	DB         string      `json:"db"`
	Table      string      `json:"table"`
	Mode       int32       `json:"mode"`
	StartTs    int64       `json:"startTs"`
	Dest       string      `json:"dest"`
	OK         bool        `json:"ok"`
	Problems   []Problem   `json:"problems"`
	Warnings   []string    `json:"warnings"`
	Partitions []Partition `json:"partitions"`
}

// PreflightOf joins a request with its answer.
func PreflightOf(q *omsyncpb.CreateRequest, r *omsyncpb.PreflightResponse) Preflight {
	p := Preflight{
		DB: q.GetDb(), Table: q.GetTable(), Mode: q.GetMode(), StartTs: q.GetStartTs(), Dest: q.GetDest(),
		OK: len(r.GetProblems()) == 0, Problems: []Problem{}, Warnings: append([]string{}, r.GetWarnings()...), Partitions: []Partition{},
	}
	for _, f := range r.GetProblems() {
		p.Problems = append(p.Problems, Problem{f.GetCode(), f.GetReason(), f.GetHint()})
	}
	for _, one := range r.GetPartitions() {
		p.Partitions = append(p.Partitions, Partition{one.GetPid(), one.GetLeader(), one.GetCollector()})
	}
	slices.SortFunc(p.Partitions, func(a, b Partition) int { return cmp.Compare(a.PID, b.PID) })
	return p
}
