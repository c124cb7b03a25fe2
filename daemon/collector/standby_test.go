package collector

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

// TestStandbyTakesOver: of two collectors on a host one works. When it goes, or only stands back, its subtasks go on with the other at the committed
// point; the former one drops what is not its own any more.
func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"killed": true, "stood back": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil, nil)
			words, last := fill(t, s.p, 0, 20)
			s.assign(2)
			s.exported(last)

			first, firstFake := s.c, s.fake
			s.fake = newFakeCluster(s.tool, s.tab.node())
			s.fake.standing.State = coord.Standby
			second := s.collector(nil)
			until(t, "the second stands by", func() bool { _, _, err := second.c.up.state(); return err != nil })
			if l, _, err := second.c.up.state(); l != nil || second.c.active() {
				t.Fatalf("a standby has a stream (%v)", err)
			}
			stale := s.tool.sub(0).a.GetToken()
			if killed {
				first.kill()
			} else {
				firstFake.stand(coord.Standby)
				s.tool.until("it gives its subtask up", func() bool {
					d := s.tool.subs[0].detach
					return len(d) == 1 && d[0] == "another collector of this host is active"
				})
			}
			more, last := fill(t, s.p, 20, 20)
			s.fake.stand(coord.Active)
			s.reassign(second, nil)
			s.exported(last)
			if got := s.words(); !slices.Equal(got, append(words, more...)) {
				t.Errorf("%q", got)
			}
			if killed {
				return
			}
			s.tool.mu.Lock()
			s.tool.refuse = func(a *omsyncpb.Attach) *omsyncpb.Refused {
				if a.GetToken() == stale {
					return &omsyncpb.Refused{Gone: true, Reason: "the subtask is assigned to another"}
				}
				return nil
			}
			s.tool.mu.Unlock()
			firstFake.stand(coord.Active)
			dir := filepath.Join(first.c.o.DataDir, "7-0")
			until(t, "what is not its own is dropped", func() bool { _, err := os.Stat(dir); return errors.Is(err, os.ErrNotExist) })
			if first.view(0) != nil {
				t.Error("the subtask is still there")
			}
		})
	}
}
