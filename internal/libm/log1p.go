package libm

import "math"

const (
	log1pLn2Hi = 0x1.62e42fee00000p-1
	log1pLn2Lo = 0x1.a39ef35793c76p-33
	log1pLp1   = 0x1.5555555555593p-1
	log1pLp2   = 0x1.999999997fa04p-2
	log1pLp3   = 0x1.2492494229359p-2
	log1pLp4   = 0x1.c71c51d8e78afp-3
	log1pLp5   = 0x1.7466496cb03dep-3
	log1pLp6   = 0x1.39a09d078c69fp-3
	log1pLp7   = 0x1.2f112df3e5244p-3
	twoThirds  = 0x1.5555555555555p-1
)

// Log1p returns the natural logarithm of 1+x as glibc's log1p does.
func Log1p(x float64) float64 {
	hx := int32(math.Float64bits(x) >> 32)
	ax := hx & 0x7fffffff
	switch {
	case hx >= 0x7ff00000: // +inf, NaN
		return x + x
	case ax >= 0x3ff00000 && hx < 0: // x <= -1, negative NaN
		if x == -1 {
			return math.Inf(-1)
		}
		return math.NaN()
	case ax < 0x3c900000: // |x| < 2^-54
		return x
	case ax < 0x3e200000: // |x| < 2^-29
		return math.FMA(float64(x*x), -0.5, x)
	}
	var k, hu int32
	f, c := x, 0.0
	if hx >= 0x3fda827a || uint32(hx) >= 0xbfd2bec4 { // 1+x outside [sqrt(2)/2, sqrt(2))
		f, c, k, hu = log1pReduce(x, hx)
		if hu == 0 { // f is within 2^-20 of 0
			return log1pShort(f, c, k)
		}
	}
	hfsq := float64(float64(0.5*f) * f)
	s := f / (2 + f)
	z := float64(s * s)
	z2 := float64(z * z)
	z4 := float64(z2 * z2)
	r := math.FMA(z, log1pLp1, float64(z2*math.FMA(z, log1pLp3, log1pLp2)))
	r = math.FMA(z4, math.FMA(z, log1pLp5, log1pLp4), r)
	r = math.FMA(float64(z2*z4), math.FMA(z, log1pLp7, log1pLp6), r)
	t := float64(float64(r+hfsq) * s)
	if k == 0 {
		return f - (hfsq - t)
	}
	kd := float64(k)
	return math.FMA(kd, log1pLn2Hi, -((hfsq - (math.FMA(kd, log1pLn2Lo, c) + t)) - f))
}

// log1pReduce splits 1+x into 2^k * (1+f), with c for what rounding 1+x lost; hu is the high mantissa of 1+f.
func log1pReduce(x float64, hx int32) (f, c float64, k, hu int32) {
	u := x
	if hx < 0x43400000 {
		u = 1 + x
		hu = int32(math.Float64bits(u) >> 32)
		k = hu>>20 - 1023
		if k > 0 {
			c = 1 - (u - x)
		} else {
			c = x - (u - 1)
		}
		c /= u
	} else {
		hu = hx
		k = hu>>20 - 1023
	}
	hu &= 0x000fffff
	low := math.Float64bits(u) & 0xffffffff
	if hu < 0x6a09e {
		u = math.Float64frombits(uint64(hu|0x3ff00000)<<32 | low)
	} else {
		k++
		u = math.Float64frombits(uint64(hu|0x3fe00000)<<32 | low)
		hu = (0x00100000 - hu) >> 2
	}
	return u - 1, c, k, hu
}

// log1pShort is k*ln 2 + log1p(f) + c for |f| < 2^-20.
func log1pShort(f, c float64, k int32) float64 {
	kd := float64(k)
	if f == 0 {
		if k == 0 {
			return 0
		}
		return math.FMA(kd, log1pLn2Hi, math.FMA(kd, log1pLn2Lo, c))
	}
	r := math.FMA(-f, twoThirds, 1) * float64(float64(0.5*f)*f)
	if k == 0 {
		return f - r
	}
	return math.FMA(kd, log1pLn2Hi, -((r - math.FMA(kd, log1pLn2Lo, c)) - f))
}
