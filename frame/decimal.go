package frame

import (
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// decimal converts unscaled 256-bit two's complement integers, least significant word first, to float64. It holds the
// scratch text, so that a conversion does not allocate.
type decimal struct{ text [96]byte }

// pow10 are the powers of ten that float64 holds exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float64 returns v * 10^-scale, correctly rounded (half to even).
func (d *decimal) float64(v [4]uint64, scale int32) float64 {
	negative := int64(v[3]) < 0
	if negative {
		v = negate(v)
	}
	if v[3]|v[2]|v[1] == 0 && v[0] <= 1<<53 && scale >= -22 && scale <= 22 {
		// Both operands are exact, so that the one operation rounds once.
		x := float64(v[0])
		if scale >= 0 {
			x /= pow10[scale]
		} else {
			x *= pow10[-scale]
		}
		if negative {
			return -x
		}
		return x
	}
	b := d.format(v, scale)
	x, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	if err != nil && !math.IsInf(x, 0) { // 77 digits and an exponent always parse
		return math.NaN()
	}
	if negative {
		return -x
	}
	return x
}

func negate(v [4]uint64) [4]uint64 {
	var carry uint64 = 1
	for i := range v {
		v[i], carry = bits.Add64(^v[i], 0, carry)
	}
	return v
}

// format writes v as "<digits>e<-scale>" into the end of the scratch text.
func (d *decimal) format(v [4]uint64, scale int32) []byte {
	const chunk = 1e19 // the largest power of ten in a word
	exponent := strconv.AppendInt(d.text[:0], -int64(scale), 10)
	n := len(exponent)
	end := len(d.text)
	copy(d.text[end-n:], exponent)
	at := end - n - 1
	d.text[at] = 'e'
	for {
		var rem uint64
		for i := 3; i >= 0; i-- {
			v[i], rem = bits.Div64(rem, v[i], chunk)
		}
		last := v[0]|v[1]|v[2]|v[3] == 0
		for k := 0; k < 19 && (!last || rem > 0 || k == 0); k++ {
			at--
			d.text[at] = byte('0' + rem%10)
			rem /= 10
		}
		if last {
			return d.text[at:]
		}
	}
}
