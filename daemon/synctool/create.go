package synctool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"
	"omsync/rpc/fault"
	"omsync/rpc/omsyncpb"
)

// refusal is why a task can not be created. code is stable, for scripts.
type refusal struct {
	status codes.Code
	code   string
	reason string
	hint   string
}

func (r *refusal) Error() string {
	if r.hint == "" {
		return r.reason
	}
	return r.reason + ": " + r.hint
}

func (r *refusal) fault() *omsyncpb.Fault {
	return &omsyncpb.Fault{Code: r.code, Reason: r.reason, Hint: r.hint}
}

func (r *refusal) asError() error { return fault.Error(r.status, r.fault()) }

// Codes of refusals.
const (
	refuseMode        = "mode-invalid"
	refuseNoMode      = "mode-missing"
	refuseTs          = "start-ts-invalid"
	refuseTable       = "table-unknown"
	refuseMemory      = codeTableMemory
	refuseExists      = "task-exists"
	refuseDest        = "dest-invalid"
	refuseInUse       = "dest-in-use"
	refuseNotEmpty    = "dest-not-empty"
	refuseUnreachable = "dest-unreachable"
	refuseForeign     = codeDestForeign
	refuseCollector   = codeNoCollector
	refuseFormat      = "format-unknown"
	refuseSchema      = "schema-unknown"
	refuseDeletes     = "deletes-invalid"
)

// draft is a task that may become one.
type draft struct {
	spec     coord.TaskSpec
	info     *nspb.TableInfo
	places   map[uint32]place
	files    dest.Dest // open when the destination was reached
	warnings []string
	problems []*refusal // in the order they were found
	plans    []*omsyncpb.PartitionPlan
}

func (d *draft) refuse(status codes.Code, code, hint, format string, args ...any) {
	d.problems = append(d.problems, &refusal{status, code, fmt.Sprintf(format, args...), hint})
}

// draft checks a request and finds all that speaks against it. It writes nothing.
func (t *term) draft(ctx context.Context, r *omsyncpb.CreateRequest) *draft {
	d := &draft{places: map[uint32]place{}}
	d.spec = coord.TaskSpec{
		Schema: 1, DB: r.GetDb(), Table: r.GetTable(), Dest: r.GetDest(), Format: r.GetFormat(), Dialect: r.GetDialect(),
		TimeZone: t.o.TimeZone, Deletes: r.GetDeletes(), CreatedMs: t.o.Wall().UnixMilli(), AllowNonempty: r.GetAllowNonempty(),
	}
	d.checkMode(r)
	t.checkTable(d)
	if d.info != nil {
		t.checkPlaces(d)
	}
	t.checkFormat(d)
	t.checkDeletes(d)
	t.checkDest(ctx, d)
	return d
}

func (d *draft) checkMode(r *omsyncpb.CreateRequest) {
	switch {
	case r.Mode == nil:
		d.refuse(codes.InvalidArgument, refuseNoMode, "say 0 (FULL), 1 (INCREMENTAL_BY_TIMESTAMP) or 2 (FULL_AND_CONTINUOUS)", "mode is required")
	case r.GetMode() < modeFull || r.GetMode() > modeFullContinuous:
		d.refuse(codes.InvalidArgument, refuseMode, "say 0 (FULL), 1 (INCREMENTAL_BY_TIMESTAMP) or 2 (FULL_AND_CONTINUOUS)", "there is no mode %d", r.GetMode())
	default:
		d.spec.Mode = int(r.GetMode())
	}
	switch {
	case r.GetStartTs() < 0:
		d.refuse(codes.InvalidArgument, refuseTs, "give milliseconds since 1970", "start ts %d is negative", r.GetStartTs())
	case r.GetStartTs() > 0 && r.Mode != nil && r.GetMode() != modeIncremental:
		d.warnings = append(d.warnings, fmt.Sprintf("start ts %d has no effect in mode %d", r.GetStartTs(), r.GetMode()))
	default:
		d.spec.StartTS = uint64(r.GetStartTs())
	}
}

func (t *term) checkTable(d *draft) {
	info, ok := t.world.Table(d.spec.DB, d.spec.Table)
	if !ok {
		d.refuse(codes.NotFound, refuseTable, "check the spelling; names are case-sensitive", "there is no table %s.%s", d.spec.DB, d.spec.Table)
		return
	}
	d.info = info
	d.spec.TID = info.GetTid()
	if m := info.GetStorageMode(); m != commonpb.StorageMode_kSSD && m != commonpb.StorageMode_kHDD {
		d.refuse(codes.FailedPrecondition, refuseMemory, "only tables with storage_mode SSD or HDD can be exported", "%s.%s is a memory table: only SSD and HDD are supported", d.spec.DB, d.spec.Table)
	}
	if k := t.find(d.spec.DB, d.spec.Table); k != nil {
		d.refuse(codes.AlreadyExists, refuseExists, "delete it first, or let it go on", "sync task already exists(creating or created): %s.%s to %s since %s", d.spec.DB, d.spec.Table, k.spec.Dest, time.UnixMilli(k.spec.CreatedMs).Format(time.DateTime))
	} else if k := t.findID(info.GetTid()); k != nil {
		d.refuse(codes.AlreadyExists, refuseExists, "delete it first", "table %d has a task as %s", info.GetTid(), k.name())
	}
}

func (t *term) findID(tid uint32) *task {
	for _, k := range t.all() {
		if k.spec.TID == tid {
			return k
		}
	}
	return nil
}

func (t *term) checkPlaces(d *draft) {
	for _, p := range d.info.GetTablePartition() {
		d.spec.Partitions = append(d.spec.Partitions, p.GetPid())
	}
	sort.Slice(d.spec.Partitions, func(i, j int) bool { return d.spec.Partitions[i] < d.spec.Partitions[j] })
	if len(d.spec.Partitions) == 0 {
		d.refuse(codes.FailedPrecondition, refuseTable, "recover the table first", "%s.%s has no partitions", d.spec.DB, d.spec.Table)
	}
	missing := map[string][]string{}
	var order []string
	for _, pid := range d.spec.Partitions {
		where, tr := findPlace(t.world, d.spec.DB+"."+d.spec.Table, d.spec.TID, pid)
		d.plans = append(d.plans, &omsyncpb.PartitionPlan{Pid: pid, Leader: where.leader.Node, Collector: where.collector})
		if tr == nil {
			d.places[pid] = where
			continue
		}
		if errors.Is(tr.cause, errNoLeader) {
			d.refuse(codes.FailedPrecondition, refuseCollector, tr.fault.GetHint(), "%s", tr.fault.GetReason())
			continue
		}
		host := "?"
		if lead, err := t.world.Leader(d.spec.TID, pid); err == nil {
			host = lead.Host
		}
		if missing[host] == nil {
			order = append(order, host)
		}
		missing[host] = append(missing[host], fmt.Sprint(pid))
	}
	for _, host := range order {
		d.refuse(codes.FailedPrecondition, refuseCollector, "start a data_collector there; its --endpoint must have this host text",
			"can't find living data collector in host: %s (leader of partition %s)", host, strings.Join(missing[host], ", "))
	}
}

func (t *term) checkFormat(d *draft) {
	if d.spec.Format == "" {
		d.spec.Format = t.o.Format
	}
	if d.spec.Dialect == "" {
		d.spec.Dialect = t.o.Dialect
	}
	if d.spec.Format != formatCSV {
		d.refuse(codes.InvalidArgument, refuseFormat, "say csv", "format %q is not known", d.spec.Format)
		return
	}
	if d.spec.Dialect != dialectUpstream && d.spec.Dialect != dialectStandard {
		d.refuse(codes.InvalidArgument, refuseFormat, "say upstream or standard", "csv dialect %q is not known", d.spec.Dialect)
		return
	}
	if d.info == nil {
		return
	}
	if _, err := t.o.Rows(d.info, &d.spec); err != nil {
		d.refuse(codes.FailedPrecondition, refuseSchema, "", "%v", err)
	}
}

// Dialects of csv.
const (
	dialectUpstream = "upstream"
	dialectStandard = "standard"
)

// What is done with the deletes of the log phase.
const (
	deletesIgnore = "ignore"
	deletesLog    = "log"
)

func (t *term) checkDeletes(d *draft) {
	asked := d.spec.Deletes != ""
	if !asked {
		d.spec.Deletes = t.o.Deletes
	}
	switch {
	case d.spec.Deletes != deletesIgnore && d.spec.Deletes != deletesLog:
		d.refuse(codes.InvalidArgument, refuseDeletes, "say ignore, or log for a file of deletes beside the data", "deletes=%s is not known", d.spec.Deletes)
	case asked && d.spec.Deletes == deletesLog && d.spec.Mode == modeFull:
		d.warnings = append(d.warnings, "deletes=log has no effect in mode 0, which ends where the log phase would begin")
	}
}

// checkDest looks at the destination: its spelling, its neighbours, then its content.
func (t *term) checkDest(ctx context.Context, d *draft) {
	if d.spec.Dest == "" {
		d.refuse(codes.InvalidArgument, refuseDest, "give an absolute path or a URI", "a destination is required")
		return
	}
	if err := t.o.CheckDest(d.spec.Dest); err != nil {
		d.refuse(codes.InvalidArgument, refuseDest, "", "%v", err)
		return
	}
	for _, k := range t.all() {
		if over, err := t.o.OverlapDest(d.spec.Dest, k.spec.Dest); err != nil || over {
			d.refuse(codes.FailedPrecondition, refuseInUse, "choose another directory", "%s is, contains or lies in %s, the destination of %s", d.spec.Dest, k.spec.Dest, k.name())
			return
		}
	}
	files, err := t.o.OpenDest(ctx, d.spec.Dest)
	if err != nil {
		d.refuse(codes.Unavailable, refuseUnreachable, "check the address and that the file system is up", "open %s: %v", d.spec.Dest, err)
		return
	}
	d.files = files
	t.checkContent(ctx, d)
}

func (t *term) checkContent(ctx context.Context, d *draft) {
	o, err := readOwner(ctx, d.files)
	switch {
	case err == nil && (o.Cluster != t.o.Cluster || t.taskByID(o.Task) != nil):
		d.refuse(codes.FailedPrecondition, refuseForeign, "choose another directory; if that task is gone for good, remove "+ownerFile, "%s belongs to task %s of cluster %s", d.spec.Dest, o.Task, o.Cluster)
		return
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		d.refuse(codes.FailedPrecondition, refuseForeign, "", "%s: %v", d.spec.Dest, err)
		return
	}
	found, err := firstData(ctx, d.files, "", 0)
	switch {
	case err != nil:
		d.refuse(codes.Unavailable, refuseUnreachable, "check that the synctool's user may read there", "list %s: %v", d.spec.Dest, err)
	case found != "" && d.spec.AllowNonempty:
		d.warnings = append(d.warnings, fmt.Sprintf("%s is not empty (%s): rows that are there already will repeat", d.spec.Dest, found))
	case found != "":
		d.refuse(codes.FailedPrecondition, refuseNotEmpty, "choose an empty directory, or allow it with --allow-nonempty: rows that are there already will repeat", "%s is not empty: it holds %s", d.spec.Dest, found)
	}
}

func (t *term) taskByID(id string) *task {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tasks[id]
}

// deepest bounds the search for data files: partitioned tables nest a few levels.
const deepest = 8

// firstData finds a file that a reader of the directory would take for data: names with "_" or "." in front are not.
func firstData(ctx context.Context, f Files, dir string, depth int) (string, error) {
	entries, err := f.List(ctx, dir)
	if err != nil {
		return "", err
	}
	var dirs []string
	for _, e := range entries {
		base := baseName(e.Name)
		if strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") {
			continue
		}
		name := base
		if dir != "" {
			name = dir + "/" + base
		}
		if !e.Dir {
			return name, nil
		}
		dirs = append(dirs, name)
	}
	if depth == deepest && len(dirs) > 0 {
		return dirs[0], nil
	}
	for _, sub := range dirs {
		if found, err := firstData(ctx, f, sub, depth+1); err != nil || found != "" {
			return found, err
		}
	}
	return "", nil
}

// create makes a task: checks, owner.json, one decision, then its subtasks begin to look for their collectors, all at once.
func (t *term) create(ctx context.Context, r *omsyncpb.CreateRequest) (*draft, error) {
	if !t.enter() {
		return nil, errTermOver
	}
	defer t.wg.Done()
	t.creating.Lock()
	defer t.creating.Unlock()
	d := t.draft(ctx, r)
	keep := false
	defer func() {
		if d.files != nil && !keep {
			if err := d.files.Close(); err != nil {
				t.log.Warn("close destination", "dest", d.spec.Dest, "err", err)
			}
		}
	}()
	if len(d.problems) > 0 {
		return d, d.problems[0]
	}
	d.spec.ID = fmt.Sprintf("t%d-%s", d.spec.TID, newToken()[:12])
	if err := t.furnish(ctx, d); err != nil {
		return d, err
	}
	states := map[uint32]coord.SubtaskState{}
	for _, pid := range d.spec.Partitions {
		st := coord.SubtaskState{Schema: 1, Status: coord.Init, UpdatedMs: d.spec.CreatedMs}
		begin(&st)
		states[pid] = st
	}
	// The caller's patience must not leave the decision open; if it stays open all the same, a new term reads what became of it.
	if err := t.store.Create(t.ctx, d.spec, states); err != nil {
		t.failed(err)
		return d, fmt.Errorf("create the task's nodes: %w", err)
	}
	versions := map[uint32]coord.Versioned{}
	for pid, st := range states {
		versions[pid] = coord.Versioned{State: st}
	}
	k := newTask(t, coord.Task{Spec: d.spec, States: versions})
	k.files, keep = d.files, true
	_, k.shelf.local = d.files.Local()
	k.owned = true
	t.mu.Lock()
	t.tasks[d.spec.ID] = k
	t.begin(k)
	t.mu.Unlock()
	t.log.Info("task is created", "table", k.name(), "task", d.spec.ID, "mode", d.spec.Mode, "dest", d.spec.Dest, "partitions", len(d.spec.Partitions))
	t.touch()
	return d, nil
}

// furnish tries a rename from the stage to the final directory, removes a former task's _SUCCESS and writes owner.json.
func (t *term) furnish(ctx context.Context, d *draft) error {
	probe, to := stageDir+"/"+plain(t.o.Cluster)+"-"+plain(d.spec.ID)+"-probe", "_omsync_probe_"+plain(d.spec.ID)
	err := writeProbe(ctx, d.files, probe)
	if err == nil {
		if err = d.files.Rename(ctx, probe, to); err != nil {
			err = fmt.Errorf("rename from %s to the destination itself: %w", stageDir, err)
		}
	}
	for _, name := range []string{probe, to} {
		err = errors.Join(err, d.files.Remove(ctx, name))
	}
	if err == nil {
		err = d.files.Remove(ctx, success)
	}
	if err == nil {
		err = writeOwner(ctx, d.files, owner{Cluster: t.o.Cluster, Task: d.spec.ID})
	}
	if err == nil {
		return nil
	}
	f := classify("write to "+d.spec.Dest, err).fault
	if f.GetCode() == codeDestWrite {
		f.Code, f.Hint = refuseUnreachable, "check that the synctool's user may write there"
	}
	return &refusal{codes.FailedPrecondition, f.GetCode(), f.GetReason(), f.GetHint()}
}

func writeProbe(ctx context.Context, f Files, name string) error {
	w, err := f.Create(ctx, name)
	if err != nil {
		return err
	}
	_, err = w.Write([]byte("omsync\n"))
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}
