package synctool

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"time"

	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
	"omsync/rpc/port"
)

// metrics writes Prometheus' text format. Sums are per table: a series per partition would be too many.
func (s *Synctool) metrics(w io.Writer) error {
	m := &metricWriter{w: w}
	t := s.term.Load()
	leading := 0
	if t != nil {
		leading = 1
	}
	m.one("omsync_synctool_leading", "gauge", "1 while this process leads; the metrics below it are the leader's.", leading)
	m.one("omsync_synctool_spool_bytes", "gauge", "Bytes in the local spool.", s.spool.bytes.Load())
	m.one("omsync_synctool_spool_max_bytes", "gauge", "Bound of omsync_synctool_spool_bytes (spool.max_bytes).", s.spool.max)
	if t == nil {
		return m.err
	}
	m.one("omsync_synctool_epoch", "gauge", "Number of the leadership.", t.epoch)
	m.one("omsync_synctool_streams", "gauge", "Collectors that are connected.", t.streams())
	m.one("omsync_synctool_mirror_errors_total", "counter", "Failed writes of the progress mirror.", t.mirror.errors.Load())
	now, wall := time.Now(), t.o.Wall().UnixMilli()
	var sums []*tableSum
	for _, k := range t.all() {
		sums = append(sums, k.sum(now, wall))
	}
	sort.Slice(sums, func(i, j int) bool { return sums[i].label < sums[j].label })
	m.head("omsync_synctool_subtasks", "gauge", "Subtasks by state.")
	for _, x := range sums {
		for _, st := range slices.Sorted(maps.Keys(x.states)) {
			m.line("omsync_synctool_subtasks", x.label+",state="+port.Label(st), x.states[st])
		}
	}
	each := func(name, kind, help string, value func(*tableSum) any) {
		m.head(name, kind, help)
		for _, x := range sums {
			m.line(name, x.label, value(x))
		}
	}
	each("omsync_synctool_stalled", "gauge", "Running subtasks that can not go on just now.", func(x *tableSum) any { return x.stalled })
	each("omsync_synctool_stalls_total", "counter", "How often subtasks began to stall, or stalled for another reason.", func(x *tableSum) any { return x.stalls })
	each("omsync_synctool_rows_total", "counter", "Committed rows since the generations began.", func(x *tableSum) any { return x.rows })
	each("omsync_synctool_bytes_total", "counter", "Committed row bytes since the generations began.", func(x *tableSum) any { return x.bytes })
	each("omsync_synctool_commits_total", "counter", "Decided segments.", func(x *tableSum) any { return x.commits })
	each("omsync_synctool_files_total", "counter", "Committed files.", func(x *tableSum) any { return x.files })
	each("omsync_synctool_lag_entries", "gauge", "Log entries that are not committed yet.", func(x *tableSum) any { return x.entries })
	each("omsync_synctool_lag_seconds", "gauge", "Age of the oldest row that is read and not committed.", func(x *tableSum) any { return float64(x.oldest) / 1000 })
	each("omsync_synctool_commit_age_seconds", "gauge", "Time since the last commit, or since the task was created, of the subtask for which that is longest, of those that are behind; 0 when none is.",
		func(x *tableSum) any { return float64(x.age) / 1000 })
	return m.err
}

// tableSum is one table's figures.
type tableSum struct {
	label                                        string
	states                                       map[string]int
	rows, bytes, files, commits, entries, stalls uint64
	stalled                                      int
	oldest, age                                  int64 // ms
}

func (k *task) sum(now time.Time, wall int64) *tableSum {
	x := &tableSum{label: "table=" + port.Label(k.name()), states: map[string]int{}}
	for _, st := range []coord.Status{coord.Init, coord.Running, coord.Reassigning, coord.Paused, coord.Success, coord.Failed} {
		x.states[string(st)] = 0 // a series that is not there is no 0 to Prometheus
	}
	for _, s := range k.subs {
		v := s.view(now, wall)
		x.states[v.GetState()]++
		x.rows += v.GetCounters().GetRows()
		x.bytes += v.GetCounters().GetBytes()
		x.files += v.GetFiles()
		x.commits += s.rec.get().Seq
		x.entries += v.GetLagEntries()
		x.oldest = max(x.oldest, v.GetLagMs())
		if v.GetStalled() {
			x.stalled++
		}
		s.mu.Lock()
		x.stalls += s.live.stalls
		s.mu.Unlock()
		if behind(v) {
			x.age = max(x.age, wall-max(v.GetCommittedMs(), k.spec.CreatedMs))
		}
	}
	return x
}

// behind tells whether something is there to be committed. Up to the end of the backlog there always is.
func behind(v *omsyncpb.SubtaskView) bool {
	switch v.GetPoint().GetPhase() {
	case omsyncpb.Phase_PHASE_DONE:
		return false
	case omsyncpb.Phase_PHASE_LOG:
		return v.GetLagEntries() > 0 || v.GetLagMs() > 0
	}
	return v.GetState() != string(coord.Success)
}

// streams counts the connected collectors.
func (t *term) streams() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.links)
}

type metricWriter struct {
	w   io.Writer
	err error
}

func (m *metricWriter) one(name, kind, help string, value any) {
	m.head(name, kind, help)
	m.line(name, "", value)
}

func (m *metricWriter) head(name, kind, help string) {
	m.printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (m *metricWriter) line(name, labels string, value any) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	m.printf("%s%s %v\n", name, labels, value)
}

func (m *metricWriter) printf(format string, args ...any) {
	if m.err == nil {
		_, m.err = fmt.Fprintf(m.w, format, args...)
	}
}
