package coord

// TaskSpec is what was asked for: the value of tasks/<id>/spec. It is written last when a task is created, so a task without it does not exist.
type TaskSpec struct {
	Schema        int      `json:"schema"`
	ID            string   `json:"id"`
	TID           uint32   `json:"tid"`
	DB            string   `json:"db"`
	Table         string   `json:"table"`
	Mode          int      `json:"mode"` // 0 FULL, 1 INCREMENTAL_BY_TIMESTAMP, 2 FULL_AND_CONTINUOUS
	StartTS       uint64   `json:"start_ts,omitempty"`
	Dest          string   `json:"dest"`
	Format        string   `json:"format,omitempty"`
	Dialect       string   `json:"dialect,omitempty"`
	TimeZone      string   `json:"time_zone,omitempty"`
	Deletes       string   `json:"deletes,omitempty"` // ignore or log; "" = ignore
	Partitions    []uint32 `json:"partitions"`
	CreatedMs     int64    `json:"created_ms"`
	Deleting      bool     `json:"deleting,omitempty"`
	AllowNonempty bool     `json:"allow_nonempty,omitempty"`
}

// FinishedRecord is what is kept of an ended task, for finishedAge.
type FinishedRecord struct {
	Schema  int                     `json:"schema"`
	Spec    TaskSpec                `json:"spec"`
	EndedMs int64                   `json:"ended_ms"`
	States  map[uint32]SubtaskState `json:"states"`
}
