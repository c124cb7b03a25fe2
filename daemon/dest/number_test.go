package dest

import (
	"bufio"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestJavaFloats: the text of doubles and floats that JDK 17 wrote (hexadecimal bits and text, twice per line): random bits, whole and decimal numbers,
// powers of two, the smallest ones.
func TestJavaFloats(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../../testdata/csv/floats.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var d digits
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		x := strings.Split(lines.Text(), "\t")
		wide, err := strconv.ParseUint(x[0], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		narrow, err := strconv.ParseUint(x[2], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(d.appendFloat(nil, math.Float64frombits(wide), false)); got != x[1] {
			t.Errorf("double %s: %s, Java says %s", x[0], got, x[1])
		}
		if got := string(d.appendFloat(nil, float64(math.Float32frombits(uint32(narrow))), true)); got != x[3] {
			t.Errorf("float %s: %s, Java says %s", x[2], got, x[3])
		}
	}
	if n < 1000 {
		t.Errorf("%d lines only", n)
	}
}

// FuzzFloat: every text reads back as the number.
func FuzzFloat(f *testing.F) {
	f.Add(uint64(0x7fefffffffffffff))
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, raw uint64) {
		v := math.Float64frombits(raw)
		text := string(new(digits).appendFloat(nil, v, false))
		back, err := strconv.ParseFloat(text, 64)
		if err != nil || back != v && v == v {
			t.Fatalf("%x: %s reads back as %v, %v", raw, text, back, err)
		}
		narrow := math.Float32frombits(uint32(raw))
		text = string(new(digits).appendFloat(nil, float64(narrow), true))
		back, err = strconv.ParseFloat(text, 32)
		if err != nil || float32(back) != narrow && narrow == narrow {
			t.Fatalf("%x: %s reads back as %v, %v", uint32(raw), text, back, err)
		}
	})
}
