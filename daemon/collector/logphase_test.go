package collector

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"omsync/openmldb/binlog"
	"omsync/openmldb/pb/apipb"
	"omsync/rpc/omsyncpb"
	"omsync/testenv/tabletsim"
)

// replace puts another replica of the partition in the tablet's place.
func (s *scene) replace(p *tabletsim.Partition) {
	s.p = p
	s.tab.serve(p)
}

// copyOf is the partition as it is now, opened elsewhere.
func copyOf(t *testing.T, p *tabletsim.Partition, mode apipb.TableMode) *tabletsim.Partition {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "7_0")
	if err := os.CopyFS(dir, os.DirFS(p.Dir())); err != nil {
		t.Fatal(err)
	}
	return openWords(t, dir, "ts", 0, mode)
}

// TestForkedLog: an entry that is not the one that was committed last is found at the next attach, on the same host and on another.
func TestForkedLog(t *testing.T) {
	t.Parallel()
	for name, elsewhere := range map[string]bool{"made anew on the host": false, "another host": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil, nil)
			_, last := fill(t, s.p, 0, 20)
			s.assign(2)
			s.exported(last)
			other := newWords(t, "ts", 0)
			fill(t, other, 100, 30)
			c := s.c
			if elsewhere {
				c = s.collector(nil)
			}
			s.replace(other)
			s.reassign(c, nil)
			f := s.failed(codeLogForked)
			m := s.tool.sub(0).mark
			contains(t, f.GetReason(), "committed was entry 20 of term 9", fmt.Sprintf("%08x", m.GetCrc()), "the log has entry 20", "entries up to 20 are at the destination", s.tab.addr)
			contains(t, f.GetHint(), "recover --reexport")
			if n := len(s.words()); n != 20 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

// TestGap: a log file that is missing in the middle ends the export with the range; nothing behind it is exported.
func TestGap(t *testing.T) {
	t.Parallel()
	s := newScene(t, newWords(t, "ts", 2000), nil)
	_, last := fill(t, s.p, 0, 3)
	s.assign(2)
	s.exported(last)
	if err := s.c.stop(); err != nil { // the next one's links are not those of before
		t.Fatal(err)
	}
	words, _ := fill(t, s.p, 3, 200)
	from := firstIndexes(t, s.p)
	remove(t, logsOf(t, s.p.BinlogDir())[4])
	s.reassign(s.collector(nil), nil)
	f := s.failed(codeLogGap)
	contains(t, f.GetReason(), fmt.Sprintf("log entries %d to %d are missing", from[4], from[5]-1), "00000003.log", "00000005.log")
	s.tool.flush()
	if got := s.words()[3:]; len(got) > int(from[4])-4 || !slices.Equal(got, words[:len(got)]) {
		t.Errorf("%d rows, %d lie before the gap", len(got), from[4]-4)
	}
}

// firstIndexes are the first log indexes of the tablet's files.
func firstIndexes(t *testing.T, p *tabletsim.Partition) []uint64 {
	t.Helper()
	files, err := binlog.List(binlog.OS(), p.BinlogDir())
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	for _, f := range files {
		out = append(out, f.First)
	}
	return out
}

// TestShorterLog: a follower's log that does not reach the committed point is waited for; a leader's is not for long: the rest is gone from it.
func TestShorterLog(t *testing.T) {
	t.Parallel()
	for name, catchesUp := range map[string]bool{"follower catches up": true, "follower is made leader": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := &shiftClock{}
			s := newScene(t, nil, func(o *Options) { o.pace.leaderLag = 30 * time.Second })
			fill(t, s.p, 0, 10)
			behind := copyOf(t, s.p, apipb.TableMode_kTableFollower)
			words, last := fill(t, s.p, 10, 10)
			s.assign(2)
			s.exported(last)

			leader := s.p
			c := s.collector(func(o *Options) { o.pace.leaderLag, o.Clock = 30*time.Second, clock })
			s.c = c
			s.replace(behind)
			s.reassign(c, nil)
			waits := func() bool { return s.tool.subs[0].beat.GetWaitingFor() == "the log to reach the last exported entry" }
			s.tool.until("it waits for the follower", waits)
			clock.by.Store(int64(time.Hour))
			s.tool.mu.Lock()
			s.tool.subs[0].beat = nil
			s.tool.mu.Unlock()
			s.tool.until("it still waits", waits)
			s.unfailed()
			if !catchesUp {
				behind.Lead(10)
				until(t, "the tablet says that it leads", func() bool { return s.sub().leads() })
				clock.by.Store(int64(2 * time.Hour))
				f := s.failed(codeLogForked)
				contains(t, f.GetReason(), "the leader "+s.tab.addr, "ends at entry 10", "entries up to 20 are exported")
				return
			}
			if err := leader.Attach(behind); err != nil {
				t.Fatal(err)
			}
			defer leader.Detach(behind)
			more, last := fill(t, leader, 20, 5)
			s.exported(last)
			if got := s.words()[10:]; !slices.Equal(got, append(words, more...)) {
				t.Errorf("%q", got)
			}
			s.unfailed()
		})
	}
}

// TestBadBlock: a flipped byte stops the export with file and position, in the plan and in the log phase; with skip_bad_blocks it goes on behind
// it, and only the entries in the block are lost.
func TestBadBlock(t *testing.T) {
	t.Parallel()
	for name, planned := range map[string]bool{"in the plan": true, "in the log phase": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil, nil)
			before := 0
			if !planned {
				before = 10
				_, last := fill(t, s.p, 0, before)
				s.assign(2)
				s.exported(last)
				if err := s.c.stop(); err != nil { // it must not read on before the byte is flipped
					t.Fatal(err)
				}
				s.c = s.collector(nil)
			}
			words, last := fill(t, s.p, before, 300)
			file := logsOf(t, s.p.BinlogDir())[0]
			flip(t, file, 2*4096+2000)
			if planned {
				s.assign(2)
			} else {
				s.reassign(s.c, nil)
			}
			f := s.failed(codeLogCorrupt)
			contains(t, f.GetReason(), filepath.Base(file), "damaged at offset ")
			contains(t, f.GetHint(), "recover --skip-bad-blocks")
			s.tool.flush()
			for _, w := range s.words()[min(before, len(s.words())):] {
				if !slices.Contains(words, w) {
					t.Errorf("%q", w)
				}
			}

			s.tool.mu.Lock()
			s.tool.subs[0].faults = nil
			s.tool.mu.Unlock()
			s.reassign(s.c, func(a *omsyncpb.Assignment) { a.SkipBadBlocks = true })
			s.exported(last)
			s.unfailed()
			got := s.words()[before:]
			lost := 0
			for _, w := range words {
				if !slices.Contains(got, w) {
					lost++
				}
			}
			perBlock := 4096 / (len("word-00000") + 40) // rows are longer than that
			if lost == 0 || lost > perBlock || len(got)+lost != len(words) || !slices.IsSorted(got) {
				t.Errorf("%d of %d rows, %d lost of at most %d", len(got), len(words), lost, perBlock)
			}
			if n := s.c.view(0).GetCounters().GetSkippedBlocks(); !planned && n != 1 {
				t.Errorf("%d blocks skipped", n)
			}
		})
	}
}

func flip(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestPruning: links of log files go when the synctool has committed what they hold, and not before; the file of the committed entry stays. While the
// subtask stands still new files are linked all the same: the tablet deletes its own.
func TestPruning(t *testing.T) {
	t.Parallel()
	s := newScene(t, newWords(t, "ts", 2000), nil)
	_, last := fill(t, s.p, 0, 3)
	s.assign(2)
	s.exported(last)
	s.hold()
	words, last := fill(t, s.p, 3, 200)
	trim := func() {
		t.Helper()
		files := logsOf(t, s.p.BinlogDir())
		until(t, "all is linked", func() bool {
			u, err := s.sub().hold.usage()
			return err == nil && u.logFiles > 0 && linked(t, s, files[len(files)-1])
		})
		for _, f := range files[:len(files)-1] {
			remove(t, f)
		}
	}
	trim()
	s.tool.until("all is sent", func() bool {
		o := s.tool.subs[0].open
		return len(o) > 0 && o[len(o)-1].GetTo().GetLogIndex() == last
	})
	if first, err := s.sub().hold.first(); err != nil || first > 3 {
		t.Errorf("pruned before the commit: the links begin at %d, %v", first, err)
	}
	// Paused: the synctool refuses every attach.
	s.tool.mu.Lock()
	s.tool.refuse = func(*omsyncpb.Attach) *omsyncpb.Refused { return &omsyncpb.Refused{Reason: "paused"} }
	s.tool.mu.Unlock()
	s.c.cut()
	more, last := fill(t, s.p, 203, 200)
	trim()
	s.tool.mu.Lock()
	s.tool.refuse = nil
	s.tool.mu.Unlock()
	s.release()
	s.exported(last)
	if got := s.words()[3:]; !slices.Equal(got, append(words, more...)) {
		t.Errorf("%d rows of %d", len(got), len(words)+len(more))
	}
	until(t, "what is committed is let go of", func() bool {
		u, err := s.sub().hold.usage()
		return err == nil && u.logFiles == 1
	})
	first, err := s.sub().hold.first()
	if err != nil || first == 0 || first > last {
		t.Errorf("the links begin at %d, committed is %d: %v", first, last, err)
	}
	s.reassign(s.c, nil) // the committed entry can be compared
	_, last = fill(t, s.p, 403, 1)
	s.exported(last)
	s.unfailed()
}

// linked tells whether a tablet's file has a link of ours.
func linked(t *testing.T, s *scene, file string) bool {
	t.Helper()
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	err = filepath.WalkDir(s.sub().dir, func(_ string, de fs.DirEntry, err error) error {
		if notExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if x, err := de.Info(); err == nil && os.SameFile(x, fi) {
			found = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestFreshEntriesWait: where the partition has followers an entry is exported when it was seen for replication_settle_ms, in the plan and behind it.
func TestFreshEntriesWait(t *testing.T) {
	t.Parallel()
	const settle = 150 * time.Millisecond
	s := newScene(t, nil, func(o *Options) { o.Replication = settle })
	a := s.tab.assignment(s.p, 2)
	a.Replicas = 2
	began := time.Now()
	_, last := fill(t, s.p, 0, 3)
	s.c.mustAdd(s.tool.assign(a))
	s.exported(last)
	if d := time.Since(began); d < settle {
		t.Errorf("the plan's entries were exported after %s", d)
	}
	for n := range 3 {
		began = time.Now()
		_, last = fill(t, s.p, 3+n, 1)
		s.exported(last)
		if d := time.Since(began); d < settle {
			t.Errorf("entry %d was exported after %s", last, d)
		}
	}
}
