package ctl

import (
	"strconv"
	"strings"
	"time"

	"omsync/tui/state"
)

// tableName splits db.table. Neither part may hold a dot: the helper splits so, too.
func tableName(s string) (db, table string, err error) {
	db, table, ok := strings.Cut(s, ".")
	if !ok || db == "" || table == "" || strings.Contains(table, ".") {
		return "", "", usage("-t %q is not db.table", s)
	}
	return db, table, nil
}

// mode reads 0, 1, 2 or upstream's name of one.
func mode(s string) (int32, error) {
	for m := range int32(3) {
		if s == strconv.Itoa(int(m)) || strings.EqualFold(s, state.ModeName(m)) {
			return m, nil
		}
	}
	return 0, usage("-m %q is no mode: 0 (FULL), 1 (INCREMENTAL_BY_TIMESTAMP) or 2 (FULL_AND_CONTINUOUS)", s)
}

// startTs reads milliseconds since 1970, an RFC 3339 time, or a time span before now: -2h, -90m, -7d.
func startTs(s string, now time.Time) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 0 {
			return 0, usage("-ts %s: milliseconds since 1970 can not be negative; for a time before now write a unit, like -2h", s)
		}
		return n, nil
	}
	var at time.Time
	if strings.HasPrefix(s, "-") {
		span, err := span(s[1:])
		if err != nil {
			return 0, usage("-ts %q: not a span before now: write -30m, -2h or -7d", s)
		}
		at = now.Add(-span)
	} else {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return 0, usage("-ts %q: neither milliseconds since 1970 (1795313021000), nor RFC 3339 (2026-11-22T10:03:41+08:00), nor a span before now (-2h)", s)
		}
		at = t
	}
	if at.UnixMilli() < 0 {
		return 0, usage("-ts %q lies before 1970", s)
	}
	return at.UnixMilli(), nil
}

// span is time.ParseDuration with days.
func span(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = strconv.ErrRange
	}
	return d, err
}

// dest checks what can be told without the cluster: an absolute path or a URI.
func dest(s string) (string, error) {
	switch {
	case s == "":
		return "", usage("-d is empty: give the destination directory")
	case !strings.HasPrefix(s, "/") && !strings.Contains(s, "://"):
		return "", usage("-d %q is not absolute: write /dir/of/table or hdfs://host:port/dir", s)
	}
	return s, nil
}

// pids reads partition numbers: 1,4,7-9.
func pids(s string) ([]uint32, error) {
	const most = 1 << 16
	var out []uint32
	for part := range strings.SplitSeq(s, ",") {
		low, high, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			high = low
		}
		a, err := strconv.ParseUint(low, 10, 32)
		b, err2 := strconv.ParseUint(high, 10, 32)
		if err != nil || err2 != nil || b < a || b-a >= most {
			return nil, usage("--pids %q: not a list of partitions: write 1,4,7-9", s)
		}
		for n := a; n <= b; n++ {
			out = append(out, uint32(n))
		}
	}
	return out, nil
}
