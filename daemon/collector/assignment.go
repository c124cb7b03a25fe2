package collector

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/rpc/omsyncpb"
)

// place is a partition: what a directory of ours is named by.
type place struct{ tid, pid uint32 }

func (p place) String() string { return fmt.Sprintf("%d-%d", p.tid, p.pid) }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.tid, q.tid), cmp.Compare(p.pid, q.pid))
}

func placeOf(k *omsyncpb.SubtaskKey) place { return place{k.GetTid(), k.GetPid()} }

// parsePlace reads the name of a subtask's directory.
func parsePlace(name string) (place, bool) {
	var p place
	n, err := fmt.Sscanf(name, "%d-%d", &p.tid, &p.pid)
	return p, err == nil && n == 2 && p.String() == name
}

// source is where a partition lies on the tablet's disk, and how to read it.
type source struct {
	Snapshots string // directory with MANIFEST and the checkpoints
	Logs      string // directory of the log files
	Meta      *apipb.TableMeta
}

// stored is the record "assignment" of a subtask's directory: enough to go on without asking anybody.
type stored struct {
	Assignment *omsyncpb.Assignment
	Source     *source // nil: the tablet was not ready yet
}

const (
	assignmentName = "assignment"
	assignmentKind = "assignment"
)

type storedJSON struct {
	Assignment json.RawMessage `json:"assignment"`
	Snapshots  string          `json:"snapshots,omitempty"`
	Logs       string          `json:"logs,omitempty"`
	Meta       []byte          `json:"meta,omitempty"` // TableMeta
}

func writeStored(fsys FS, dir string, s stored) error {
	a, err := protojson.Marshal(s.Assignment)
	if err != nil {
		return fmt.Errorf("write assignment: %w", err)
	}
	j := storedJSON{Assignment: a}
	if s.Source != nil {
		j.Snapshots, j.Logs = s.Source.Snapshots, s.Source.Logs
		if j.Meta, err = proto.Marshal(s.Source.Meta); err != nil {
			return fmt.Errorf("write assignment: %w", err)
		}
	}
	return writeRecord(fsys, filepath.Join(dir, assignmentName), assignmentKind, j)
}

func readStored(fsys FS, dir string) (stored, error) {
	path := filepath.Join(dir, assignmentName)
	var j storedJSON
	if err := readRecord(fsys, path, assignmentKind, &j); err != nil {
		return stored{}, err
	}
	s := stored{Assignment: &omsyncpb.Assignment{}}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(j.Assignment, s.Assignment); err != nil {
		return stored{}, fmt.Errorf("%w: %s: %w", errDamaged, path, err)
	}
	if err := checkAssignment(s.Assignment); err != nil {
		return stored{}, fmt.Errorf("%w: %s: %w", errDamaged, path, err)
	}
	if name := filepath.Base(dir); placeOf(s.Assignment.GetKey()).String() != name {
		return stored{}, fmt.Errorf("%w: %s is that of %s", errDamaged, path, placeOf(s.Assignment.GetKey()))
	}
	if len(j.Meta) > 0 {
		s.Source = &source{Snapshots: j.Snapshots, Logs: j.Logs, Meta: &apipb.TableMeta{}}
		if err := proto.Unmarshal(j.Meta, s.Source.Meta); err != nil {
			return stored{}, fmt.Errorf("%w: %s: table meta: %w", errDamaged, path, err)
		}
	}
	return s, nil
}

// checkAssignment refuses what nobody can work with.
func checkAssignment(a *omsyncpb.Assignment) error {
	switch {
	case a.GetKey().GetTaskId() == "":
		return errors.New("the assignment names no task")
	case a.GetToken() == "":
		return errors.New("the assignment has no token")
	case a.GetGeneration() == 0:
		return errors.New("the assignment has no generation")
	case a.GetMode() < 0 || a.GetMode() > 2:
		return fmt.Errorf("mode %d is unknown", a.GetMode())
	case a.GetTabletAddress() == "":
		return errors.New("the assignment names no tablet")
	}
	return nil
}

// masked is an assignment as it is shown: tokens are secrets.
func masked(a *omsyncpb.Assignment) *omsyncpb.Assignment {
	m := proto.Clone(a).(*omsyncpb.Assignment)
	m.Token = maskedToken(m.GetToken())
	return m
}

func maskedToken(t string) string {
	if len(t) > 8 {
		return t[:8]
	}
	return t
}

// tableName is db.table, for people.
func tableName(a *omsyncpb.Assignment) string { return a.GetDb() + "." + a.GetTable() }

// partitionName is how a subtask is called in messages.
func partitionName(a *omsyncpb.Assignment) string {
	return tableName(a) + " partition " + strconv.FormatUint(uint64(a.GetKey().GetPid()), 10)
}
