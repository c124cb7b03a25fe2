package state

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"omsync/rpc/omsyncpb"
)

// Count writes a number in at most five characters: 9999, 91.2k, 5.1M, 312G.
func Count(n uint64) string {
	if n < 10_000 {
		return strconv.FormatUint(n, 10)
	}
	return scaled(float64(n), 1000, []string{"", "k", "M", "G", "T", "P", "E"})
}

// Rate writes rows per second like Count, without a fraction below 10,000.
func Rate(perSecond float64) string {
	if perSecond <= 0 {
		return "0"
	}
	if perSecond < 1 {
		return "<1"
	}
	return Count(uint64(perSecond + 0.5))
}

// Size writes bytes: 512B, 1.5KiB, 64MiB.
func Size(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + "B"
	}
	return scaled(float64(n), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"})
}

// scaled divides x until it is below base and writes it with one fraction digit below 100.
func scaled(x, base float64, units []string) string {
	i := 0
	for i < len(units)-1 && x >= base-0.5 { // what would round to 1000k is 1M
		x /= base
		i++
	}
	digits := 0
	if x < 99.95 {
		digits = 1
	}
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', digits, 64), ".0") + units[i]
}

// Age writes how long ago t was: 4s, 2m04s, 3h12m, 5d02h; "-" for never, and 0s for clocks that run ahead.
func Age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return Span(now.Sub(t))
}

// Span writes a duration in two units at most.
func Span(d time.Duration) string {
	s := int64(max(0, d).Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// Lag writes a lag in log entries; "-" where there is none to tell.
func Lag(entries *uint64) string {
	if entries == nil {
		return "-"
	}
	return Count(*entries)
}

// PhaseName is how a phase is shown.
func PhaseName(p omsyncpb.Phase) string { return strings.TrimPrefix(p.String(), "PHASE_") }

// PointText says where a partition stands.
func PointText(p *omsyncpb.Point) string {
	switch {
	case p == nil:
		return "start"
	case p.GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT && len(p.GetKey()) == 0:
		return "start"
	case p.GetPhase() == omsyncpb.Phase_PHASE_SNAPSHOT:
		return "key " + keyText(p.GetKey())
	case p.GetLogIndex() == 0:
		return "index 0"
	}
	return "index " + strconv.FormatUint(p.GetLogIndex(), 10)
}

// keyText makes a key that can hold any bytes fit into a line; the time stamp at its end is left out.
func keyText(key []byte) string {
	const most = 24
	if len(key) > 8 {
		key = key[:len(key)-8]
	}
	more := ""
	if len(key) > most {
		key, more = key[:most], "…"
	}
	return strconv.QuoteToGraphic(string(key)) + more
}

func hex64(v uint64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", v)
}

func at(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// stamp writes milliseconds since 1970 as RFC 3339 in UTC, empty for none.
func stamp(ms int64) string {
	if ms <= 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
