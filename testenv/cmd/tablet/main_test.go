package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/typepb"
)

func TestParse(t *testing.T) {
	t.Parallel()
	c, err := parse([]string{"--zk", "z:1", "--dir", "d", "--table", "a.b:partitions=2,ttl=5,latest=3,snappy,storage=hdd", "--serve", "/x:tid=102,partitions=4,name=c.d,tag=s"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := c.tables[0]
	if s.DB != "a" || s.Partitions != 2 || !s.Snappy || s.Storage != commonpb.StorageMode_kHDD || s.Indexes[0].TTLType != typepb.TTLType_kAbsAndLat || s.Indexes[0].AbsTTL != 5 {
		t.Errorf("%+v", s)
	}
	if v := c.serve[0]; v != (served{"/x", 102, 4, "c", "d", "s"}) {
		t.Errorf("%+v", v)
	}
	need := []string{"--zk", "z:1", "--dir", "d"}
	for what, args := range map[string][]string{
		"--zk and --dir": {"--table", "a.b"}, "no table": need, "is no flag": append(need, "--table", "a.b", "stray"), "is no DB.NAME": append(need, "--table", "ab"),
		"partitions=x": append(need, "--table", "a.b:partitions=x"), "option x=": append(need, "--table", "a.b:x=1"), "tid=T": append(need, "--serve", "d"),
		"option y": append(need, "--serve", "d:tid=1,partitions=1,y=2"), "not defined": {"--nope"}, "from 1 to 250": append(need, "--table", "a.b", "--tablets", "0"),
	} {
		_, err := parse(args, nil)
		if err == nil || !isUsage(err) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v, want %q", args, err, what)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"--table DB.NAME", "-rate", "-zk", "SIGTERM"} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("help does not tell of %s", w)
		}
	}
}

// lines collects output of several goroutines.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestRun(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &lines{}
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{
			"--zk", zooKeeper(t), "--dir", t.TempDir(), "--table", "a.b:partitions=2", "--serve", "../../../testdata/disk:tid=102,partitions=4,name=a.c", "--tablets", "2",
			"--every", "20ms", "--snapshot-every", "100ms", "--trim-every", "100ms", "--log-bytes", "10000", "--rate", "2000",
		}, out)
	}()
	for deadline := time.Now().Add(20 * time.Second); strings.Count(out.String(), "puts ") < 10; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no progress:\n%s", out)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"tablet 1: 127.0.0.3:", "table a.b: tid 11, 2 partitions", "table a.c: tid 102, 4 partitions", "ready"} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
}
