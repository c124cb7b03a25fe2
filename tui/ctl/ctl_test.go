package ctl

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"omsync/rpc/client"
)

var now = time.UnixMilli(1_795_313_021_000)

// run is a command in this process, against the synctool at addr.
func run(ctx context.Context, in io.Reader, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Main(ctx, args, Env{In: in, Out: &o, Err: &e, Terminal: in != nil, Now: func() time.Time { return now },
		Dial:    func(addr string) (*grpc.ClientConn, error) { return client.Dial(addr, client.Options{}) },
		Cluster: envCluster{}, Version: "test"})
	return code, o.String(), e.String()
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.mute = true
	addr, stop, err := f.serve()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			f.mu.Lock()
			asked := f.asked
			f.mu.Unlock()
			if asked != "" {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if code, _, errs := run(ctx, nil, "ctl", "delete", "-t", "a.b", "--yes", "-s", addr); code != ExitInterrupted || !strings.Contains(errs, "interrupted while asking the synctool") {
		t.Errorf("in a call: %d %s", code, errs)
	}
	silent, typing := io.Pipe()
	defer typing.Close()
	if code, _, errs := run(ctx, silent, "ctl", "delete", "-t", "a.b", "-s", addr); code != ExitInterrupted || !strings.Contains(errs, "interrupted while asking") {
		t.Errorf("at a question: %d %s", code, errs)
	}
}

// While it waits, a synctool that goes away is waited for too: another may take its place.
func TestWaitOutlivesTheSynctool(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.play = []string{"INIT"}
	addr, stop, err := f.serve()
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		code int
		errs string
	}
	done := make(chan result, 1)
	go func() {
		code, _, errs := run(t.Context(), nil, "ctl", "create", "-t", "demo.orders", "-m", "2", "-d", "/x", "--wait", "--timeout", "2s", "-s", addr)
		done <- result{code, errs}
	}()
	for {
		f.mu.Lock()
		looked := strings.Contains(f.asked, "finished") || f.asked != "" && !strings.Contains(f.asked, "dest")
		f.mu.Unlock()
		if looked {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	if r := <-done; r.code != ExitTimeout || !strings.Contains(r.errs, "is away, waiting") || !strings.Contains(r.errs, "last seen: INIT") {
		t.Errorf("%d %s", r.code, r.errs)
	}
}

func TestStartTs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"0": 0, "233": 233, "-2h": now.UnixMilli() - 2*3600_000, "-90m": now.UnixMilli() - 90*60_000, "-7d": now.UnixMilli() - 7*86_400_000,
		"-1h30m": now.UnixMilli() - 5400_000, "2026-11-22T02:03:41Z": now.UnixMilli(), "2026-11-22T10:03:41.5+08:00": now.UnixMilli() + 500,
		"-0s": now.UnixMilli(), "1970-01-01T00:00:00Z": 0,
	} {
		if got, err := startTs(in, now); err != nil || got != want {
			t.Errorf("startTs(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-", "x", "2h", "-5", "--2h", "-2", "-d", "-2y", "1.5", "1969-12-31T23:59:59Z", "2026-11-22", "9223372036854775808", "-100000d", "now"} {
		if got, err := startTs(in, now); err == nil || ExitCode(err) != ExitUsage {
			t.Errorf("startTs(%q) = %d, %v", in, got, err)
		}
	}
}

func FuzzStartTs(f *testing.F) {
	for _, s := range []string{"-2h", "5", "2026-11-22T02:03:41Z", "-7d", "-9999999h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ms, err := startTs(s, now); err == nil && ms < 0 {
			t.Fatalf("startTs(%q) = %d", s, ms)
		}
	})
}

func TestPids(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]uint32{"0": {0}, "1,4": {1, 4}, "7-9, 2": {7, 8, 9, 2}, "3-3": {3}} {
		if got, err := pids(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("pids(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ",", "a", "1-", "-1", "2-1", "4294967296", "0-70000", "1..2"} {
		if got, err := pids(in); err == nil {
			t.Errorf("pids(%q) = %v", in, got)
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("create -t a.b -m 1 -ts -2h -d /x")
	f.Add("get tasks --finished -o json")
	f.Add("-t a.b delete --yes --timeout 1s")
	f.Fuzz(func(t *testing.T, line string) {
		var o, e bytes.Buffer
		code := Main(t.Context(), append([]string{"ctl"}, strings.Fields(line)...), Env{Out: &o, Err: &e, Now: func() time.Time { return now },
			Dial:    func(addr string) (*grpc.ClientConn, error) { return nil, io.ErrUnexpectedEOF }, // nothing is dialed
			Cluster: envCluster{}})
		if code == ExitOK && o.Len()+e.Len() == 0 {
			t.Fatalf("%q: success without a word", line)
		}
		if code != ExitOK && e.Len() == 0 {
			t.Fatalf("%q: exit %d without a word", line, code)
		}
	})
}
