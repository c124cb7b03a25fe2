package port

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// newProcessMetrics gathers what Prometheus' own libraries tell of a process: memory, CPU time, descriptors, goroutines.
func newProcessMetrics() prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return r
}

// metricsPage writes the port's own metrics in Prometheus' text format, then the process's, then the daemon's.
func (s *Server) metricsPage(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	s.writeMetrics(&b)
	fmt.Fprintf(&b, "# HELP omsync_build_info 1, with the version as a label.\n# TYPE omsync_build_info gauge\nomsync_build_info{version=%s} 1\n", Label(s.opts.Pages.Version))
	fmt.Fprintf(&b, "# HELP omsync_health_problems Lines that /health shows; 0 = healthy.\n# TYPE omsync_health_problems gauge\nomsync_health_problems %d\n",
		len(s.problems(r.Context())))
	families, err := s.gather.Gather()
	for _, f := range families {
		if _, werr := expfmt.MetricFamilyToText(&b, f); werr != nil {
			err = errors.Join(err, werr)
		}
	}
	if err != nil {
		http.Error(w, "metrics of the process: "+err.Error(), http.StatusInternalServerError)
		return
	}
	if s.opts.Pages.Metrics != nil {
		if err := s.opts.Pages.Metrics(&b); err != nil {
			http.Error(w, "metrics: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(b.Bytes())
}

func (s *Server) writeMetrics(b *bytes.Buffer) {
	head := func(name, kind, help string) { fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	methods := s.calls.sorted()

	head("omsync_rpc_calls_total", "counter", "Calls begun, by method and protocol.")
	for _, m := range methods {
		for p := range protocols {
			if n := m.calls[p].Load(); n > 0 {
				fmt.Fprintf(b, "omsync_rpc_calls_total{method=%s,protocol=%q} %d\n", Label(m.name), p, n)
			}
		}
	}
	head("omsync_rpc_errors_total", "counter", "Calls that ended in an error, by method and protocol.")
	for _, m := range methods {
		for p := range protocols {
			if m.calls[p].Load() > 0 {
				fmt.Fprintf(b, "omsync_rpc_errors_total{method=%s,protocol=%q} %d\n", Label(m.name), p, m.errors[p].Load())
			}
		}
	}
	head("omsync_rpc_running", "gauge", "Calls at work, by method.")
	for _, m := range methods {
		fmt.Fprintf(b, "omsync_rpc_running{method=%s} %d\n", Label(m.name), m.running.Load())
	}
	head("omsync_rpc_seconds", "histogram", "Duration of calls, by method.")
	for _, m := range methods {
		var n uint64
		for i := range slots - 1 {
			n += m.latency[i].Load()
			fmt.Fprintf(b, "omsync_rpc_seconds_bucket{method=%s,le=\"%g\"} %d\n", Label(m.name), bound(i).Seconds(), n)
		}
		n += m.latency[slots-1].Load()
		fmt.Fprintf(b, "omsync_rpc_seconds_bucket{method=%s,le=\"+Inf\"} %d\n", Label(m.name), n)
		fmt.Fprintf(b, "omsync_rpc_seconds_sum{method=%s} %g\n", Label(m.name), float64(m.nanos.Load())/1e9)
		fmt.Fprintf(b, "omsync_rpc_seconds_count{method=%s} %d\n", Label(m.name), n)
	}
	head("omsync_rpc_refused_total", "counter", "Frames, messages and connections turned away, by kind.")
	for _, r := range s.calls.refusals() {
		fmt.Fprintf(b, "omsync_rpc_refused_total{kind=%s} %d\n", Label(r.kind), r.n)
	}
	for _, g := range []struct {
		name, kind, help string
		value            int64
	}{
		{"omsync_rpc_connections", "gauge", "Open connections.", int64(s.doors.count())},
		{"omsync_rpc_inflight_bytes", "gauge", "Bytes in flight.", s.process.Used()},
		{"omsync_rpc_inflight_bytes_max", "gauge", "Cap on bytes in flight.", s.process.Cap()},
		{"omsync_rpc_panics_total", "counter", "Handlers that panicked.", int64(s.calls.panics.Load())},
		{"omsync_rpc_abandoned_total", "counter", "Calls whose handler slept through its deadline.", int64(s.calls.abandoned.Load())},
		{"omsync_rpc_unknown_paths_total", "counter", "HTTP requests for something that is not there.", int64(s.calls.unknown.Load())},
	} {
		head(g.name, g.kind, g.help)
		fmt.Fprintf(b, "%s %d\n", g.name, g.value)
	}
}

// Label quotes a label's value for Prometheus' text format.
func Label(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(v) + `"`
}
