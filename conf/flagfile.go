package conf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxFlagfiles bounds --flagfile inclusion, so that a file that names itself ends in an error.
const maxFlagfiles = 16

// parseArgs reads gflags-style arguments: --name=value, -name=value, --name value, --bool, --nobool and --flagfile=FILE,
// which stands for the lines of FILE at this place (formats.md §9.1). isBool tells names that may stand without a value.
func parseArgs(args []string, isBool func(string) bool, depth int) ([]assignment, error) {
	var out []assignment
	for i := 0; i < len(args); i++ {
		a, rest, err := parseFlag("command line", 0, args[i], isBool)
		if err != nil {
			return nil, err
		}
		if rest { // value in the next argument
			if i+1 == len(args) {
				return nil, &Error{"command line", 0, a.key, "a value must follow"}
			}
			i++
			a.value = args[i]
		}
		if a.key != "flagfile" {
			out = append(out, a)
			continue
		}
		more, err := readFlagfile(a.value, isBool, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// parseFlag reads one flag; rest says that its value is the next argument.
func parseFlag(source string, line int, s string, isBool func(string) bool) (a assignment, rest bool, err error) {
	name, ok := strings.CutPrefix(s, "--")
	if !ok {
		name, ok = strings.CutPrefix(s, "-")
	}
	if !ok || name == "" {
		return a, false, &Error{source, line, "", fmt.Sprintf("%q is not a flag: write --name=value", s)}
	}
	key, value, has := strings.Cut(name, "=")
	a = assignment{source, line, strings.TrimSpace(key), strings.TrimSpace(value)}
	switch {
	case has:
	case isBool(a.key):
		a.value = "true"
	case strings.HasPrefix(a.key, "no") && isBool(a.key[2:]):
		a.key, a.value = a.key[2:], "false"
	default:
		rest = true
	}
	return a, rest, nil
}

func readFlagfile(path string, isBool func(string) bool, depth int) ([]assignment, error) {
	if depth > maxFlagfiles {
		return nil, &Error{path, 0, "flagfile", fmt.Sprintf("more than %d flagfiles name each other: remove the circle", maxFlagfiles)}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read flagfile %s: %w", path, err)
	}
	var out []assignment
	for n, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(strings.TrimSuffix(line, "\r"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		a, rest, err := parseFlag(path, n+1, line, isBool)
		if err != nil {
			return nil, err
		}
		if rest {
			return nil, &Error{path, n + 1, a.key, "a value must follow: write --" + a.key + "=value"}
		}
		if a.key == "flagfile" {
			if !filepath.IsAbs(a.value) {
				a.value = filepath.Join(filepath.Dir(path), a.value)
			}
			more, err := readFlagfile(a.value, isBool, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		}
		out = append(out, a)
	}
	return out, nil
}
