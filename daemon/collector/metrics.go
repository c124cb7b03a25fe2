package collector

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"omsync/rpc/omsyncpb"
	"omsync/rpc/port"
)

// metrics writes Prometheus' text format. Sums are per table where they tell tables apart: a series per partition would be too many.
func (c *Collector) metrics(w io.Writer) error {
	c.mu.Lock()
	sum, batches, holds, standing := proto.Clone(&c.sum).(*omsyncpb.Counters), c.batches, c.holds, c.standing
	c.mu.Unlock()
	m := &metricWriter{w: w}
	one := func(name, kind, help string, v uint64) {
		m.head(name, kind, help)
		m.line(name, "", v)
	}
	one("omsync_collector_registered", "gauge", "1 while this collector is registered in ZooKeeper.", truth(standing.Registered))
	one("omsync_collector_active", "gauge", "1 while this collector works for its host.", truth(c.active()))
	l, _, _ := c.up.state()
	one("omsync_collector_stream_up", "gauge", "1 while there is a stream to the leading synctool.", truth(l != nil))
	one("omsync_collector_sent_rows_total", "counter", "Rows sent.", sum.GetRows())
	one("omsync_collector_sent_bytes_total", "counter", "Row bytes sent.", sum.GetBytes())
	one("omsync_collector_batches_total", "counter", "Batches sent.", batches)
	one("omsync_collector_expired_rows_total", "counter", "Rows of checkpoints left out for their TTL.", sum.GetExpired())
	one("omsync_collector_filtered_rows_total", "counter", "Rows left out by a mode-1 start ts.", sum.GetFiltered())
	one("omsync_collector_log_deletes_total", "counter", "Delete entries passed in logs.", sum.GetDeletes())
	one("omsync_collector_log_foreign_total", "counter", "Puts without a key of index 0 passed in logs.", sum.GetForeign())
	one("omsync_collector_log_repeated_total", "counter", "Repeated log indexes skipped.", sum.GetRepeated())
	one("omsync_collector_log_holes_total", "counter", "Log indexes that the source left out.", sum.GetHoles())
	one("omsync_collector_log_skipped_blocks_total", "counter", "Damaged log blocks passed over.", sum.GetSkippedBlocks())
	one("omsync_collector_hold_bytes", "gauge", "Bytes of tablet files that only links keep alive.", uint64(holds.bytes))
	one("omsync_collector_hold_files", "gauge", "Links.", uint64(holds.files))
	one("omsync_collector_standby_holds", "gauge", "Logs held for subtasks that other collectors serve.", uint64(len(c.reg.standbys())))
	one("omsync_collector_hold_budget_bytes", "gauge", "Bound of omsync_collector_hold_bytes, 0 = none.", uint64(c.o.HoldBudget))

	states, lag, faults := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	for _, s := range c.reg.all() {
		v := s.view()
		table := "table=" + port.Label(tableName(v.GetAssignment()))
		states[table+",state="+port.Label(v.GetState())]++
		lag[table] += 0
		if f := v.GetFault(); f != nil {
			faults[table+",code="+port.Label(f.GetCode())]++
		}
		if at := v.GetCommitted(); at.GetPhase() == omsyncpb.Phase_PHASE_LOG && v.GetTailIndex() > at.GetLogIndex() {
			lag[table] += v.GetTailIndex() - at.GetLogIndex()
		}
	}
	m.all("omsync_collector_subtasks", "gauge", "Subtasks by state.", states)
	m.all("omsync_collector_faults", "gauge", "Subtasks that show a fault, by its code.", faults)
	m.all("omsync_collector_lag_entries", "gauge", "Log entries behind the committed points.", lag)
	return m.err
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

type metricWriter struct {
	w   io.Writer
	err error
}

func (m *metricWriter) all(name, kind, help string, values map[string]uint64) {
	m.head(name, kind, help)
	for _, labels := range slices.Sorted(maps.Keys(values)) {
		m.line(name, labels, values[labels])
	}
}

func (m *metricWriter) head(name, kind, help string) {
	m.printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (m *metricWriter) line(name, labels string, v uint64) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	m.printf("%s%s %d\n", name, labels, v)
}

func (m *metricWriter) printf(format string, args ...any) {
	if m.err == nil {
		_, m.err = fmt.Fprintf(m.w, format, args...)
	}
}
