package coord

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"omsync/openmldb/zkconn"
	"omsync/testenv/zkserver"
)

// TestLook: an empty root has nothing; later everything is seen, what can not be read included, and nothing is changed.
func TestLook(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	s := session(t, z.Addr())
	ctx := limit(t)
	l, err := s.Look(ctx)
	must(t, err)
	if l.Leader != "" || l.Epoch != 0 || len(l.Collectors)+len(l.Tasks)+l.Finished+len(l.Problems) != 0 {
		t.Fatalf("an empty root: %+v", l)
	}

	store, _ := lead(t, s)
	spec, states := task("a", 3)
	must(t, store.Create(ctx, spec, states))
	done, ended := task("b", 1)
	must(t, store.Finish(ctx, "b", FinishedRecord{Spec: done, States: ended, EndedMs: 1}))
	// Somebody else's hand: a task without a spec, one with a foreign one, a state that is no number, a broken one.
	conn := s.conn
	for at, value := range map[string]string{
		"tasks/half/p/0": `{"schema":1,"status":"INIT"}`, "tasks/new/spec": `{"schema":99}`, "tasks/a/p/x": "{}", "tasks/a/p/2": "{",
		"collectors/h:1": `{"schema":1,"endpoint":"h:1","host":"h","instance":"i"}`,
	} {
		full := path.Join(root, "sync_tool/omsync", at)
		must(t, conn.MkdirAll(ctx, path.Dir(full)))
		if at == "tasks/a/p/2" {
			_, err = conn.Set(ctx, full, []byte(value), -1)
		} else {
			_, err = conn.Create(ctx, full, []byte(value), zkconn.Persistent)
		}
		must(t, err)
	}
	for range 2 { // the second look sees the same
		l, err = s.Look(ctx)
		must(t, err)
		if l.Leader != "127.0.0.1:1" || l.Epoch != store.Epoch() || l.EpochOf != "127.0.0.1:1" || l.EpochMs == 0 || l.Finished != 1 {
			t.Errorf("%+v", l)
		}
		if len(l.Collectors) != 1 || l.Collectors[0].State != Active {
			t.Errorf("collectors %+v", l.Collectors)
		}
		var all []string
		for _, one := range l.Tasks {
			all = append(all, fmt.Sprintf("%s %t %d %v", one.ID, one.Spec != nil, len(one.States), one.Pids()))
		}
		if got := strings.Join(all, ";"); got != "a true 2 [0 1 2];half false 1 [0];new false 0 []" {
			t.Errorf("tasks %s", got)
		}
		got := strings.Join(l.Problems, "\n")
		for _, want := range []string{"tasks/a/p/x is not a partition's number", "tasks/a/p/2 is not readable JSON", "tasks/new/spec has schema 99"} {
			if !strings.Contains(got, want) {
				t.Errorf("problems lack %q: %s", want, got)
			}
		}
	}
}
