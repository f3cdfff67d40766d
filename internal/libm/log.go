package libm

import "math"

const (
	ln2      = 0x1.62e42fefa39efp-1
	logLn2Hi = 0x1.62e42fefa3800p-1
	logLn2Lo = 0x1.ef35793c76730p-45
	logA0    = -0x1.0000000000001p-1
	logA1    = 0x1.555555551305bp-2
	logA2    = -0x1.fffffffeb4590p-3
	logA3    = 0x1.999b324f10111p-3
	logA4    = -0x1.55575e506c89fp-3

	logB0  = -0x1p-1
	logB1  = 0x1.5555555555577p-2
	logB2  = -0x1.ffffffffffdcbp-3
	logB3  = 0x1.999999995dd0cp-3
	logB4  = -0x1.55555556745a7p-3
	logB5  = 0x1.24924a344de30p-3
	logB6  = -0x1.fffffa4423d65p-4
	logB7  = 0x1.c7184282ad6cap-4
	logB8  = -0x1.999eb43b068ffp-4
	logB9  = 0x1.78182f7afd085p-4
	logB10 = -0x1.5521375d145cdp-4

	logfA0 = -0x1.00ea348b88334p-2
	logfA1 = 0x1.5575b0be00b6ap-2
	logfA2 = -0x1.ffffef20a4123p-2
)

// Log returns the natural logarithm as glibc's log does.
func Log(x float64) float64 {
	ix := math.Float64bits(x)
	if ix-0x3fee000000000000 < 0x3090000000000 {
		return logNearOne(x)
	}
	if ix-0x0010000000000000 >= 0x7fe0000000000000 {
		switch {
		case x == 0:
			return math.Inf(-1)
		case math.IsInf(x, 1), x != x:
			return x
		case ix>>63 == 1:
			return math.NaN()
		}
		ix = math.Float64bits(x*0x1p52) - 52<<52 // subnormal
	}
	// x = 2^k * z; the table has c near the centre of z's interval: log(x) = log1p(z/c-1) + log(c) + k*ln 2.
	tmp := ix - 0x3fe6000000000000
	entry := &logTable[tmp>>45&127]
	kd := float64(int64(tmp) >> 52)
	z := math.Float64frombits(ix - tmp&(0xfff<<52))
	invc, logc := math.Float64frombits(entry[0]), math.Float64frombits(entry[1])
	r := math.FMA(z, invc, -1)
	w := math.FMA(kd, logLn2Hi, logc)
	hi := w + r
	lo := math.FMA(kd, logLn2Lo, float64(w-hi)+r)
	r2 := float64(r * r)
	lo = math.FMA(r2, logA0, lo)
	p := math.FMA(math.FMA(r, logA4, logA3), r2, math.FMA(r, logA2, logA1))
	return math.FMA(float64(r*r2), p, lo) + hi
}

// logNearOne is Log for 1-2^-4 <= x < 1.06.
func logNearOne(x float64) float64 {
	if x == 1 {
		return 0
	}
	r := x - 1
	r2 := float64(r * r)
	r3 := float64(r * r2)
	p3 := math.FMA(r2, logB9, math.FMA(r, logB8, logB7))
	p3 = math.FMA(r3, logB10, p3)
	p2 := math.FMA(r2, logB6, math.FMA(r, logB5, logB4))
	p1 := math.FMA(r2, logB3, math.FMA(r, logB2, logB1))
	p := math.FMA(math.FMA(p3, r3, p2), r3, p1)
	// r - r^2/2 in two parts, with r split into rhi of 26 bits and the rest.
	rhi := math.FMA(-0x1p27, r, math.FMA(r, 0x1p27, r))
	rlo := r - rhi
	sq := float64(rhi * rhi)
	hi := math.FMA(sq, logB0, r)
	lo := math.FMA(sq, logB0, r-hi)
	lo = math.FMA(float64(logB0*rlo), rhi+r, lo)
	return math.FMA(p, r3, lo) + hi
}

// Log32 returns the natural logarithm as glibc's logf does.
func Log32(x float32) float32 {
	ix := math.Float32bits(x)
	if ix == 0x3f800000 {
		return 0
	}
	if ix-0x00800000 >= 0x7f000000 {
		switch {
		case x == 0:
			return float32(math.Inf(-1))
		case ix == 0x7f800000, x != x:
			return x
		case ix>>31 == 1:
			return float32(math.NaN())
		}
		ix = math.Float32bits(x*0x1p23) - 23<<23 // subnormal
	}
	tmp := ix - 0x3f330000
	entry := &logfTable[tmp>>19&15]
	k := float64(int32(tmp) >> 23)
	z := float64(math.Float32frombits(ix - tmp&0xff800000))
	r := math.FMA(z, math.Float64frombits(entry[0]), -1)
	y0 := math.FMA(k, ln2, math.Float64frombits(entry[1]))
	r2 := float64(r * r)
	p := math.FMA(r2, logfA0, math.FMA(r, logfA1, logfA2))
	return float32(math.FMA(r2, p, r+y0))
}
