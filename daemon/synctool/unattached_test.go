package synctool

import (
	"testing"
	"time"

	"omsync/rpc/omsyncpb"
)

// TestFaultBeforeAttach: a collector that can not even attach is heard: the reason is shown, nothing is reassigned; a fault that does not pass ends in
// FAILED. Others' words do not count.
func TestFaultBeforeAttach(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.opts = func(o *Options) { o.CheckPeriod = 100 * time.Millisecond }
	k.z.table("db", "t", 7, "h1:1")
	k.tool()
	c := newSimCollector(k.z, "h1:9", nil, nil)
	k.add(c)
	k.create(modeFullContinuous)
	k.eventually("it is assigned", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.tasks[0] != nil })
	c.mu.Lock()
	a := c.tasks[0]
	c.mu.Unlock()
	stream := k.stream(t, "h1:9")
	send := func(token, reason string, retry bool) {
		t.Helper()
		if err := stream.Send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Fault{Fault: &omsyncpb.SubtaskFault{
			Key: a.GetKey(), Token: token, Retry: retry, Fault: &omsyncpb.Fault{Code: codeInternal, Reason: reason},
		}}}); err != nil {
			t.Fatal(err)
		}
	}
	shown := func() string {
		l, err := k.api().List(t.Context(), &omsyncpb.ListRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return l.GetTasks()[0].GetSubtasks()[0].GetFault().GetReason()
	}
	send("another token", "not mine", false)
	for began := time.Now(); time.Since(began) < time.Second; { // far longer than a silent one is waited for
		send(a.GetToken(), "input/output error", true)
		k.eventually("it is shown", func() bool { return shown() == "input/output error" })
	}
	c.mu.Lock()
	added := c.added
	c.mu.Unlock()
	if added != 1 || k.z.state(0).Token != a.GetToken() {
		t.Errorf("assigned %d times", added)
	}
	send(a.GetToken(), "no permission", false)
	k.status(0, "FAILED")
	if s := k.z.state(0); s.Reason != "no permission" {
		t.Errorf("failed as %q", s.Reason)
	}
}
