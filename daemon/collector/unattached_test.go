package collector

import (
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestPinThatCanNotBeRead: an I/O error on what a subtask is to attach with is told to the synctool, again and again, and the generation is not given up
// for it.
func TestPinThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	var bad atomic.Bool
	fs := &crashFS{FS: OS()}
	fs.fail = func(op, name string) error {
		if op == "read" && filepath.Base(name) == pinName && bad.Load() {
			return syscall.EIO
		}
		return nil
	}
	s := newScene(t, nil, func(o *Options) { o.Files = fs })
	words, last := fill(t, s.p, 0, 5)
	bad.Store(true)
	s.assign(2)
	s.tool.until("it is told twice", func() bool { return len(s.tool.subs[0].unattached) > 1 })
	f := s.tool.sub(0).unattached[0]
	if !f.GetRetry() || f.GetToken() != s.tool.sub(0).a.GetToken() || f.GetAttachId() != 0 {
		t.Errorf("%v", f)
	}
	contains(t, f.GetFault().GetReason(), "input/output error", "db.words partition 0", s.tab.addr, pinName)
	until(t, "it is shown", func() bool { return s.c.view(0).GetFault() != nil })
	if n := s.tool.sub(0).attach; n != 0 {
		t.Errorf("%d attaches", n)
	}
	bad.Store(false)
	s.exported(last)
	if got := s.words(); !slices.Equal(got, words) {
		t.Errorf("%q", got)
	}
	if n := s.tool.sub(0).renewed; n != 0 {
		t.Errorf("%d new generations", n)
	}
}
