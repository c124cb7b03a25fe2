package coord

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Status of a subtask.
type Status string

// The statuses; upstream knows all but the last.
const (
	Init        Status = "INIT"
	Running     Status = "RUNNING"
	Reassigning Status = "REASSIGNING"
	Success     Status = "SUCCESS"
	Failed      Status = "FAILED"
	Paused      Status = "PAUSED"
)

// SubtaskState is the value of tasks/<id>/p/<pid>: everything decided about one partition (docs/design.md §4.3). Typically under 1 KiB.
type SubtaskState struct {
	Schema       int    `json:"schema"`
	Status       Status `json:"status"`
	Code         string `json:"code,omitempty"` // of FAILED
	Reason       string `json:"reason,omitempty"`
	Hint         string `json:"hint,omitempty"`
	Generation   uint64 `json:"generation"`          // random; 16 hexadecimal digits in JSON, 0 = none yet
	Collector    string `json:"collector,omitempty"` // endpoint it is assigned to
	Tablet       string `json:"tablet,omitempty"`
	Token        string `json:"token,omitempty"`
	Seq          uint64 `json:"seq"` // last decided segment
	Point        Point  `json:"point"`
	SnapshotDone bool   `json:"snapshot_done,omitempty"`
	Published    bool   `json:"published,omitempty"`
	PublishDone  bool   `json:"publish_done,omitempty"`
	PublishSeq   uint64 `json:"publish_seq,omitempty"` // segments 1..PublishSeq belong to the snapshot

	Plan    *PlanRef `json:"plan,omitempty"`
	Pending *Pending `json:"pending,omitempty"`
	Mark    *Mark    `json:"mark,omitempty"`

	Counters      Counters `json:"counters"`
	Files         uint64   `json:"files"`
	SkipBadBlocks bool     `json:"skip_bad_blocks,omitempty"`
	UpdatedMs     int64    `json:"updated_ms,omitempty"`
	CommittedMs   int64    `json:"committed_ms,omitempty"`
}

// Point is where a subtask stands: what lies before it is at the destination. The fields are those of omsync.v1.Point.
type Point struct {
	Phase string `json:"phase"`           // SNAPSHOT, BACKLOG, LOG, DONE; "" = the beginning
	Key   []byte `json:"key,omitempty"`   // SNAPSHOT: last key exported
	Index uint64 `json:"index,omitempty"` // BACKLOG, LOG, DONE: log index
}

// PlanRef names the accepted hand-off plan, a file at the destination.
type PlanRef struct {
	File        string `json:"file"` // relative to the task's destination
	CRC         uint32 `json:"crc"`
	Z           uint64 `json:"z"`
	Pin         string `json:"pin,omitempty"`
	NowMs       int64  `json:"now_ms"`
	BacklogRows uint64 `json:"backlog_rows"`
}

// Pending is a file of a decided segment that may still lie at its stage name. A segment has a file of rows, a file of deletes, or both: then the
// one names the other, so that one decision covers them.
type Pending struct {
	Stage   string   `json:"stage"`
	Final   string   `json:"final"`
	Len     int64    `json:"len"`
	CRC     uint32   `json:"crc"`
	Rows    uint64   `json:"rows"`
	Deletes uint64   `json:"deletes,omitempty"`
	Next    *Pending `json:"next,omitempty"`
}

// Mark identifies the last log entry committed, so that a forked log is recognised.
type Mark struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	CRC   uint32 `json:"crc"`
}

// Counters are sums over the committed segments of a generation.
type Counters struct {
	Rows          uint64 `json:"rows"`
	Bytes         uint64 `json:"bytes"`
	Expired       uint64 `json:"expired,omitempty"`
	Filtered      uint64 `json:"filtered,omitempty"`
	Deletes       uint64 `json:"deletes,omitempty"`
	Foreign       uint64 `json:"foreign,omitempty"`
	Repeated      uint64 `json:"repeated,omitempty"`
	Holes         uint64 `json:"holes,omitempty"`
	SkippedBlocks uint64 `json:"skipped_blocks,omitempty"`
}

// hexID spells a random 64-bit id as 16 hexadecimal digits: as file names do, and because other readers of JSON round large numbers.
type hexID uint64

func (h hexID) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(h)), nil }

func (h *hexID) UnmarshalText(b []byte) error {
	if len(b) != 16 {
		return fmt.Errorf("id %q is not 16 hexadecimal digits", b)
	}
	v, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil {
		return fmt.Errorf("id %q is not 16 hexadecimal digits", b)
	}
	*h = hexID(v)
	return nil
}

// plainState is SubtaskState without its methods.
type plainState SubtaskState

// stateJSON is SubtaskState with the generation in hexadecimal: the outer field hides the inner one.
type stateJSON struct {
	plainState
	Generation hexID `json:"generation"`
}

// MarshalJSON writes the generation in hexadecimal.
func (s SubtaskState) MarshalJSON() ([]byte, error) {
	return json.Marshal(stateJSON{plainState(s), hexID(s.Generation)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *SubtaskState) UnmarshalJSON(b []byte) error {
	j := stateJSON{plainState: plainState(*s), Generation: hexID(s.Generation)}
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = SubtaskState(j.plainState)
	s.Generation = uint64(j.Generation)
	return nil
}
