package dest

import (
	"math"
	"time"
)

// appendDate writes a DATE, ((year-1900)<<16) | ((month-1)<<8) | day, as yyyy-MM-dd. Days and months that do not exist roll over.
func appendDate(dst []byte, raw int64) []byte {
	year, month, day := int(raw>>16)+1900, int(raw>>8)&0xff+1, int(raw)&0xff
	if month > 12 || day < 1 || day > 28 {
		t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
		year, month, day = t.Year(), int(t.Month()), t.Day()
	}
	return appendDay(dst, year, month, day)
}

func appendDay(dst []byte, year, month, day int) []byte {
	if year < 0 {
		dst, year = append(dst, '-'), -year
	}
	dst = append(appendPadded(dst, year, 4), '-')
	dst = append(appendTwo(dst, month), '-')
	return appendTwo(dst, day)
}

const daySeconds = 86400

// clock writes timestamps in one time zone. It remembers the span in which the zone's offset holds, and the last day.
type clock struct {
	loc            *time.Location
	from, to, east int64 // seconds; the offset holds for from ≤ t < to
	day            int64 // since 1970-01-01, of text
	text           [16]byte
	textLen        int
}

// append writes ms since the epoch as yyyy-MM-dd HH:mm:ss.f: one to three digits, zeros at the end cut.
func (c *clock) append(dst []byte, ms int64) []byte {
	sec, frac := ms/1000, int(ms%1000)
	if frac < 0 {
		sec, frac = sec-1, frac+1000
	}
	if sec < c.from || sec >= c.to {
		c.enter(sec)
	}
	sec += c.east
	day, rest := sec/daySeconds, int(sec%daySeconds)
	if rest < 0 {
		day, rest = day-1, rest+daySeconds
	}
	if day != c.day || c.textLen == 0 {
		t := time.Unix(day*daySeconds, 0).UTC()
		c.day, c.textLen = day, len(appendDay(c.text[:0], t.Year(), int(t.Month()), t.Day()))
	}
	dst = append(append(dst, c.text[:c.textLen]...), ' ')
	dst = append(appendTwo(dst, rest/3600), ':')
	dst = append(appendTwo(dst, rest/60%60), ':')
	dst = append(appendTwo(dst, rest%60), '.', byte('0'+frac/100))
	if frac%100 != 0 {
		dst = append(dst, byte('0'+frac/10%10))
		if frac%10 != 0 {
			dst = append(dst, byte('0'+frac%10))
		}
	}
	return dst
}

func (c *clock) enter(sec int64) {
	t := time.Unix(sec, 0).In(c.loc)
	_, east := t.Zone()
	from, to := t.ZoneBounds()
	c.from, c.to, c.east = math.MinInt64, math.MaxInt64, int64(east)
	if !from.IsZero() {
		c.from = from.Unix()
	}
	if !to.IsZero() {
		c.to = to.Unix()
	}
}
