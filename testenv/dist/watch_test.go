package dist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// metric is one that a daemon exports.
type metric struct{ name, kind, help string }

// exported reads the HELP and TYPE lines of a /metrics page. They stand there before there is any task, series with labels do not.
func exported(page string) (out []metric, err error) {
	help := map[string]string{}
	for _, l := range strings.Split(page, "\n") {
		f := strings.SplitN(l, " ", 4)
		switch {
		case len(f) == 4 && f[1] == "HELP":
			help[f[2]] = f[3]
		case len(f) == 4 && f[1] == "TYPE":
			if help[f[2]] == "" {
				return nil, fmt.Errorf("metric %s has no help", f[2])
			}
			out = append(out, metric{f[2], f[3], help[f[2]]})
		}
	}
	return out, nil
}

// watch checks expressions against what is exported.
type watch struct {
	names  map[string]bool
	states []string
}

// Labels that omsync's series have, and those that Prometheus adds when it scrapes.
var labelNames = []string{"table", "state", "code", "method", "protocol", "kind", "le", "version", "instance", "job"}

func newWatch(metrics []metric, states []string) *watch {
	w := &watch{names: map[string]bool{"up": true}, states: states}
	for _, m := range metrics {
		w.names[m.name] = true
		if m.kind == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				w.names[m.name+suffix] = true
			}
		}
	}
	return w
}

// expr checks one PromQL expression: it parses, and its metrics, labels and states are such as there are.
func (w *watch) expr(text string) error {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%q: "+format, append([]any{text}, args...)...))
	}
	label := func(name string) {
		if !slices.Contains(labelNames, name) {
			bad("no series has a label %s", name)
		}
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			if !w.names[n.Name] {
				bad("no daemon exports %s", n.Name)
			}
			for _, m := range n.LabelMatchers {
				if m.Name == model.MetricNameLabel {
					continue
				}
				label(m.Name)
				if m.Name == "state" && !slices.Contains(w.states, m.Value) {
					bad("there is no state %s", m.Value)
				}
			}
		case *parser.AggregateExpr:
			for _, g := range n.Grouping {
				label(g)
			}
		}
		return nil
	})
	return errors.Join(errs...)
}

// ruleFile is Prometheus' format of rule files, as far as alerts use it.
type ruleFile struct {
	Groups []struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval"`
		Rules    []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	For           string            `yaml:"for"`
	KeepFiringFor string            `yaml:"keep_firing_for"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`
}

// rules checks a file of alert rules and returns the alerts' names.
func (w *watch) rules(text []byte) (names []string, err error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true) // as promtool reads it
	var f ruleFile
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("alert rules: %w", err)
	}
	var errs []error
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || slices.Contains(names, r.Alert) {
				errs = append(errs, fmt.Errorf("alert %q: no name, or one that is taken", r.Alert))
			}
			names = append(names, r.Alert)
			if err := w.rule(r); err != nil {
				errs = append(errs, fmt.Errorf("alert %s: %w", r.Alert, err))
			}
		}
	}
	return names, errors.Join(errs...)
}

func (w *watch) rule(r rule) error {
	errs := []error{w.expr(r.Expr)}
	for _, d := range []string{r.For, r.KeepFiringFor} {
		if d == "" {
			continue
		}
		if _, err := model.ParseDuration(d); err != nil {
			errs = append(errs, err)
		}
	}
	if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
		errs = append(errs, fmt.Errorf("severity %q", r.Labels["severity"]))
	}
	for _, name := range []string{"summary", "description"} {
		if r.Annotations[name] == "" {
			errs = append(errs, fmt.Errorf("no %s", name))
		}
	}
	for _, text := range r.Annotations {
		// Prometheus puts these two before each template, and has these functions.
		t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{
			"humanize": func(v float64) string { return fmt.Sprint(v) }, "humanize1024": func(v float64) string { return fmt.Sprint(v) },
			"humanizeDuration": func(v float64) string { return fmt.Sprint(v) },
		}).Parse("{{$labels := .Labels}}{{$value := .Value}}" + text)
		if err == nil {
			labels := map[string]string{}
			for _, l := range labelNames {
				labels[l] = l
			}
			err = t.Execute(&bytes.Buffer{}, map[string]any{"Labels": labels, "Value": 1.0})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("template %q: %w", text, err))
		}
	}
	return errors.Join(errs...)
}

// dashboard is what is checked of a Grafana dashboard.
type dashboard struct {
	Title      string  `json:"title"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name  string          `json:"name"`
			Type  string          `json:"type"`
			Query json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID      int                      `json:"id"`
	Type    string                   `json:"type"`
	Title   string                   `json:"title"`
	GridPos struct{ X, Y, W, H int } `json:"gridPos"`
	Targets []struct{ Expr string }  `json:"targets"`
}

// grafana checks a dashboard: its expressions, its query variable, its ids.
func (w *watch) grafana(text []byte) (d dashboard, err error) {
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("dashboard: %w", err)
	}
	var errs []error
	known := map[string]bool{"$__rate_interval": true}
	for _, v := range d.Templating.List {
		known["$"+v.Name] = true
		if v.Type != "query" {
			continue
		}
		var q struct{ Query string }
		if err := json.Unmarshal(v.Query, &q); err != nil {
			errs = append(errs, fmt.Errorf("variable %s: %w", v.Name, err))
			continue
		}
		args, ok := strings.CutPrefix(strings.TrimSuffix(q.Query, ")"), "label_values(")
		name, label, two := strings.Cut(args, ", ")
		if !ok || !two || !w.names[name] || !slices.Contains(labelNames, label) {
			errs = append(errs, fmt.Errorf("variable %s: %q", v.Name, q.Query))
		}
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			errs = append(errs, fmt.Errorf("panel %d %q: id, title, place or targets", p.ID, p.Title))
		}
		ids[p.ID] = true
		for _, t := range p.Targets {
			e := t.Expr
			for v := range known {
				e = strings.ReplaceAll(e, v, map[bool]string{true: "5m", false: ".*"}[v == "$__rate_interval"])
			}
			if err := w.expr(e); err != nil {
				errs = append(errs, fmt.Errorf("panel %q: %w", p.Title, err))
			}
		}
	}
	return d, errors.Join(errs...)
}
