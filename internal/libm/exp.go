package libm

import "math"

const (
	expInvLn2N  = 0x1.71547652b82fep+7 // 128/ln 2
	expNegLn2Hi = -0x1.62e42fefa0000p-8
	expNegLn2Lo = -0x1.cf79abc9e3b3ap-47
	expShift    = 0x1.8p+52 // adding it rounds to an integer in the low bits
	expC2       = 0x1.ffffffffffdbdp-2
	expC3       = 0x1.555555555543cp-3
	expC4       = 0x1.55555cf172b91p-5
	expC5       = 0x1.1111167a4d017p-7

	expfInvLn2N = 0x1.71547652b82fep+5 // 32/ln 2
	expfC0      = 0x1.c6af84b912394p-20
	expfC1      = 0x1.ebfce50fac4f3p-13
	expfC2      = 0x1.62e42ff0c52d6p-6
)

// Tables are glibc's tables of exp and expf, for code that does what Exp and Exp32 do for several values at a time: 2^(i/128)
// as the bits of its tail t and of s-(i<<45), s*(1+t) being the value; and the bits of 2^(i/32)-(i<<47).
func Tables() (exp *[128][2]uint64, exp32 *[32]uint64) { return &expTable, &expfTable }

// Exp returns e**x as glibc's exp does.
func Exp(x float64) float64 {
	bits := math.Float64bits(x)
	top := uint32(bits>>52) & 0x7ff
	special := false
	if top-0x3c9 >= 0x3f { // |x| < 2^-54 or |x| >= 512
		switch {
		case top < 0x3c9:
			return 1 + x
		case top >= 0x409: // |x| >= 1024
			switch {
			case bits == 0xfff0000000000000:
				return 0
			case top == 0x7ff:
				return 1 + x
			case bits>>63 == 1:
				return 0
			}
			return math.Inf(1)
		}
		special = true
	}
	kd := math.FMA(x, expInvLn2N, expShift)
	ki := math.Float64bits(kd)
	kd -= expShift
	r := math.FMA(kd, expNegLn2Lo, math.FMA(kd, expNegLn2Hi, x))
	entry := &expTable[ki&127]
	scaleBits := entry[1] + ki<<45
	r2 := r * r
	low := math.FMA(math.FMA(r, expC3, expC2), r2, r+math.Float64frombits(entry[0]))
	tmp := math.FMA(float64(r2*r2), math.FMA(r, expC5, expC4), low)
	if special {
		return expSpecial(tmp, scaleBits, ki)
	}
	scale := math.Float64frombits(scaleBits)
	return math.FMA(scale, tmp, scale)
}

// expSpecial returns scale*(1+tmp) where the exponent of scale may be out of range: it rescales, and rounds a
// subnormal result once only.
func expSpecial(tmp float64, scaleBits, ki uint64) float64 {
	if ki&0x80000000 == 0 { // k > 0: the exponent of scale may have overflowed by less than 461
		scale := math.Float64frombits(scaleBits - 1009<<52)
		return 0x1p1009 * math.FMA(scale, tmp, scale)
	}
	scale := math.Float64frombits(scaleBits + 1022<<52)
	t := float64(scale * tmp)
	y := scale + t
	if y < 1 {
		lo := float64(scale-y) + t
		hi := 1 + y
		lo = float64(float64(1-hi)+y) + lo
		y = float64(lo+hi) - 1
		if y == 0 {
			y = 0 // no negative zero
		}
	}
	return 0x1p-1022 * y
}

// Exp32 returns e**x as glibc's expf does.
func Exp32(x float32) float32 {
	bits := math.Float32bits(x)
	if top := bits >> 20 & 0x7ff; top > 0x42a { // |x| >= 88, inf or NaN
		switch {
		case bits == 0xff800000:
			return 0
		case top >= 0x7f8:
			return x + x
		case x > 0x1.62e42ep6:
			return float32(math.Inf(1))
		case x < -0x1.9fe368p6:
			return 0
		case x < -0x1.9d1d9ep6:
			return 0x1p-149
		}
	}
	xd := float64(x)
	kd := math.FMA(expfInvLn2N, xd, expShift)
	ki := math.Float64bits(kd)
	kd -= expShift
	r := math.FMA(expfInvLn2N, xd, -kd)
	scale := math.Float64frombits(expfTable[ki&31] + ki<<47)
	y := math.FMA(math.FMA(expfC0, r, expfC1), float64(r*r), math.FMA(expfC2, r, 1))
	return float32(float64(y * scale))
}
