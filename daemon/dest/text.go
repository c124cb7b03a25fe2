package dest

import (
	"bytes"
	"unicode/utf8"
)

// plain marks the bytes that upstream's text leaves as they are.
var plain = func() (t [256]bool) {
	for b := 0x20; b <= 0x7f; b++ {
		t[b] = b != '"' && b != '\\' && b != '/'
	}
	return t
}()

// appendEscaped writes a string as upstream does: JSON's escapes, "/" among them, and everything beyond ASCII as \uXXXX. Bytes that are no UTF-8 become
// U+FFFD, as many as Java makes of them.
func appendEscaped(dst, s []byte) []byte {
	for len(s) > 0 {
		n := 0
		for n < len(s) && plain[s[n]] {
			n++
		}
		dst, s = append(dst, s[:n]...), s[n:]
		if len(s) == 0 {
			break
		}
		if b := s[0]; b < utf8.RuneSelf {
			dst, s = appendASCII(dst, b), s[1:]
			continue
		}
		r, n := decode(s)
		s = s[n:]
		if r > 0xffff {
			r -= 0x10000
			dst = appendU(dst, 0xd800+r>>10)
			r = 0xdc00 + r&0x3ff
		}
		dst = appendU(dst, r)
	}
	return dst
}

func appendASCII(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\', '/':
		return append(dst, '\\', b)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return appendU(dst, rune(b))
}

const hexDigits = "0123456789ABCDEF"

func appendU(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// decode reads one character that is not ASCII. Of bytes that are none it takes as many for one U+FFFD as Java's String does: the longest beginning of
// a character, and a whole surrogate of three bytes.
func decode(s []byte) (r rune, n int) {
	if r, n = utf8.DecodeRune(s); r != utf8.RuneError || n > 1 {
		return r, n
	}
	at := func(i int, from, to byte) bool { return i < len(s) && s[i] >= from && s[i] <= to }
	switch b := s[0]; {
	case b == 0xe0:
		n = 1 + count(at(1, 0xa0, 0xbf))
	case b == 0xed && at(1, 0xa0, 0xbf):
		n = 2 + count(at(2, 0x80, 0xbf))
	case b > 0xe0 && b <= 0xef:
		n = 1 + count(at(1, 0x80, 0xbf))
	case b >= 0xf0 && b <= 0xf4:
		low, high := byte(0x80), byte(0xbf)
		if b == 0xf0 {
			low = 0x90
		}
		if b == 0xf4 {
			high = 0x8f
		}
		if at(1, low, high) {
			n = 2 + count(at(2, 0x80, 0xbf))
		}
	}
	return utf8.RuneError, n
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// appendDoubled writes a string as RFC 4180 does: as it is, quotes doubled. Bytes that are no UTF-8 become U+FFFD, so that the file stays text.
func appendDoubled(dst, s []byte) []byte {
	if !utf8.Valid(s) {
		return appendRepaired(dst, s)
	}
	for {
		i := bytes.IndexByte(s, '"')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i+1]...), '"')
		s = s[i+1:]
	}
}

func appendRepaired(dst, s []byte) []byte {
	for len(s) > 0 {
		n := 1
		switch b := s[0]; {
		case b == '"':
			dst = append(dst, '"', '"')
		case b < utf8.RuneSelf:
			dst = append(dst, b)
		default:
			var r rune
			r, n = decode(s)
			dst = utf8.AppendRune(dst, r)
		}
		s = s[n:]
	}
	return dst
}
