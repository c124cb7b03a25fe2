package port

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// metricsPage writes the port's own metrics in Prometheus' text format, then the daemon's.
func (s *Server) metricsPage(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	s.writeMetrics(&b)
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
				fmt.Fprintf(b, "omsync_rpc_calls_total{method=%s,protocol=%q} %d\n", label(m.name), p, n)
			}
		}
	}
	head("omsync_rpc_errors_total", "counter", "Calls that ended in an error, by method and protocol.")
	for _, m := range methods {
		for p := range protocols {
			if m.calls[p].Load() > 0 {
				fmt.Fprintf(b, "omsync_rpc_errors_total{method=%s,protocol=%q} %d\n", label(m.name), p, m.errors[p].Load())
			}
		}
	}
	head("omsync_rpc_running", "gauge", "Calls at work, by method.")
	for _, m := range methods {
		fmt.Fprintf(b, "omsync_rpc_running{method=%s} %d\n", label(m.name), m.running.Load())
	}
	head("omsync_rpc_seconds", "histogram", "Duration of calls, by method.")
	for _, m := range methods {
		var n uint64
		for i := range slots - 1 {
			n += m.latency[i].Load()
			fmt.Fprintf(b, "omsync_rpc_seconds_bucket{method=%s,le=\"%g\"} %d\n", label(m.name), bound(i).Seconds(), n)
		}
		n += m.latency[slots-1].Load()
		fmt.Fprintf(b, "omsync_rpc_seconds_bucket{method=%s,le=\"+Inf\"} %d\n", label(m.name), n)
		fmt.Fprintf(b, "omsync_rpc_seconds_sum{method=%s} %g\n", label(m.name), float64(m.nanos.Load())/1e9)
		fmt.Fprintf(b, "omsync_rpc_seconds_count{method=%s} %d\n", label(m.name), n)
	}
	head("omsync_rpc_refused_total", "counter", "Frames, messages and connections turned away, by kind.")
	for _, r := range s.calls.refusals() {
		fmt.Fprintf(b, "omsync_rpc_refused_total{kind=%s} %d\n", label(r.kind), r.n)
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

// label quotes a label's value.
func label(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(v) + `"`
}
