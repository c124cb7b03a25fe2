package dist

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"omsync/daemon/coord"
	"omsync/testenv/daemons"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md from what the daemons export")

const metricsHead = `# Metrics
What both daemons export at ` + "`/metrics`" + ` on their one port, made by ` + "`go test ./testenv/dist -run TestMonitoring -update`" + `. Series are per
table, not per partition (` + "`omsync-tui ctl status -o json`" + ` has those). Metrics of a synctool that does not lead are not there, except the first
three. Beside these there are ` + "`process_*` and `go_*`" + ` of Prometheus' own libraries. [alerts.yml](alerts.yml) has alert rules,
[grafana.json](grafana.json) a dashboard.
`

func states() []string {
	var out []string
	for _, s := range []coord.Status{coord.Init, coord.Running, coord.Reassigning, coord.Paused, coord.Success, coord.Failed} {
		out = append(out, string(s))
	}
	return out
}

// page gets a page of a daemon.
func (k *kit) page(address, path string) string {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, "http://"+address+path, nil)
	k.must(err)
	r.Close = true
	a, err := http.DefaultClient.Do(r)
	k.must(err)
	b, err := io.ReadAll(a.Body)
	k.must(err)
	k.must(a.Body.Close())
	return string(b)
}

// TestMonitoring: every metric that the alert rules and the dashboard speak of is one that the daemons export, and docs/metrics.md has them all.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	root, err := daemons.Root()
	k.must(err)
	doc := metricsHead
	var all []metric
	for _, d := range []struct{ component, address, ready string }{
		{"data_collector", k.collector, "omsync_collector_registered 1"}, {"synctool", k.synctool, "omsync_synctool_leading 1"},
	} {
		k.run(0, []string{"start", d.component}, "success")
		var page string
		k.until(d.component+" exports "+d.ready, func() bool {
			page = k.page(d.address, "/metrics")
			return strings.Contains(page, "\n"+d.ready+"\n")
		})
		problems, err := promlint.New(strings.NewReader(page)).Lint()
		k.must(err)
		for _, p := range problems {
			t.Errorf("%s: %s: %s", d.component, p.Metric, p.Text)
		}
		metrics, err := exported(page)
		k.must(err)
		all = append(all, metrics...)
		doc += "\n## " + d.component + "\n\n| metric | type | meaning |\n|---|---|---|\n"
		for _, m := range metrics {
			if strings.HasPrefix(m.name, "omsync_") {
				doc += fmt.Sprintf("| `%s` | %s | %s |\n", m.name, m.kind, m.help)
			}
		}
		k.run(0, []string{"stop", d.component}, "success")
	}
	path := filepath.Join(root, "docs", "metrics.md")
	if *update {
		k.must(os.WriteFile(path, []byte(doc), 0o644))
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != doc {
		t.Errorf("docs/metrics.md differs from what the daemons export (%v): go test ./testenv/dist -run TestMonitoring -update", err)
	}

	w := newWatch(all, states())
	text, err := os.ReadFile(filepath.Join(root, "docs", "alerts.yml"))
	k.must(err)
	alerts, err := w.rules(text)
	if err != nil || len(alerts) < 10 {
		t.Errorf("docs/alerts.yml, %d alerts: %v", len(alerts), err)
	}
	operating, err := os.ReadFile(filepath.Join(root, "docs", "operating.md"))
	k.must(err)
	for _, a := range alerts {
		if !strings.Contains(string(operating), "`"+a+"`") {
			t.Errorf("docs/operating.md does not speak of %s", a)
		}
	}
	text, err = os.ReadFile(filepath.Join(root, "docs", "grafana.json"))
	k.must(err)
	if d, err := w.grafana(text); err != nil || len(d.Panels) < 20 {
		t.Errorf("docs/grafana.json, %d panels: %v", len(d.Panels), err)
	}
}

// TestMonitoringCheckSeesMistakes: the checks of TestMonitoring turn red for what they are there for.
func TestMonitoringCheckSeesMistakes(t *testing.T) {
	t.Parallel()
	w := newWatch([]metric{{"omsync_a", "gauge", "x"}, {"omsync_h", "histogram", "x"}}, states())
	alert := func(expr, more string) string {
		return "groups: [{name: g, rules: [{alert: A, expr: '" + expr + "', labels: {severity: warning}, annotations: {summary: s, description: d}" + more + "}]}]"
	}
	for name, tc := range map[string]struct{ text, want string }{
		"good":                        {alert(`sum by (le) (rate(omsync_h_bucket[5m])) > 0 and omsync_a{state="FAILED"} == 1`, ", for: 5m"), ""},
		"no metric":                   {alert("omsync_b > 0", ""), "no daemon exports omsync_b"},
		"no PromQL":                   {alert("sum by omsync_a", ""), "parse error"},
		"no label":                    {alert(`omsync_a{tabel="x"}`, ""), "no series has a label tabel"},
		"no grouping":                 {alert("sum by (tabel) (omsync_a)", ""), "no series has a label tabel"},
		"no state":                    {alert(`omsync_a{state="BROKEN"}`, ""), "no state BROKEN"},
		"no duration":                 {alert("omsync_a", ", for: soon"), "soon"},
		"unknown key":                 {alert("omsync_a", ", four: 5m"), "four"},
		"no template":                 {strings.Replace(alert("omsync_a", ""), "summary: s", `summary: "{{ $labels.x }"`, 1), "template"},
		"no such label in a template": {strings.Replace(alert("omsync_a", ""), "summary: s", `summary: "{{ $labels.tabel }}"`, 1), "tabel"},
		"no severity":                 {strings.Replace(alert("omsync_a", ""), "warning", "mild", 1), "severity"},
	} {
		_, err := w.rules([]byte(tc.text))
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	board := func(expr, query string) string {
		return `{"title":"t","templating":{"list":[{"name":"table","type":"query","query":{"query":"` + query + `"}}]},"panels":[{"id":1,"type":"timeseries","title":"p","gridPos":{"w":8},"targets":[{"expr":"` + expr + `"}]}]}`
	}
	for name, tc := range map[string]struct{ text, want string }{
		"good":           {board(`rate(omsync_a{table=~\"$table\"}[$__rate_interval])`, "label_values(omsync_a, table)"), ""},
		"no metric":      {board("omsync_b", "label_values(omsync_a, table)"), "no daemon exports omsync_b"},
		"no query":       {board("omsync_a", "label_values(omsync_b, table)"), "variable table"},
		"other variable": {board("rate(omsync_a[$range])", "label_values(omsync_a, table)"), "parse error"},
		"no JSON":        {"{", "dashboard"},
	} {
		_, err := w.grafana([]byte(tc.text))
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := exported("# TYPE omsync_a gauge\nomsync_a 1\n"); err == nil {
		t.Error("a metric without help passes")
	}
}

// TestStatusServiceOff: enable_status_service=false of the flagfile counts for those who do not start through start.sh.
func TestStatusServiceOff(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write("conf/data_collector.flags", k.read("conf/data_collector.flags")+"--enable_status_service=false\n--openmldb_log_dir=\n")
	p, err := daemons.Start(daemons.Command{Name: "c", Path: k.path("bin/data_collector"), Args: []string{"--flagfile=conf/data_collector.flags"}, Dir: k.Dir})
	k.must(err)
	t.Cleanup(func() { k.must(p.Kill()) })
	k.until("it serves", func() bool { return serves(k.collector) })
	if got := k.page(k.collector, "/status"); strings.Contains(got, "sent 0 rows") {
		t.Errorf("/status is served: %s", got)
	}
	if got := k.page(k.collector, "/version"); !strings.Contains(got, version) {
		t.Errorf("/version: %s", got)
	}
}
