//go:build rocksdb

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage of one process so far.
type usage struct {
	cpu  time.Duration // user and system
	peak int64         // bytes: the most that was resident
}

// ticks per second of the times in /proc, the same on every Linux.
const ticks = 100

// usageOf reads /proc.
func usageOf(pid int) (u usage, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name may hold spaces
	for _, at := range []int{11, 12} {
		if at >= len(fields) {
			return u, fmt.Errorf("processor time of process %d: /proc says %q", pid, b)
		}
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return u, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		u.cpu += time.Duration(n) * time.Second / ticks
	}
	if b, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err != nil {
		return u, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(b)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			if err != nil {
				return u, fmt.Errorf("memory of process %d: %w", pid, err)
			}
			u.peak = n << 10
		}
	}
	return u, nil
}
