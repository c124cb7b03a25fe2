package synctool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"reflect"
	"sort"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/rpc/omsyncpb"
)

// The model's world: one subtask's node, one destination, a clock of choices. Every call of an owner that the outside can see is one step;
// between any two steps another owner may run, the owner may crash, or the call may fail with its effect done, not done, or done later.

// errOpen is the answer of a call whose effect is not known.
var errOpen = errors.New("no answer")

// errDisk is a failed write.
var errDisk = errors.New("disk trouble")

type mfile struct {
	data   string // a row is one byte
	closed bool
}

type flavour int

const (
	hdfsLike  flavour = iota // rename overwrites; segments are copied from a spool
	localLike                // rename is link + unlink in two steps and refuses to overwrite; segments are written in the stage
)

type mworld struct {
	kind    flavour
	epoch   uint64
	node    coord.SubtaskState
	version int32
	files   map[string]*mfile
	late    []func() // multis that are still under way

	dropEpoch bool // sabotage: the multi does not check the epoch
}

func newWorld(kind flavour) *mworld {
	w := &mworld{kind: kind, files: map[string]*mfile{}}
	w.node = coord.SubtaskState{Status: coord.Running, Generation: 1, Point: coord.Point{Phase: phaseSnapshot}}
	return w
}

// apply is the multi: check the epoch, set the node at its version.
func (w *mworld) apply(epoch uint64, version int32, s coord.SubtaskState) error {
	if epoch != w.epoch && !w.dropEpoch {
		return coord.ErrFenced
	}
	if version != w.version {
		return coord.ErrStale
	}
	w.version++
	w.node = s
	return nil
}

// mstore is an owner's ledger.
type mstore struct {
	w *mworld
	o *mowner
}

func (s mstore) Update(_ context.Context, _ string, _ uint32, version int32, st coord.SubtaskState) (int32, error) {
	epoch := s.o.epoch
	switch s.o.fault("update", 3) {
	case 1: // not sent
		return 0, errOpen
	case 2: // done, the answer is lost
		if err := s.w.apply(epoch, version, st); err != nil {
			return 0, errOpen
		}
		return 0, errOpen
	case 3: // under way: it may arrive at any later time
		s.w.late = append(s.w.late, func() { _ = s.w.apply(epoch, version, st) })
		return 0, errOpen
	}
	err := s.w.apply(epoch, version, st)
	if err != nil && s.w.version == version+1 && reflect.DeepEqual(s.w.node, st) {
		return version + 1, nil // an earlier send of the identical multi was ours
	}
	return version + 1, err
}

func (s mstore) UpdateMany(ctx context.Context, changes []coord.Change) ([]int32, error) {
	v, err := s.Update(ctx, changes[0].ID, changes[0].PID, changes[0].Version, changes[0].State)
	return []int32{v}, err
}

// mfiles is the destination as one owner sees it.
type mfiles struct {
	w *mworld
	o *mowner
}

func (f mfiles) Create(_ context.Context, name string) (dest.Writer, error) {
	if f.o.fault("create", 1) != 0 {
		return nil, errDisk
	}
	if f.w.files[name] != nil {
		return nil, fs.ErrExist
	}
	file := &mfile{}
	f.w.files[name] = file
	return &mwriter{f, file}, nil
}

type mwriter struct {
	f    mfiles
	file *mfile
}

func (w *mwriter) Write(b []byte) (int, error) {
	if w.f.o.fault("write", 1) != 0 {
		w.file.data += string(b[:len(b)/2])
		return len(b) / 2, errDisk
	}
	w.file.data += string(b)
	return len(b), nil
}

func (w *mwriter) Sync() error { return nil }

func (w *mwriter) Close() error {
	if w.f.o.fault("close", 1) != 0 {
		w.file.data = w.file.data[:len(w.file.data)/2] // Close may hide a short file
		w.file.closed = true
		return nil
	}
	w.file.closed = true
	return nil
}

func (f mfiles) Stat(_ context.Context, name string) (dest.Info, error) {
	if f.o.fault("stat", 1) != 0 {
		return dest.Info{}, errOpen
	}
	if file := f.w.files[name]; file != nil {
		return dest.Info{Name: name, Size: int64(len(file.data))}, nil
	}
	return dest.Info{}, fs.ErrNotExist
}

func (f mfiles) Rename(_ context.Context, from, to string) error {
	outcome := f.o.fault("rename", 2)
	if outcome == 1 {
		return errOpen
	}
	file := f.w.files[from]
	if file == nil {
		return fs.ErrNotExist
	}
	if f.w.kind == localLike {
		if f.w.files[to] != nil {
			return fs.ErrExist
		}
		f.w.files[to] = file
		f.o.step("unlink")
	}
	f.w.files[to] = file
	if f.w.files[from] == file {
		delete(f.w.files, from)
	}
	if outcome == 2 {
		return errOpen
	}
	return nil
}

func (f mfiles) Remove(_ context.Context, name string) error {
	f.o.step("remove")
	delete(f.w.files, name)
	return nil
}

func (f mfiles) RemoveAll(_ context.Context, dir string) error {
	f.o.step("remove-all")
	for name := range f.w.files {
		if strings.HasPrefix(name, dir+"/") {
			delete(f.w.files, name)
		}
	}
	return nil
}

func (f mfiles) List(_ context.Context, dir string) ([]dest.Info, error) {
	f.o.step("list")
	seen := map[string]bool{}
	var out []dest.Info
	for name := range f.w.files {
		rest, ok := strings.CutPrefix(name, dir+"/")
		if !ok {
			continue
		}
		first, _, deeper := strings.Cut(rest, "/")
		if !seen[first] {
			seen[first] = true
			out = append(out, dest.Info{Name: first, Dir: deeper})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

func (f mfiles) ReadFile(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }
func (f mfiles) WriteFile(context.Context, string, []byte) error  { return nil }

// mspool is a local spool: it does not fail in the model, and dies with its owner.
type mspool struct{ data string }

func (s mspool) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s.data)), nil }
func (s mspool) Remove() error                { return nil }

// The rows of the partition: "ab" in the snapshot, "c" in the log, "D" a delete behind it. A segment of the log has a file of either kind, or both.
const (
	snapshotRows = "ab"
	allRows      = "abcD"
)

// logged splits what a segment holds into rows and the deletes of a batch.
func logged(items string) (rows string, deletes []byte, n uint32) {
	for _, i := range []byte(items) {
		if i >= 'a' {
			rows += string(i)
			continue
		}
		b, err := proto.Marshal(&omsyncpb.LogDelete{Key: []byte{i}})
		if err != nil {
			panic(err)
		}
		deletes = protowire.AppendBytes(deletes, b)
		n++
	}
	return rows, deletes, n
}

// items are the rows, or deletes, in a file. A line that is torn is none: what is decided has its length checked.
func (f *mfile) items(name string) (out []byte) {
	if !strings.HasSuffix(name, dest.DeletesSuffix) {
		return []byte(f.data)
	}
	for line := range strings.Lines(f.data) {
		var d struct{ Key string }
		if json.Unmarshal([]byte(line), &d) == nil {
			out = append(out, d.Key...)
		}
	}
	return out
}

// read tells whether a name at the destination itself is one for readers: rows, or deletes beside them.
func read(name string) bool {
	return !strings.HasPrefix(name, "_") || strings.HasPrefix(name, "_deletes-")
}

// committedRows is how many rows the node says are committed.
func (w *mworld) committedRows() int { return rowsAt(w.node.Point) }

func rowsAt(p coord.Point) int {
	if p.Phase == phaseLog {
		return int(p.Index)
	}
	return len(p.Key)
}

// check is what must hold after every step, for readers and for the next leader.
func (w *mworld) check() error {
	readers, kept := map[byte]int{}, map[byte]int{}
	for name, f := range w.files {
		base := path.Base(name)
		switch {
		case read(name):
			if !f.closed {
				return fmt.Errorf("readers see %s while it is written", name)
			}
			for _, r := range f.items(name) {
				if (r < 'a') != strings.HasPrefix(name, "_deletes-") {
					return fmt.Errorf("%c is in %s", r, name)
				}
				readers[r]++
				kept[r]++
			}
		case strings.HasPrefix(name, generationDir(w.node.Generation)+"/"):
			if w.files[base] == nil || w.files[base] != f { // not the first half of a link + unlink
				for _, r := range f.items(name) {
					kept[r]++
				}
			}
		}
	}
	for p := w.node.Pending; p != nil; p = p.Next {
		if f := w.files[p.Stage]; f != nil && f != w.files[p.Final] {
			if !f.closed || int64(len(f.data)) != p.Len {
				return fmt.Errorf("the pending stage file %s has %d bytes, decided were %d", p.Stage, len(f.data), p.Len)
			}
			if w.files[p.Final] == nil {
				for _, r := range f.items(p.Stage) {
					kept[r]++
				}
			}
		}
	}
	done := w.committedRows()
	for i, r := range []byte(allRows) {
		switch {
		case readers[r] > 1:
			return fmt.Errorf("readers see row %c %d times", r, readers[r])
		case i < done && kept[r] == 0:
			return fmt.Errorf("row %c is committed and lost", r)
		case i < done && kept[r] > 1:
			return fmt.Errorf("row %c is kept %d times", r, kept[r])
		case i >= done && kept[r] > 0:
			return fmt.Errorf("row %c is under a decided name, the point stands before it", r)
		case readers[r] > 0 && !w.node.Published:
			return fmt.Errorf("readers see row %c before the publication", r)
		}
	}
	return nil
}

// hash identifies the world's state.
func (w *mworld) hash(owners string) uint64 {
	h := fnv.New64a()
	names := make([]string, 0, len(w.files))
	for n := range w.files {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(h, "%s=%s,%t;", n, w.files[n].data, w.files[n].closed)
	}
	n := &w.node
	fmt.Fprintf(h, "|%d|%d|%d %d %v %t %t %t|%d|%s", w.epoch, w.version, n.Generation, n.Seq, n.Point, n.SnapshotDone, n.Published, n.PublishDone, len(w.late), owners)
	for p := n.Pending; p != nil; p = p.Next {
		fmt.Fprintf(h, "|%s %s %d", p.Stage, p.Final, p.Len)
	}
	return h.Sum64()
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
