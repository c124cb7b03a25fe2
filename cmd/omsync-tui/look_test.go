package main

import (
	"context"
	"errors"
	"path"
	"strings"
	"testing"
	"time"

	"omsync/openmldb/zkconn"
	"omsync/testenv/zkserver"
)

// TestLook: tool-status sees in ZooKeeper what is there, and says what is not.
func TestLook(t *testing.T) {
	t.Parallel()
	z := zkserver.ForTest(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	servers := []string{z.Addr()}
	if _, err := look(ctx, servers, "/om", ""); err == nil || !strings.Contains(err.Error(), "there is no node /om: is zookeeper.root_path OpenMLDB's zk_root_path?") {
		t.Fatalf("without a root: %v", err)
	}
	conn := zkconn.Open(zkconn.Options{Servers: servers})
	done := make(chan error, 1)
	go func() { done <- conn.Run(context.Background()) }()
	defer func() {
		if err := errors.Join(conn.Close(), <-done); err != nil {
			t.Error(err)
		}
	}()
	for at, value := range map[string]string{
		"leader/n_0000000003": "h:1", "leader/n_0000000004": "h:2",
		"epoch":          `{"schema":1,"epoch":7,"leader":"h:1","begun_ms":5}`,
		"collectors/c:1": `{"schema":1,"endpoint":"c:1","host":"c","version":"v","data_dir":"/d","instance":"i"}`, "collectors/bad": "{",
		"tasks/a/spec": `{"schema":1,"id":"a","tid":9,"db":"d","table":"t","mode":2,"dest":"/o","partitions":[0,1]}`,
		"tasks/a/p/0": `{"schema":1,"status":"FAILED","code":"c","reason":"r","hint":"h","generation":"00000000000000ff","point":{"phase":"LOG","index":4},` +
			`"pending":{"final":"f.csv"},"counters":{"rows":6},"seq":2}`,
	} {
		full := path.Join("/om/sync_tool/omsync", at)
		if err := conn.MkdirAll(ctx, path.Dir(full)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Create(ctx, full, []byte(value), zkconn.Persistent); err != nil {
			t.Fatal(err)
		}
	}
	c, err := look(ctx, servers, "/om", "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Leader != "h:1" || len(c.Standby) != 1 || c.Epoch != 7 || c.EpochOf != "h:1" || len(c.Collectors) != 2 || len(c.Problems) != 1 || len(c.Tasks) != 1 {
		t.Fatalf("%+v", c)
	}
	task := c.Tasks[0]
	if task.Table != "d.t" || task.TID != 9 || len(task.Subtasks) != 2 || task.Subtasks[1].Status != "" {
		t.Errorf("%+v", task)
	}
	s := task.Subtasks[0]
	if s.Status != "FAILED" || s.Reason != "r" || s.Index != 4 || s.Rows != 6 || s.Pending != "f.csv" || s.Generation != "00000000000000ff" {
		t.Errorf("%+v", s)
	}

	short, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if _, err := look(short, []string{"127.0.0.1:1"}, "/om", ""); err == nil || !strings.Contains(err.Error(), "is ZooKeeper up at 127.0.0.1:1?") {
		t.Errorf("without ZooKeeper: %v", err)
	}
}
