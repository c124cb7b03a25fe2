package dest

import (
	"math"
	"strconv"
)

// appendFloat writes a float (single) or double as upstream's Java does: plain for 1e-3 ≤ |v| < 1e7 with at least one decimal, d.dddE[-]n otherwise
// (docs/formats.md §8).
func (d *digits) appendFloat(dst []byte, v float64, single bool) []byte {
	switch {
	case v != v:
		return append(dst, "NaN"...)
	case math.Signbit(v):
		dst = append(dst, '-')
		v = -v
	}
	switch {
	case v == 0:
		return append(dst, "0.0"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case single:
		d.float(float32(v))
	default:
		d.double(v)
	}
	text := d.text[:d.n]
	switch {
	case d.exp > 0 && d.exp < 8:
		for i := range d.exp {
			if i < len(text) {
				dst = append(dst, text[i])
			} else {
				dst = append(dst, '0')
			}
		}
		dst = append(dst, '.')
		if len(text) > d.exp {
			return append(dst, text[d.exp:]...)
		}
		return append(dst, '0')
	case d.exp <= 0 && d.exp > -3:
		dst = append(dst, '0', '.')
		for range -d.exp {
			dst = append(dst, '0')
		}
		return append(dst, text...)
	}
	dst = append(dst, text[0], '.')
	if len(text) > 1 {
		dst = append(dst, text[1:]...)
	} else {
		dst = append(dst, '0')
	}
	dst = append(dst, 'E')
	return strconv.AppendInt(dst, int64(d.exp-1), 10)
}

// appendPadded writes v ≥ 0 with at least so many digits.
func appendPadded(dst []byte, v, digits int) []byte {
	for least := pow10(digits - 1); least > 1 && v < least; least /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(v), 10)
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

func appendTwo(dst []byte, v int) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) }
