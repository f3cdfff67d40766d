package kernel

import (
	"math"
	"math/bits"
)

// Cuts are the distinct thresholds of one feature, prepared for ranking. The code of x is the number of cuts below x; a
// split at cut j sends x right iff its code is above j, so nothing is lost by looking at codes only. NaN gets a code
// above every number's, or 0 if the cuts were made that way. A Cuts is immutable.
//
// Large ones find the code through a table of buckets. The bucket of x grows with x (it is computed by operations that
// are monotone even when rounded), so only the cuts that share x's bucket need comparing.
type Cuts struct {
	cuts  []float64 // ascending, padded with NaN, which no value exceeds
	n     int       // number of cuts
	nan   int       // code of NaN: n+1 or 0
	steps int       // buckets: binary search steps in a bucket, 0 for at most one cut, 1 for at most two
	how   ranking
	first []uint16 // buckets: number of cuts in lower buckets
	lo    float64  // buckets: the lowest cut
	hi    float64  // buckets: the highest cut
	scale float64  // linear buckets per unit
	least int64    // logarithmic buckets: number of the lowest non-zero |cut|
	half  int      // logarithmic buckets on each side of zero
	shift uint     // logarithmic buckets: low bits of |x| that do not matter

	pairs   *pairTable   // vector tiers: nil if it does not suit
	buckets *bucketTable // vector tiers: nil if it does not suit
}

// ranking is a way of finding codes.
type ranking uint8

const (
	rankAll    ranking = iota // compare with every cut
	rankLinear                // buckets of equal width
	rankLog                   // buckets of equal width in the bits of |x|
	rankSearch                // binary search
)

const (
	fewCuts    = 4       // rankAll up to here
	maxBuckets = 1 << 14 // per feature: 32 KiB
	maxCrowd   = 64      // cuts in a bucket
	padding    = 8       // NaN after the cuts, besides those that binary searches in buckets may look at
)

const (
	// MaxCuts is the largest number of cuts: all codes, NaN's too, fit uint16.
	MaxCuts = math.MaxUint16 - 1
	// MaxCuts8 is the largest number of cuts whose codes, NaN's too, fit uint8.
	MaxCuts8 = math.MaxUint8 - 1
)

// NewCuts prepares cuts, which must be ascending, distinct, not NaN and at most MaxCuts. With nanLow the code of NaN is
// 0, else it is len(cuts)+1. The slice is copied.
func NewCuts(cuts []float64, nanLow bool) *Cuts {
	q := newBuckets(cuts, nanLow)
	q.layOutVectors()
	return q
}

// NewCuts is the function NewCuts for this tier only, and for codes of 16 bits if wide, else of 8: tables that nothing
// else needs are left out. The other functions give the same codes, slowly.
func (t *Table) NewCuts(cuts []float64, nanLow, wide bool) *Cuts {
	q := newBuckets(cuts, nanLow)
	if t.Tier == Portable {
		return q
	}
	q.layOutVectors()
	switch {
	case wide:
		q.pairs = nil
	case t.Tier == AVX512 && q.pairs != nil && q.how != rankAll:
		// Both types of values are ranked by pairs; AVX2 has no pairs for doubles.
		q.first, q.buckets, q.how = nil, nil, rankSearch
		if cap(q.cuts) > q.n+2*padding {
			q.pad(0)
			q.pairs.cuts = &q.cuts[0]
		}
	}
	return q
}

// pad makes the cuts' memory as long as searches in so many steps need.
func (q *Cuts) pad(steps int) {
	padded := Aligned[float64](q.n + padding + 1<<steps)
	for i := copy(padded, q.cuts[:q.n]); i < len(padded); i++ {
		padded[i] = math.NaN()
	}
	q.cuts = padded
}

// newBuckets makes the cuts with what pure Go needs.
func newBuckets(cuts []float64, nanLow bool) *Cuts {
	n := len(cuts)
	q := &Cuts{n: n, nan: n + 1, how: rankSearch}
	if nanLow {
		q.nan = 0
	}
	q.cuts = cuts
	q.choose()
	q.pad(q.steps)
	return q
}

// choose chooses between the ways of finding codes.
func (q *Cuts) choose() {
	n := q.n
	if n <= fewCuts {
		q.how = rankAll
		return
	}
	q.lo, q.hi = q.cuts[0], q.cuts[n-1]
	best := math.MaxInt
	var chosen Cuts
	for _, how := range []ranking{rankLinear, rankLog} {
		for buckets := 2 * n; buckets <= max(maxBuckets, 2*n); buckets *= 2 {
			try := *q
			if !try.layOut(how, buckets) {
				break
			}
			// A halved crowd is worth a table of 16 times the size, while it stays in the first-level cache.
			cost := 8*try.steps + 2*bits.Len(uint(len(try.first)))
			if how == rankLog {
				cost += 4
			}
			if cost < best {
				best, chosen = cost, try
			}
			if try.steps == 0 {
				break
			}
		}
		if chosen.first != nil && chosen.steps == 0 {
			break
		}
	}
	if best != math.MaxInt {
		*q = chosen
	}
}

// N is the number of cuts.
func (q *Cuts) N() int { return q.n }

// NaN is the code of NaN: N()+1, or 0.
func (q *Cuts) NaN() int { return q.nan }

// layOut makes the table of buckets; false if the cuts do not allow it.
func (q *Cuts) layOut(how ranking, buckets int) bool {
	q.how = how
	var last int
	if how == rankLinear {
		width := q.hi - q.lo
		q.scale = float64(buckets) / width
		if !(q.scale > 0) || math.IsInf(q.scale, 0) || math.IsInf(width, 0) {
			return false
		}
		last = q.linear(q.hi)
	} else {
		least, most := uint64(math.MaxUint64), uint64(0)
		for _, c := range q.cuts[:q.n] {
			if a := math.Float64bits(math.Abs(c)); a != 0 {
				least, most = min(least, a), max(most, a)
			}
		}
		for q.shift = 0; (most>>q.shift)-(least>>q.shift) > uint64(buckets/2); q.shift++ {
		}
		q.least = int64(least >> q.shift)
		q.half = int(most>>q.shift) - int(q.least) + 2
		last = 2 * q.half
	}
	if last > 4*MaxCuts {
		return false
	}
	first := make([]uint16, last+2) // a vector load of 32 bits may start at the last
	most := uint16(0)
	for _, c := range q.cuts[:q.n] {
		b := q.log(c)
		if how == rankLinear {
			b = q.linear(c)
		}
		first[b]++
		most = max(most, first[b])
	}
	if most > maxCrowd {
		return false
	}
	q.steps = bits.Len(uint(most - 1)) // 1 cut: 0 steps and the last comparison
	below := uint16(0)
	for b, k := range first {
		first[b] = below
		below += k
	}
	q.first = first
	return true
}

// linear is the bucket of lo <= x <= hi; it is monotone in x.
func (q *Cuts) linear(x float64) int { return int((x - q.lo) * q.scale) }

// log is the bucket of x; it is monotone in x. Zero and everything closer to zero than the least cut share the middle.
func (q *Cuts) log(x float64) int {
	b := math.Float64bits(x)
	a := int64(b&^(1<<63)>>q.shift) - q.least + 1
	a &^= a >> 63
	if a > int64(q.half) {
		a = int64(q.half)
	}
	s := int64(b) >> 63 // -1 for negative x
	return q.half + int(a^s-s)
}
