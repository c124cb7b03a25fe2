package synctool

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"omsync/daemon/dest"
)

// Names below a task's destination. All of ours start with "_", which Spark and Hive skip.
const (
	ownDir    = "_omsync"
	stageDir  = ownDir + "/stage"
	stateDir  = ownDir + "/state"
	ownerFile = ownDir + "/owner.json"
	success   = "_SUCCESS"
)

// namer makes the file names of one subtask in one term.
type namer struct {
	cluster, task string
	pid           uint32
	epoch         uint64
	suffix        string // ".csv"
	n             *atomic.Uint64
}

// stage returns a new stage name: no name is used twice, because an open file can be renamed away under its writer on HDFS.
func (n namer) stage() string { return n.stageAs(n.suffix) }

func (n namer) stageAs(suffix string) string {
	return fmt.Sprintf("%s/%s%d-%d%s", stageDir, stagePrefix(n.cluster, n.task, n.pid), n.epoch, n.n.Add(1), suffix)
}

func stagePrefix(cluster, task string, pid uint32) string {
	return fmt.Sprintf("%s-%s-p%d-e", plain(cluster), plain(task), pid)
}

// stageOf takes a stage file's name apart. ok is false for names of other clusters and tasks, and for no stage names at all.
func stageOf(cluster, task, base string) (pid uint32, epoch uint64, ok bool) {
	rest, ok := strings.CutPrefix(base, plain(cluster)+"-"+plain(task)+"-p")
	if !ok {
		return 0, 0, false
	}
	p, rest, ok := strings.Cut(rest, "-e")
	if !ok {
		return 0, 0, false
	}
	e, n, ok := strings.Cut(rest, "-")
	if !ok {
		return 0, 0, false
	}
	n, _, _ = strings.Cut(n, ".")
	pid64, err1 := strconv.ParseUint(p, 10, 32)
	epoch, err2 := strconv.ParseUint(e, 10, 64)
	_, err3 := strconv.ParseUint(n, 10, 64)
	return uint32(pid64), epoch, err1 == nil && err2 == nil && err3 == nil
}

// final is the name under which readers find segment seq of a generation.
func (n namer) final(generation, seq uint64) string {
	return fmt.Sprintf("g%016x-p%d-%08d%s", generation, n.pid, seq, n.suffix)
}

// deletes is the name of segment seq's file of deletes: beside the data, and passed over by what reads it.
func (n namer) deletes(generation, seq uint64) string {
	return fmt.Sprintf("_deletes-g%016x-p%d-%08d%s", generation, n.pid, seq, dest.DeletesSuffix)
}

// unpublished is where segment seq waits for its generation's publication.
func (n namer) unpublished(generation, seq uint64) string {
	return generationDir(generation) + "/" + n.final(generation, seq)
}

// plan is a new name for a hand-off plan's state file.
func (n namer) plan(generation uint64) string {
	return fmt.Sprintf("%s/%s-p%d-g%016x-e%d-%d.plan", stateDir, plain(n.task), n.pid, generation, n.epoch, n.n.Add(1))
}

// key is a new name for a long key's state file.
func (n namer) key() string {
	return fmt.Sprintf("%s/%s-p%d-e%d-%d.key", stateDir, plain(n.task), n.pid, n.epoch, n.n.Add(1))
}

// stateOf reads the epoch out of a plan's or key's file name. ok is false for those of other tasks.
func stateOf(task, base string) (epoch uint64, ok bool) {
	rest, ok := strings.CutPrefix(base, plain(task)+"-p")
	if !ok {
		return 0, false
	}
	name, kind, _ := strings.Cut(rest, ".")
	if kind != "plan" && kind != "key" {
		return 0, false
	}
	_, last, ok := strings.Cut(name, "-e")
	if !ok {
		return 0, false
	}
	e, n, ok := strings.Cut(last, "-")
	epoch, err1 := strconv.ParseUint(e, 10, 64)
	_, err2 := strconv.ParseUint(n, 10, 64)
	return epoch, ok && err1 == nil && err2 == nil
}

func generationDir(generation uint64) string { return fmt.Sprintf("%s/g%016x", ownDir, generation) }

// generationOf reads a directory name below _omsync.
func generationOf(base string) (uint64, bool) {
	hex, ok := strings.CutPrefix(base, "g")
	if !ok || len(hex) != 16 {
		return 0, false
	}
	g, err := strconv.ParseUint(hex, 16, 64)
	return g, err == nil
}

// plain keeps what is safe in a file name and can not be taken for one of our separators.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.':
			return r
		}
		return '_'
	}, s)
}

func baseName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
