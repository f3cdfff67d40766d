package scoring

import "math"

// fineBins is the number of bins that a dyadic histogram may span: enough that a score is counted at most 1/32768 of the
// range away from where it lies, in 256 KiB.
const fineBins = 1 << 15

// dyadic is a histogram over a range that is not known beforehand, made in one pass.
//
// Bin i of width 2^exp holds the values with floor(v/2^exp) == i. exp is the smallest exponent for which the values seen
// span at most fineBins bins (and every index is an exact integer); when the range grows, neighbouring bins merge into
// wider ones, which is exact because floor(floor(x)/2) == floor(x/2). So exp and the counts depend only on the set of
// values: not on their order, and not on how they were split before merging. Bins live at their index modulo fineBins,
// which is unique while the span is at most fineBins.
type dyadic struct {
	exp    int
	lo, hi int64 // first and last bin in use
	counts []int64
}

// minExp keeps 2^exp and its inverse normal numbers.
const minExp = -1000

// add counts a finite value.
func (d *dyadic) add(v float64) {
	if d.counts == nil {
		d.counts = make([]int64, fineBins)
		d.exp = exactExp(v)
		d.lo = d.index(v)
		d.hi = d.lo
	}
	if e := exactExp(v); e > d.exp {
		d.widen(e)
	}
	i := d.index(v)
	if i < d.lo || i > d.hi {
		e := d.exp
		for lo, hi := min(i, d.lo), max(i, d.hi); hi-lo >= fineBins; e++ {
			lo, hi = lo>>1, hi>>1
		}
		d.widen(e)
		i = d.index(v)
		d.lo, d.hi = min(i, d.lo), max(i, d.hi)
	}
	d.counts[i&(fineBins-1)]++
}

// merge adds another histogram, which it may widen.
func (d *dyadic) merge(o *dyadic) {
	if o.counts == nil {
		return
	}
	if d.counts == nil {
		d.exp, d.lo, d.hi, d.counts = o.exp, o.lo, o.hi, append([]int64(nil), o.counts...)
		return
	}
	e := max(d.exp, o.exp)
	d.widen(e)
	o.widen(e)
	lo, hi := min(d.lo, o.lo), max(d.hi, o.hi)
	for ; hi-lo >= fineBins; e++ {
		lo, hi = lo>>1, hi>>1
	}
	d.widen(e)
	o.widen(e)
	d.lo, d.hi = min(d.lo, o.lo), max(d.hi, o.hi)
	for i := o.lo; i <= o.hi; i++ {
		d.counts[i&(fineBins-1)] += o.counts[i&(fineBins-1)]
	}
}

// widen merges bins until they are 2^e wide.
func (d *dyadic) widen(e int) {
	shift := e - d.exp
	if shift <= 0 {
		return
	}
	shift = min(shift, 63) // an arithmetic shift by more gives the same
	counts := make([]int64, fineBins)
	for i := d.lo; i <= d.hi; i++ {
		counts[(i>>shift)&(fineBins-1)] += d.counts[i&(fineBins-1)]
	}
	d.exp, d.lo, d.hi, d.counts = e, d.lo>>shift, d.hi>>shift, counts
}

// bins counts into HistogramBins equal bins over [lo, hi], by the middle of each fine bin.
func (d *dyadic) bins(lo, hi float64) []int64 {
	out := make([]int64, HistogramBins)
	if d.counts == nil {
		return out
	}
	half := 0.5
	if d.exp == exactExp(max(math.Abs(lo), math.Abs(hi))) {
		half = 0 // bins are as fine as the numbers themselves, which lie on their lower edges
	}
	for i := d.lo; i <= d.hi; i++ {
		n := d.counts[i&(fineBins-1)]
		if n == 0 {
			continue
		}
		b := 0
		if hi > lo {
			middle := math.Ldexp(float64(i)+half, d.exp)
			// Halves keep hi-lo finite for any two finite bounds.
			share := (middle/2 - lo/2) / (hi/2 - lo/2)
			b = max(0, min(int(share*HistogramBins), HistogramBins-1))
		}
		out[b] += n
	}
	return out
}

func (d *dyadic) index(v float64) int64 { return int64(math.Floor(math.Ldexp(v, -d.exp))) }

// exactExp is the smallest exponent for which the index of v is an exact integer.
func exactExp(v float64) int {
	if v == 0 {
		return minExp
	}
	return max(minExp, math.Ilogb(v)-52)
}
