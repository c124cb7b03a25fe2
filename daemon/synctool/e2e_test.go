package synctool

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"omsync/rpc/omsyncpb"
)

// TestFullExport: mode 0 ends in SUCCESS, leaves _SUCCESS and a record, and goes away.
func TestFullExport(t *testing.T) {
	for name, remote := range map[string]bool{"local": false, "remote": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.remote = remote
			data := simTable{0: newSimData(0, 900, 40), 1: newSimData(1, 0, 0), 2: newSimData(2, 300, 0), 3: newSimData(3, 0, 70)}
			k.z.table("db", "t", 7, "h1:1", "h1:1", "h2:1", "h2:1")
			k.tool()
			k.collector("h1:9", data)
			k.collector("h2:9", data)
			k.create(modeFull)
			k.eventually("the task goes away", func() bool {
				k.z.mu.Lock()
				defer k.z.mu.Unlock()
				return len(k.z.tasks) == 0 && len(k.z.finished) == 1
			})
			k.holds(data, false)

			b, err := os.ReadFile(filepath.Join(k.dest("out"), success))
			if err != nil {
				t.Fatal(err)
			}
			var e ending
			if err := json.Unmarshal(b, &e); err != nil {
				t.Fatal(err)
			}
			if e.Rows != 1310 || len(e.Partitions) != 4 || e.Partitions[0].Rows != 940 || e.Partitions[1].Rows != 0 {
				t.Errorf("_SUCCESS says %+v", e)
			}
			for _, p := range e.Partitions {
				for _, f := range p.Files {
					if _, err := os.Stat(filepath.Join(k.dest("out"), f)); err != nil {
						t.Errorf("_SUCCESS names a file that is not there: %v", err)
					}
				}
			}
			l, err := k.api().List(t.Context(), &omsyncpb.ListRequest{Finished: true})
			if err != nil || len(l.GetTasks()) != 1 || l.GetTasks()[0].GetState() != "SUCCESS" || l.GetTasks()[0].GetEndedMs() == 0 {
				t.Errorf("finished tasks: %v, %v", l, err)
			}
			k.eventually("nothing is left below _omsync", func() bool {
				left := 0
				for _, dir := range []string{stageDir, stateDir} {
					entries, _ := os.ReadDir(filepath.Join(k.dest("out"), dir))
					left += len(entries)
				}
				_, err := os.Stat(filepath.Join(k.dest("out"), ownerFile))
				return left == 0 && os.IsNotExist(err)
			})
		})
	}
}

// TestContinuousThroughRestarts: rows keep coming while the synctool is stopped in order, loses its lead, and collectors are killed.
func TestContinuousThroughRestarts(t *testing.T) {
	for name, remote := range map[string]bool{"local": false, "remote": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.remote = remote
			data := simTable{0: newSimData(0, 2000, 100), 1: newSimData(1, 500, 0), 2: newSimData(2, 0, 0)}
			k.z.table("db", "t", 7, "h1:1", "h1:1", "h2:1")
			k.tool()
			a := k.collector("h1:9", data)
			k.collector("h2:9", data)
			k.create(modeFullContinuous)
			for round := range 6 {
				for pid, d := range data {
					d.grow(int(pid), 300)
				}
				time.Sleep(time.Duration(20+30*round) * time.Millisecond)
				switch round % 3 {
				case 0:
					if err := k.leader().stop(); err != nil {
						t.Fatal(err)
					}
					k.tool()
				case 1:
					k.z.expire()
				case 2:
					a.stop()
					a.start()
				}
				k.eventually("somebody leads", func() bool { return k.leader() != nil })
			}
			k.holds(data, true)
			for pid := range data {
				k.status(pid, "RUNNING")
			}
		})
	}
}

// TestStandbyTakesOver: the second synctool stands by, names the leader, and goes on when it is gone.
func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	data := simTable{0: newSimData(0, 400, 10)}
	k.z.table("db", "t", 7, "h1:1")
	first := k.tool()
	k.eventually("the first leads", func() bool { return k.leader() == first })
	second := k.tool()
	k.collector("h1:9", data)
	k.create(modeFullContinuous)
	k.status(0, "RUNNING")

	addr, _ := second.Addr(t.Context())
	_, err := k.dial(addr).List(t.Context(), &omsyncpb.ListRequest{})
	wantFault(t, err, "FailedPrecondition", "not-leading", first.cluster.addr)

	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	k.eventually("the standby leads", func() bool { return k.leader() == second })
	data[0].grow(0, 500)
	k.holds(data, true)
	if k.z.epoch != 2 {
		t.Errorf("epoch %d after one takeover", k.z.epoch)
	}
}
