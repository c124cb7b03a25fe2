package conf

import (
	"fmt"
	"strings"
)

// Flagfile renders keys as a documented gflags flagfile, the shipped conf/data_collector.flags.
func Flagfile(list []Key) string {
	return render(list, "# Conf of the omsync data_collector: a gflags flagfile, --name=value.\n", "# and the flags of brpc, glog and gflags.\n", func(name, value string) string { return "--" + name + "=" + value })
}

// Properties renders keys as a documented Java properties file, the shipped conf/synctool.properties.
func Properties(list []Key) string {
	return render(list, "# Conf of the omsync synctool: Java properties, key=value.\n", "", func(name, value string) string { return name + "=" + value })
}

func render(list []Key, head, tail string, line func(name, value string) string) string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("# Every key is listed; a line that is commented out shows the default. docs/configuration.md has the same as a table.\n")
	ignored := false
	for _, k := range list {
		if k.Ignored != "" && k.Shipped == "" {
			ignored = true
			continue
		}
		b.WriteString("\n")
		help := k.Help
		if k.Unit != "" {
			help += " (" + k.Unit + ")"
		}
		if k.Ignored != "" {
			help += " Accepted without effect: " + k.Ignored + "."
		}
		for _, l := range wrap(help, 118) {
			fmt.Fprintf(&b, "# %s\n", l)
		}
		if k.Shipped != "" {
			b.WriteString(line(k.Name, k.Shipped) + "\n")
		} else {
			b.WriteString("#" + line(k.Name, k.Default) + "\n")
		}
	}
	if ignored {
		b.WriteString("\n# Upstream's other keys are accepted with a warning and have no effect here:\n# ")
		var names []string
		for _, k := range list {
			if k.Ignored != "" && k.Shipped == "" {
				names = append(names, k.Name)
			}
		}
		b.WriteString(strings.Join(wrap(strings.Join(names, " "), 118), "\n# ") + "\n")
		b.WriteString(tail)
	}
	return b.String()
}

func wrap(s string, width int) []string {
	var out []string
	line := ""
	for _, w := range strings.Fields(s) {
		if line != "" && len(line)+1+len(w) > width {
			out, line = append(out, line), ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(out, line)
}

// Markdown renders keys as the rows of docs/configuration.md.
func Markdown(list []Key) string {
	var b strings.Builder
	b.WriteString("| key | default | unit | whose | meaning |\n|---|---|---|---|---|\n")
	for _, k := range list {
		whose, def, help := "omsync", k.Default, k.Help
		if k.Upstream {
			whose = "OpenMLDB"
		}
		switch {
		case k.Required && def == "":
			def = "required"
		case def == "":
			def = "empty"
		default:
			def = "`" + def + "`"
		}
		if k.Shipped != "" && k.Shipped != k.Default {
			def += " (shipped `" + k.Shipped + "`)"
		}
		if k.Ignored != "" {
			help += " *Accepted without effect: " + k.Ignored + ".*"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, def, k.Unit, whose, strings.ReplaceAll(help, "|", "\\|"))
	}
	return b.String()
}
