package toolstatus

import (
	"omsync/conf"
)

// Report is everything that is shown; with -o json it is the one item.
type Report struct {
	Conf       string         `json:"conf"`
	Properties []conf.Setting `json:"properties"`
	Warnings   []string       `json:"warnings"`
	Synctool   Synctool       `json:"synctool"`
	Mirror     Mirror         `json:"mirror"`
	ZooKeeper  ZooKeeper      `json:"zookeeper"`
}

// Synctool is what the synctool says that the conf file points to.
type Synctool struct {
	Address string `json:"address"`
	State   string `json:"state"` // leads, answers (but does not lead), unreachable
	Reason  string `json:"reason,omitempty"`
	Leader  string `json:"leader,omitempty"`
	Epoch   uint64 `json:"epoch,omitempty"`
	Tasks   int    `json:"tasks"`
}

// Mirror is sync_task.progress_path and what lies there.
type Mirror struct {
	Path      string     `json:"path"`
	Problem   string     `json:"problem,omitempty"` // why it can not be listed
	Files     []Progress `json:"files"`
	Leftovers []Leftover `json:"leftovers"`
	Spool     Spool      `json:"spool"`
}

// Progress is one decoded <tid>/<pid>.progress.
type Progress struct {
	File      string  `json:"file"`
	UpdatedMs int64   `json:"updatedMs"`
	TID       uint32  `json:"tid"`
	PID       uint32  `json:"pid"`
	Mode      string  `json:"mode"`
	StartTs   *uint64 `json:"startTs,omitempty"`
	Point     string  `json:"point"` // kSNAPSHOT, kSNAPSHOT pk ts, kBINLOG offset
	Tablet    string  `json:"tabletEndpoint"`
	Synctool  string  `json:"desEndpoint"`
	Token     string  `json:"token"` // the first 8 characters
	Dest      string  `json:"dest"`
	Problem   string  `json:"problem,omitempty"` // why it can not be read; only file and updatedMs are set then
}

// Leftover is a file of an ended task, or one that does not belong there.
type Leftover struct {
	File string `json:"file"`
	What string `json:"what"`
}

// Spool is the directory where segments are built.
type Spool struct {
	Path  string `json:"path"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// ZooKeeper is what stands there.
type ZooKeeper struct {
	Servers []string `json:"servers"`
	Root    string   `json:"root"`
	Problem string   `json:"problem,omitempty"` // why nothing more is known
	Cluster
}

// Cluster is what Env.Cluster finds.
type Cluster struct {
	Leader     string      `json:"leader"`
	Standby    []string    `json:"standby"`
	Epoch      uint64      `json:"epoch"`
	EpochOf    string      `json:"epochOf,omitempty"`
	EpochMs    int64       `json:"epochMs,omitempty"`
	Collectors []Collector `json:"collectors"`
	Tasks      []Task      `json:"tasks"`
	Finished   int         `json:"finished"`
	Problems   []string    `json:"problems"`
}

// Collector is a registered collector.
type Collector struct {
	Endpoint string `json:"endpoint"`
	Host     string `json:"host"`
	State    string `json:"state"` // active, standby, foreign
	Version  string `json:"version,omitempty"`
	DataDir  string `json:"dataDir,omitempty"`
	SinceMs  int64  `json:"sinceMs,omitempty"`
}

// Task is a task's nodes.
type Task struct {
	ID       string    `json:"id"`
	Table    string    `json:"table"` // db.table, "" where the spec is not there
	TID      uint32    `json:"tid"`
	Mode     int       `json:"mode"`
	Dest     string    `json:"dest"`
	Deleting bool      `json:"deleting,omitempty"`
	Subtasks []Subtask `json:"subtasks"`
}

// Subtask is the state of one partition.
type Subtask struct {
	PID         uint32 `json:"pid"`
	Status      string `json:"status"` // "" where the node is not there
	Code        string `json:"code,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Hint        string `json:"hint,omitempty"`
	Phase       string `json:"phase"`
	Index       uint64 `json:"index,omitempty"`
	Seq         uint64 `json:"seq"`
	Rows        uint64 `json:"rows"`
	Pending     string `json:"pending,omitempty"` // final name of a segment that is decided and perhaps not renamed yet
	Collector   string `json:"collector,omitempty"`
	Tablet      string `json:"tablet,omitempty"`
	Generation  string `json:"generation"`
	CommittedMs int64  `json:"committedMs,omitempty"`
}
