//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Enabled tells whether this binary was built with failpoints.
const Enabled = true

type arm struct {
	action string
	at     int // 0 = every hit
}

var (
	once sync.Once
	mu   sync.Mutex
	arms map[string]arm
	hits = map[string]int{}
)

// Hit acts as OMSYNC_FAILPOINTS says for this place; see the package comment.
func Hit(name string) error {
	once.Do(load)
	if len(arms) == 0 {
		return nil
	}
	mu.Lock()
	a, ok := arms[name]
	if !ok {
		mu.Unlock()
		return nil
	}
	hits[name]++
	due := a.at == 0 || hits[name] == a.at
	mu.Unlock()
	if !due {
		return nil
	}
	note(name, a.action)
	switch verb, arg, _ := strings.Cut(a.action, ":"); verb {
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "stop":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "sleep":
		d, err := time.ParseDuration(arg)
		if err != nil {
			panic(fmt.Sprintf("failpoint %s: %v", name, err))
		}
		time.Sleep(d)
	case "error":
		return fmt.Errorf("failpoint %s: %w", name, ErrInjected)
	}
	return nil
}

func note(name, action string) {
	path := os.Getenv("OMSYNC_FAILPOINTS_LOG")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s %s %d\n", name, action, os.Getpid()); err != nil {
		panic(err)
	}
}

func load() {
	var err error
	if arms, err = parse(os.Getenv("OMSYNC_FAILPOINTS")); err != nil {
		panic(err)
	}
}

func parse(spec string) (map[string]arm, error) {
	out := map[string]arm{}
	for _, one := range strings.Split(spec, ";") {
		if one == "" {
			continue
		}
		name, action, ok := strings.Cut(one, "=")
		if !ok || !slices.Contains(Names, name) {
			return nil, fmt.Errorf("OMSYNC_FAILPOINTS: %q: want name=action with a name of failpoint.Names", one)
		}
		a := arm{action: action, at: 1}
		if act, n, ok := strings.Cut(action, "@"); ok {
			a.action = act
			if n == "*" {
				a.at = 0
			} else if v, err := strconv.Atoi(n); err == nil && v > 0 {
				a.at = v
			} else {
				return nil, fmt.Errorf("OMSYNC_FAILPOINTS: %q: after @ a number from 1 or *", one)
			}
		}
		switch verb, _, _ := strings.Cut(a.action, ":"); verb {
		case "kill", "stop", "error", "sleep":
		default:
			return nil, fmt.Errorf("OMSYNC_FAILPOINTS: %q: action is kill, stop, error or sleep:<duration>", one)
		}
		out[name] = a
	}
	return out, nil
}
