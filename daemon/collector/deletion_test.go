package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/rpc/omsyncpb"
	"omsync/testenv/tabletsim"
)

// erase writes a delete and returns its log index.
func erase(t testing.TB, p *tabletsim.Partition, d tabletsim.Delete) uint64 {
	t.Helper()
	a, err := p.Delete(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return a.Index
}

// TestDeletesAreSent: the deletes of the log phase that concern index 0, each once, and only where the synctool asks for them.
func TestDeletesAreSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		column string
		asked  bool
	}{{"ts", true}, {"", true}, {"ts", false}} {
		t.Run(fmt.Sprintf("%q,%t", c.column, c.asked), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, newWords(t, c.column, 0), nil)
			s.tool.deletes = c.asked
			fill(t, s.p, 0, 20)
			last := erase(t, s.p, tabletsim.Delete{Dim: &tabletsim.Dim{Key: "k00001"}}) // before z: it is in what is exported
			s.assign(2)
			s.exported(last)

			var want []*omsyncpb.LogDelete
			note := func(d tabletsim.Delete, x *omsyncpb.LogDelete) {
				x.LogIndex, x.Term = erase(t, s.p, d), 9
				last = x.LogIndex
				want = append(want, x)
			}
			note(tabletsim.Delete{Dim: &tabletsim.Dim{Key: "k00002"}}, &omsyncpb.LogDelete{Key: []byte("k00002")})
			words, _ := fill(t, s.p, 20, 3)
			note(tabletsim.Delete{Dim: &tabletsim.Dim{Key: "a\xff"}, Start: proto.Uint64(9), End: proto.Uint64(3)},
				&omsyncpb.LogDelete{Key: []byte("a\xff"), StartTs: proto.Uint64(9), EndTs: 3})
			if c.column != "" {
				note(tabletsim.Delete{TsName: c.column, Start: proto.Uint64(1003)}, &omsyncpb.LogDelete{StartTs: proto.Uint64(1003)})
			}
			s.exported(last)
			s.hold() // what comes now is sent and not committed
			note(tabletsim.Delete{Dim: &tabletsim.Dim{Key: ""}, Start: proto.Uint64(0)}, &omsyncpb.LogDelete{Key: []byte{}, StartTs: proto.Uint64(0)})
			if c.asked {
				s.tool.until("the delete is under way", func() bool { return len(s.tool.subs[0].open) > 0 })
			}
			s.reassign(s.c, nil)
			s.release()
			more, after := fill(t, s.p, 23, 1)
			s.exported(after)

			got := s.tool.sub(0).deletes
			for _, d := range got {
				if d.GetReadMs() == 0 {
					t.Errorf("%v was read at no time", d)
				}
				d.ReadMs = 0
			}
			if !c.asked {
				want = nil
			}
			if !slices.EqualFunc(got, want, func(a, b *omsyncpb.LogDelete) bool { return proto.Equal(a, b) }) {
				t.Errorf("sent %v, want %v", got, want)
			}
			if w := s.words(); !slices.Equal(w[len(w)-4:], append(words, more...)) {
				t.Errorf("the last rows are %v", w)
			}
		})
	}
}

// TestManyDeletes: deletes take credit and room as rows do.
func TestManyDeletes(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	s.tool.deletes, s.tool.credit = true, 100<<10
	_, last := fill(t, s.p, 0, 1)
	s.assign(2)
	s.exported(last)
	const n = 1000
	for i := range n {
		last = erase(t, s.p, tabletsim.Delete{Dim: &tabletsim.Dim{Key: fmt.Sprintf("%s%05d", strings.Repeat("k", 200), i)}})
	}
	s.exported(last)
	sub := s.tool.sub(0)
	if len(sub.deletes) != n || sub.largest > leastPack {
		t.Errorf("%d deletes in batches of at most %d bytes", len(sub.deletes), sub.largest)
	}
}
