package coord

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// paths are the nodes of one cluster (docs/design.md §4.3, formats.md §1.1).
type paths struct{ root string }

func (p paths) ours() string          { return path.Join(p.root, "sync_tool/omsync") }
func (p paths) leader() string        { return path.Join(p.ours(), "leader") }
func (p paths) epoch() string         { return path.Join(p.ours(), "epoch") }
func (p paths) tasks() string         { return path.Join(p.ours(), "tasks") }
func (p paths) finished() string      { return path.Join(p.ours(), "finished") }
func (p paths) finishedParts() string { return path.Join(p.ours(), "finished_parts") }
func (p paths) records() string       { return path.Join(p.ours(), "collectors") }
func (p paths) collectors() string    { return path.Join(p.root, "sync_tool/collector") }

func (p paths) task(id string) string   { return path.Join(p.tasks(), id) }
func (p paths) spec(id string) string   { return path.Join(p.tasks(), id, "spec") }
func (p paths) states(id string) string { return path.Join(p.tasks(), id, "p") }
func (p paths) state(id string, pid uint32) string {
	return path.Join(p.tasks(), id, "p", strconv.FormatUint(uint64(pid), 10))
}

// checkID refuses what would name another node than one of its own.
func checkID(id string) error {
	if id == "" || id == "." || id == ".." || strings.ContainsAny(id, "/\x00") {
		return fmt.Errorf("task id %q can not be a node's name", id)
	}
	return nil
}
