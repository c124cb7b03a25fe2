package toolstatus

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
)

// progressLimit is far more than a progress has; its longest part is a key.
const progressLimit = 64 << 20

var (
	progressName = regexp.MustCompile(`^([0-9]+)/([0-9]+)\.progress$`)
	finishedName = regexp.MustCompile(`^[0-9]+/[0-9]+\.progress\.finished\.[0-9]+$`)
	deletedName  = regexp.MustCompile(`^[0-9]+\.deleted\.[0-9]+/`)
)

// readMirror walks sync_task.progress_path. known are the partitions that have a state in ZooKeeper; nil: it is not known which have.
func readMirror(path, spool string, known map[[2]uint32]bool) Mirror {
	m := Mirror{Path: path, Spool: readSpool(spool), Files: []Progress{}, Leftovers: []Leftover{}}
	err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err != nil && file == path {
			return err
		}
		if err != nil {
			m.Leftovers = append(m.Leftovers, Leftover{file, "not readable: " + err.Error()})
			return nil
		}
		if d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(path, file)
		if err != nil {
			return err
		}
		m.add(file, filepath.ToSlash(rel), known)
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.Problem = "it does not exist: no task was committed here yet, or the synctool runs on another host"
	case err != nil:
		m.Problem = err.Error()
	}
	return m
}

func (m *Mirror) add(file, rel string, known map[[2]uint32]bool) {
	switch name := progressName.FindStringSubmatch(rel); {
	case name != nil:
		p := readProgress(file)
		if tid := strconv.FormatUint(uint64(p.TID), 10); p.Problem == "" && (name[1] != tid || name[2] != strconv.FormatUint(uint64(p.PID), 10)) {
			p.Problem = fmt.Sprintf("it is the progress of table %d partition %d: it does not belong here", p.TID, p.PID)
		}
		m.Files = append(m.Files, p)
		if known != nil && p.Problem == "" && !known[[2]uint32{p.TID, p.PID}] {
			m.Leftovers = append(m.Leftovers, Leftover{file, "no such task in ZooKeeper: of an ended task, or of OpenMLDB's own SyncTool"})
		}
	case finishedName.MatchString(rel):
		m.Leftovers = append(m.Leftovers, Leftover{file, "a finished partition, as OpenMLDB's own SyncTool leaves it"})
	case deletedName.MatchString(rel):
		m.Leftovers = append(m.Leftovers, Leftover{file, "of a deleted or ended task"})
	default:
		m.Leftovers = append(m.Leftovers, Leftover{file, "not a progress file"})
	}
}

// readProgress decodes a varint-delimited AddSyncTaskRequest (docs/formats.md §6.3).
func readProgress(file string) Progress {
	p := Progress{File: file}
	f, err := os.Open(file)
	if err != nil {
		p.Problem = "not readable: " + err.Error()
		return p
	}
	defer f.Close() // read only: nothing can be lost by it
	if fi, err := f.Stat(); err == nil {
		p.UpdatedMs = fi.ModTime().UnixMilli()
	}
	b, err := io.ReadAll(io.LimitReader(f, progressLimit+1))
	if err != nil || len(b) > progressLimit {
		p.Problem = fmt.Sprintf("not readable: %d bytes, %v", len(b), err)
		return p
	}
	r := &datasyncpb.AddSyncTaskRequest{}
	in := bufio.NewReader(bytes.NewReader(b))
	// Upstream's keys may hold bytes that are no UTF-8, which Go refuses after it has read all fields.
	err = protodelim.UnmarshalOptions{MaxSize: progressLimit, UnmarshalOptions: proto.UnmarshalOptions{AllowPartial: true}}.UnmarshalFrom(in, r)
	switch {
	case errors.Is(err, io.EOF) && len(b) == 0:
		p.Problem = "it is empty: the synctool died while it wrote it"
		return p
	case err != nil:
		p.Problem = "not a progress: " + strings.ReplaceAll(err.Error(), "\u00a0", " ") // the library varies this on purpose
		return p
	case in.Buffered() > 0:
		p.Problem = fmt.Sprintf("%d bytes follow the progress", in.Buffered())
	case r.Tid == nil || r.Pid == nil:
		p.Problem = "there is no table id or partition in it"
	}
	p.TID, p.PID, p.Mode, p.StartTs = r.GetTid(), r.GetPid(), r.GetMode().String(), r.StartTs
	p.Tablet, p.Synctool, p.Dest = r.GetTabletEndpoint(), r.GetDesEndpoint(), r.GetDest()
	p.Token = r.GetToken()[:min(8, len(r.GetToken()))]
	p.Point = pointText(r.GetSyncPoint())
	return p
}

func pointText(s *datasyncpb.SyncPoint) string {
	out := s.GetType().String()
	if s.Pk != nil {
		out += fmt.Sprintf(" pk %q", s.GetPk())
	}
	if s.Ts != nil {
		out += fmt.Sprintf(" ts %d", s.GetTs())
	}
	if s.Offset != nil {
		out += fmt.Sprintf(" offset %d", s.GetOffset())
	}
	return out
}

// readSpool counts the segments under work; a spool that does not exist has none.
func readSpool(path string) Spool {
	s := Spool{Path: path}
	list, _ := os.ReadDir(path) // what can not be listed holds nothing to show
	for _, e := range list {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			s.Files++
			s.Bytes += fi.Size()
		}
	}
	return s
}
