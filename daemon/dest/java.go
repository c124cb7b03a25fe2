package dest

import (
	"math"
	"math/big"
	"math/bits"
)

// digits makes the decimal digits that Float.toString and Double.toString of JDK 8 to 18 make, which run upstream's SyncTool: mostly the fewest
// that read back, sometimes one more (2.0E23 comes out as 1.9999999999999998E23). Its buffers are kept, so that nothing is allocated per number. The
// way they are found is that of Steele and White with three peculiarities, each of which shows in some result: whole numbers drop digits below their
// precision by rounding once; numbers that fit are worked in 32 or 64 bits, in which the margin may run over; and the upper end of the margin
// counts only where they do not.
type digits struct {
	text             [24]byte
	n                int
	exp              int // the number is 0.d1d2d3… × 10^exp
	b, s, m, ten, q  big.Int
	fives            []*big.Int // powers of five
	product, shifted big.Int
}

const mantissaBits = 52 // of a double, behind the leading one

// double sets d to the digits of a finite v > 0.
func (d *digits) double(v float64) {
	raw := math.Float64bits(v)
	exp, mantissa, precision := int(raw>>mantissaBits), raw&(1<<mantissaBits-1), mantissaBits+1
	if exp == 0 {
		zeros := bits.LeadingZeros64(mantissa)
		shift := zeros - (63 - mantissaBits)
		mantissa, exp, precision = mantissa<<shift, 1-shift, 64-zeros
	} else {
		mantissa |= 1 << mantissaBits
	}
	d.find(exp-1023, mantissa, precision)
}

// float is double for a float.
func (d *digits) float(v float32) {
	const own = 23
	raw := math.Float32bits(v)
	exp, mantissa, precision := int(raw>>own), raw&(1<<own-1), own+1
	if exp == 0 {
		zeros := bits.LeadingZeros32(mantissa)
		shift := zeros - (31 - own)
		mantissa, exp, precision = mantissa<<shift, 1-shift, 32-zeros
	} else {
		mantissa |= 1 << own
	}
	d.find(exp-127, uint64(mantissa)<<(mantissaBits-own), precision)
}

// find works on mantissa × 2^(exp-52), a mantissa of 53 bits of which so many are the number's own.
func (d *digits) find(exp int, mantissa uint64, precision int) {
	zeros := bits.TrailingZeros64(mantissa)
	used := mantissaBits + 1 - zeros
	tiny := max(0, used-exp-1) // bits below the point
	if tiny == 0 && exp <= 62 && used < 64 {
		d.whole(exp, mantissa, precision)
		return
	}
	dec := estimate(mantissa, exp)
	// The number is b/s, its margin to either neighbour m/s: each a product of powers of five and two.
	b5, s5 := max(0, -dec), max(0, dec)
	b2, s2 := b5+tiny+exp, s5+tiny
	m5, m2 := b5, b2-precision
	mantissa >>= zeros
	b2 -= used - 1
	common := min(b2, s2)
	b2, s2, m2 = b2-common, s2-common, m2-common
	if used == 1 { // a power of two: the neighbour below is half as far
		m2--
	}
	if m2 < 0 {
		b2, s2, m2 = b2-m2, s2-m2, 0
	}
	bBits, tenBits := used+b2+fiveBits(b5), s2+1+fiveBits(s5+1)
	switch {
	case bBits < 32 && tenBits < 32:
		d.exp = dec
		small(d, int32(mantissa)*int32(five(b5))<<b2, int32(five(s5))<<s2, int32(five(m5))<<m2)
	case bBits < 64 && tenBits < 64:
		d.exp = dec
		small(d, int64(mantissa)*five(b5)<<b2, five(s5)<<s2, five(m5)<<m2)
	default:
		d.exp = dec
		d.large(mantissa, b5, b2, s5, s2, m5, m2)
	}
	d.exp++
}

// estimate is the decimal exponent of a number, or one too many: from the tangent of the logarithm at 1.5.
func estimate(mantissa uint64, exp int) int {
	x := math.Float64frombits(1023<<mantissaBits | mantissa&(1<<mantissaBits-1))
	return int(math.Floor((x-1.5)*0.289529654 + 0.176091259 + float64(exp)*0.301029995663981))
}

// five is 5^n, n ≤ 26.
func five(n int) int64 {
	p := int64(1)
	for range n {
		p *= 5
	}
	return p
}

// fiveBits is how many bits 5^n takes; above 26 a bound.
func fiveBits(n int) int {
	switch {
	case n == 0:
		return 0
	case n <= 26:
		return bits.Len64(uint64(five(n)))
	}
	return 3 * n
}

// whole is a number without a fraction. Digits that its precision does not reach are rounded away.
func (d *digits) whole(exp int, mantissa uint64, precision int) {
	v := mantissa >> (mantissaBits - min(exp, mantissaBits)) << max(0, exp-mantissaBits)
	drop := 0
	if p := exp - precision - 1; exp > precision && p > 1 {
		drop = int(float64(p) * math.Log10(2))
	}
	d.exp = 0
	if drop > 0 {
		unit := uint64(pow10(drop))
		rest := v % unit
		if v /= unit; rest >= unit/2 {
			v++
		}
		d.exp = drop
	}
	at := len(d.text)
	for ; v > 0; v /= 10 {
		at--
		d.text[at] = byte('0' + v%10)
	}
	d.n = copy(d.text[:], d.text[at:])
	d.exp += d.n
	for d.n > 1 && d.text[d.n-1] == '0' {
		d.n--
	}
}

// begin takes the first digit, which is no digit when it is zero and will not be rounded up: then the estimate was one too many. It says whether the
// margins may end the digits here already: not where two are wanted at least.
func (d *digits) begin(q int, high bool) (mayEnd bool) {
	d.n = 0
	if q == 0 && !high {
		d.exp--
	} else {
		d.add(q)
	}
	return d.exp >= -3 && d.exp < 8
}

func (d *digits) add(q int) {
	d.text[d.n] = byte('0' + q)
	d.n++
}

// small works within a machine word. The arithmetic runs over as Java's does.
func small[T int32 | int64](d *digits, b, s, m T) {
	tens := s * 10
	q := b / s
	b, m = 10*(b%s), m*10
	low, high := b < m, b+m > tens
	if !d.begin(int(q), high) {
		low, high = false, false
	}
	for !low && !high {
		q = b / s
		b, m = 10*(b%s), m*10
		low, high = true, true
		if m > 0 {
			low, high = b < m, b+m > tens
		}
		d.add(int(q))
	}
	twice := b<<1 - tens
	d.round(low, high, sign(twice))
}

func sign[T int32 | int64](v T) int {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}

// round ends the digits: up where only the upper margin was reached, to the nearer side where both were.
func (d *digits) round(low, high bool, twice int) {
	if !high || low && (twice < 0 || twice == 0 && d.text[d.n-1]&1 == 0) {
		return
	}
	i := d.n - 1
	for i > 0 && d.text[i] == '9' {
		d.text[i] = '0'
		i--
	}
	if d.text[i] == '9' { // all of them
		d.exp++
		d.text[0] = '1'
		return
	}
	d.text[i]++
}

// large is small for numbers of any size.
func (d *digits) large(mantissa uint64, b5, b2, s5, s2, m5, m2 int) {
	d.power(&d.s, s5, s2)
	d.power(&d.product, b5, b2)
	d.b.SetUint64(mantissa)
	d.shifted.Mul(&d.b, &d.product)
	d.b.Set(&d.shifted)
	d.power(&d.m, m5+1, m2+1)
	d.power(&d.ten, s5+1, s2+1)
	q := d.step()
	low, high := d.margins()
	if !d.begin(q, high) {
		low, high = false, false
	}
	for !low && !high {
		q = d.step()
		d.times10(&d.m)
		low, high = d.margins()
		d.add(q)
	}
	twice := 0
	if low && high {
		d.shifted.Lsh(&d.b, 1)
		twice = d.shifted.Cmp(&d.ten)
	}
	d.round(low, high, twice)
}

// step takes a digit off: q = b/s, b = 10 × (b mod s).
func (d *digits) step() int {
	d.q.QuoRem(&d.b, &d.s, &d.shifted)
	d.b.Set(&d.shifted)
	d.times10(&d.b)
	return int(d.q.Int64())
}

func (d *digits) margins() (low, high bool) {
	d.shifted.Add(&d.b, &d.m)
	return d.b.Cmp(&d.m) < 0, d.ten.Cmp(&d.shifted) <= 0
}

// times10 multiplies by ten in place: x<<3 + x<<1.
func (d *digits) times10(x *big.Int) {
	d.product.Lsh(x, 3)
	d.shifted.Lsh(x, 1)
	x.Add(&d.product, &d.shifted)
}

// power sets x to 5^p5 × 2^p2.
func (d *digits) power(x *big.Int, p5, p2 int) {
	for len(d.fives) <= p5 {
		next := big.NewInt(1)
		if n := len(d.fives); n > 0 {
			next.Mul(d.fives[n-1], big.NewInt(5))
		}
		d.fives = append(d.fives, next)
	}
	x.Lsh(d.fives[p5], uint(p2))
}
