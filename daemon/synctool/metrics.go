package synctool

import (
	"fmt"
	"io"
	"sort"
	"strconv"
	"time"
)

// metrics writes Prometheus' text format. Sums are per table: a series per partition would be too many.
func (s *Synctool) metrics(w io.Writer) error {
	m := &metricWriter{w: w}
	t := s.term.Load()
	m.head("omsync_synctool_leading", "gauge", "1 while this process leads.")
	leading := 0
	if t != nil {
		leading = 1
	}
	m.line("omsync_synctool_leading", "", strconv.Itoa(leading))
	m.head("omsync_synctool_spool_bytes", "gauge", "Bytes in the local spool.")
	m.line("omsync_synctool_spool_bytes", "", strconv.FormatInt(s.spool.bytes.Load(), 10))
	if t == nil {
		return m.err
	}
	m.head("omsync_synctool_epoch", "gauge", "Number of the leadership.")
	m.line("omsync_synctool_epoch", "", strconv.FormatUint(t.epoch, 10))
	m.head("omsync_synctool_mirror_errors_total", "counter", "Failed writes of the progress mirror.")
	m.line("omsync_synctool_mirror_errors_total", "", strconv.FormatInt(t.mirror.errors.Load(), 10))
	now, wall := time.Now(), t.o.Wall().UnixMilli()
	type sum struct {
		states                   map[string]int
		rows, bytes, files, back uint64
		stalled                  int
		lag                      int64
	}
	sums, names := map[string]*sum{}, []string{}
	for _, k := range t.all() {
		x := &sum{states: map[string]int{}}
		for _, v := range k.view(now, wall).GetSubtasks() {
			x.states[v.GetState()]++
			x.rows += v.GetCounters().GetRows()
			x.bytes += v.GetCounters().GetBytes()
			x.files += v.GetFiles()
			x.back += v.GetLagEntries()
			x.lag = max(x.lag, v.GetLagMs())
			if v.GetStalled() {
				x.stalled++
			}
		}
		label := "table=" + strconv.Quote(k.name())
		sums[label] = x
		names = append(names, label)
	}
	sort.Strings(names)
	m.head("omsync_synctool_subtasks", "gauge", "Subtasks by state.")
	for _, n := range names {
		states := make([]string, 0, len(sums[n].states))
		for st := range sums[n].states {
			states = append(states, st)
		}
		sort.Strings(states)
		for _, st := range states {
			m.line("omsync_synctool_subtasks", n+",state="+strconv.Quote(st), strconv.Itoa(sums[n].states[st]))
		}
	}
	each := func(name, kind, help string, value func(*sum) string) {
		m.head(name, kind, help)
		for _, n := range names {
			m.line(name, n, value(sums[n]))
		}
	}
	each("omsync_synctool_stalled", "gauge", "Running subtasks that can not go on just now.", func(x *sum) string { return strconv.Itoa(x.stalled) })
	each("omsync_synctool_rows_total", "counter", "Committed rows since the generations began.", func(x *sum) string { return strconv.FormatUint(x.rows, 10) })
	each("omsync_synctool_bytes_total", "counter", "Committed row bytes since the generations began.", func(x *sum) string { return strconv.FormatUint(x.bytes, 10) })
	each("omsync_synctool_files_total", "counter", "Committed files.", func(x *sum) string { return strconv.FormatUint(x.files, 10) })
	each("omsync_synctool_lag_entries", "gauge", "Log entries that are not committed yet.", func(x *sum) string { return strconv.FormatUint(x.back, 10) })
	each("omsync_synctool_lag_seconds", "gauge", "Age of the oldest row that is read and not committed.", func(x *sum) string { return fmt.Sprintf("%g", float64(x.lag)/1000) })
	return m.err
}

type metricWriter struct {
	w   io.Writer
	err error
}

func (m *metricWriter) head(name, kind, help string) {
	m.printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (m *metricWriter) line(name, labels, value string) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	m.printf("%s%s %s\n", name, labels, value)
}

func (m *metricWriter) printf(format string, args ...any) {
	if m.err == nil {
		_, m.err = fmt.Fprintf(m.w, format, args...)
	}
}
