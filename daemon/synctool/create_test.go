package synctool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"
	"omsync/rpc/omsyncpb"
)

// TestCreateRefusals has a case for every reason not to create a task. Nothing may be left behind by a refused one.
func TestCreateRefusals(t *testing.T) {
	t.Parallel()
	ask := func(edit func(*omsyncpb.CreateRequest)) func(*kit) *omsyncpb.CreateRequest {
		return func(k *kit) *omsyncpb.CreateRequest {
			r := &omsyncpb.CreateRequest{Db: "db", Table: "t", Mode: proto.Int32(0), Dest: k.dest("out")}
			edit(r)
			return r
		}
	}
	plainly := ask(func(*omsyncpb.CreateRequest) {})
	write := func(k *kit, name, text string) {
		path := filepath.Join(k.dest("out"), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name   string
		before func(*kit)
		ask    func(*kit) *omsyncpb.CreateRequest
		status string
		code   string
		words  []string
	}{
		{"mode missing", nil, ask(func(r *omsyncpb.CreateRequest) { r.Mode = nil }), "InvalidArgument", refuseNoMode, []string{"mode is required"}},
		{"mode 3", nil, ask(func(r *omsyncpb.CreateRequest) { r.Mode = proto.Int32(3) }), "InvalidArgument", refuseMode, []string{"no mode 3"}},
		{"mode -1", nil, ask(func(r *omsyncpb.CreateRequest) { r.Mode = proto.Int32(-1) }), "InvalidArgument", refuseMode, nil},
		{"negative ts", nil, ask(func(r *omsyncpb.CreateRequest) { r.Mode, r.StartTs = proto.Int32(1), -1 }), "InvalidArgument", refuseTs, []string{"-1"}},
		{"unknown table", nil, ask(func(r *omsyncpb.CreateRequest) { r.Table = "nix" }), "NotFound", refuseTable, []string{"db.nix"}},
		{"unknown database", nil, ask(func(r *omsyncpb.CreateRequest) { r.Db = "nix" }), "NotFound", refuseTable, []string{"nix.t"}},
		{"memory table", func(k *kit) {
			k.z.edit(func() { k.z.tables[0].StorageMode = commonpb.StorageMode_kMemory.Enum() })
		}, plainly, "FailedPrecondition", refuseMemory, []string{"only SSD and HDD are supported"}},
		{"task exists", func(k *kit) { k.create(2) }, ask(func(r *omsyncpb.CreateRequest) { r.Dest += "2" }), "AlreadyExists", refuseExists, []string{"already exists", "db.t"}},
		{"destination of another task", other("out"), plainly, "FailedPrecondition", refuseInUse, []string{"db.other"}},
		{"destination contains another task's", other("out/deeper"), plainly, "FailedPrecondition", refuseInUse, []string{"db.other"}},
		{"destination lies in another task's", other("out"), ask(func(r *omsyncpb.CreateRequest) { r.Dest += "/deeper" }), "FailedPrecondition", refuseInUse, []string{"db.other"}},
		{"relative", nil, ask(func(r *omsyncpb.CreateRequest) { r.Dest = "out" }), "InvalidArgument", refuseDest, []string{"relative"}},
		{"not allowed", nil, ask(func(r *omsyncpb.CreateRequest) { r.Dest = "/etc/x" }), "InvalidArgument", refuseDest, []string{"dest.allowed_prefixes"}},
		{"empty destination", nil, ask(func(r *omsyncpb.CreateRequest) { r.Dest = "" }), "InvalidArgument", refuseDest, []string{"required"}},
		{"data file", func(k *kit) { write(k, "part-0.csv", "x") }, plainly, "FailedPrecondition", refuseNotEmpty, []string{"part-0.csv", "--allow-nonempty"}},
		{"data file in a subdirectory", func(k *kit) { write(k, "day=1/part-0.csv", "x") }, plainly, "FailedPrecondition", refuseNotEmpty, []string{"day=1/part-0.csv"}},
		{"owned by another cluster", func(k *kit) { write(k, ownerFile, `{"cluster":"prod","task":"t1"}`) }, plainly, "FailedPrecondition", refuseForeign, []string{"prod", ownerFile}},
		{"broken owner", func(k *kit) { write(k, ownerFile, `{`) }, plainly, "FailedPrecondition", refuseForeign, nil},
		{"destination down", func(k *kit) {
			k.inject.set(failing("open", errors.New("connection refused")))
		}, plainly, "Unavailable", refuseUnreachable, []string{"connection refused"}},
		{"stage on another device", func(k *kit) { k.inject.set(failing("rename", syscall.EXDEV)) }, plainly, "FailedPrecondition", codeCrossDevice, []string{"one file system"}},
		{"no permission", func(k *kit) { k.inject.set(failing("create", os.ErrPermission)) }, plainly, "FailedPrecondition", codeNoPermission, nil},
		{"no collector", func(k *kit) { k.z.edit(func() { k.z.collectors = nil }) }, plainly, "FailedPrecondition", refuseCollector, []string{"h1", "partition 0, 1", "data_collector"}},
		{"only a standby collector", func(k *kit) { k.z.edit(func() { k.z.collectors[0].State = "standby" }) }, plainly, "FailedPrecondition", refuseCollector, []string{"h1"}},
		{"only upstream's collector", func(k *kit) { k.z.edit(func() { k.z.collectors[0].State = "foreign" }) }, plainly, "FailedPrecondition", refuseCollector, nil},
		{"collector on another host", func(k *kit) { k.z.edit(func() { k.z.collectors[0].Host = "127.0.0.1" }) }, plainly, "FailedPrecondition", refuseCollector, []string{"host text"}},
		{"no living leader", func(k *kit) {
			k.z.edit(func() {
				k.z.tables[0] = proto.Clone(k.z.tables[0]).(*nspb.TableInfo)
				k.z.tables[0].TablePartition[1].PartitionMeta[0].IsAlive = proto.Bool(false)
			})
		}, plainly, "FailedPrecondition", refuseCollector, []string{"partition 1", "no living leader"}},
		{"unknown format", nil, ask(func(r *omsyncpb.CreateRequest) { r.Format = "xml" }), "InvalidArgument", refuseFormat, []string{"xml"}},
		{"unknown way with deletes", nil, ask(func(r *omsyncpb.CreateRequest) { r.Deletes = "keep" }), "InvalidArgument", refuseDeletes, []string{"deletes=keep", "ignore", "log"}},
		{"unknown dialect", nil, ask(func(r *omsyncpb.CreateRequest) { r.Dialect = "tabs" }), "InvalidArgument", refuseFormat, []string{"tabs"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.z.table("db", "t", 7, "h1:1", "h1:1")
			k.tool()
			data := simTable{0: newSimData(0, 1, 0), 1: newSimData(1, 1, 0)}
			k.collector("h1:9", data)
			api := k.api()
			if c.before != nil {
				c.before(k)
			}
			before := k.taskCount()
			r := c.ask(k)
			pre, err := api.Preflight(t.Context(), r)
			if err != nil || len(pre.GetProblems()) == 0 && c.code != codeCrossDevice && c.code != codeNoPermission {
				t.Errorf("preflight finds nothing: %v, %v", pre, err)
			}
			if p := pre.GetProblems(); len(p) > 0 && p[0].GetCode() != c.code {
				t.Errorf("preflight says %v", p)
			}
			_, err = api.Create(t.Context(), r)
			wantFault(t, err, c.status, c.code, c.words...)
			if n := k.taskCount(); n != before {
				t.Errorf("%d tasks after a refusal, %d before", n, before)
			}
		})
	}
}

func (k *kit) taskCount() int {
	k.z.mu.Lock()
	defer k.z.mu.Unlock()
	return len(k.z.tasks)
}

// other makes a task of another table with its destination below the kit's directory.
func other(dest string) func(*kit) {
	return func(k *kit) {
		k.t.Helper()
		k.z.table("db", "other", 8, "h1:1")
		if _, err := k.api().Create(k.t.Context(), &omsyncpb.CreateRequest{Db: "db", Table: "other", Mode: proto.Int32(2), Dest: k.dest(dest)}); err != nil {
			k.t.Fatal(err)
		}
	}
}

func failing(op string, err error) func(string, string) error {
	return func(o, _ string) error {
		if o == op {
			return err
		}
		return nil
	}
}

// TestCreateAllowNonempty: the operator may insist, and is told that rows repeat; hidden files never matter.
func TestCreateAllowNonempty(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	k.collector("h1:9", simTable{0: newSimData(0, 5, 0)})
	for name, text := range map[string]string{"old.csv": "old\n", "_SUCCESS": "{}", ".hidden": "x"} {
		if err := errors.Join(os.MkdirAll(k.dest("out"), 0o755), os.WriteFile(filepath.Join(k.dest("out"), name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	r := &omsyncpb.CreateRequest{Db: "db", Table: "t", Mode: proto.Int32(2), Dest: k.dest("out"), AllowNonempty: true, StartTs: 5}
	a, err := k.api().Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	w := strings.Join(a.GetWarnings(), "\n")
	if !strings.Contains(w, "rows that are there already will repeat") || !strings.Contains(w, "start ts 5 has no effect") {
		t.Errorf("warnings: %q", w)
	}
	if _, err := os.Stat(filepath.Join(k.dest("out"), success)); !os.IsNotExist(err) {
		t.Errorf("a former task's _SUCCESS stays while new rows come: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(k.dest("out"), ownerFile))
	if err != nil || !strings.Contains(string(b), a.GetTaskId()) {
		t.Errorf("owner.json: %s, %v", b, err)
	}
}
