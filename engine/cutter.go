package engine

import (
	"math"
	"math/bits"
	"slices"
)

// cutter ranks the values of one feature among its cuts. The rank of x is the number of cuts below x; a split at cuts[j]
// sends x right iff its rank > j, so nothing is lost by looking at ranks only. NaN ranks above every number, and so goes
// right, or lowest if the cutter was made that way.
//
// Large cutters find the rank through a table of buckets. The bucket of x grows with x (it is computed by operations
// that are monotone even when rounded), so only the cuts that share x's bucket need comparing.
type cutter struct {
	cuts  []float64 // ascending, padded with NaN, which no value exceeds
	n     int       // number of cuts
	nan   int       // rank of NaN: n+1 or 0
	steps int       // buckets: binary search steps in a bucket, 0 for at most one cut, -1 for at most two
	how   ranking
	first []uint16 // buckets: number of cuts in lower buckets
	lo    float64  // buckets: the lowest cut
	hi    float64  // buckets: the highest cut
	scale float64  // linear buckets per unit
	least int64    // logarithmic buckets: number of the lowest non-zero |cut|
	half  int      // logarithmic buckets on each side of zero
	shift uint     // logarithmic buckets: low bits of |x| that do not matter
}

// ranking is a way of finding ranks.
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
)

// code is the type of ranks in memory: uint8 up to 254 cuts, else uint16.
type code interface{ uint8 | uint16 }

// maxRankedCuts is the largest number of cuts of a cutter: all ranks, NaN's too, fit uint16.
const maxRankedCuts = math.MaxUint16 - 1

func newCutter(cuts []float64, nanLow bool) *cutter {
	n := len(cuts)
	q := &cutter{n: n, nan: n + 1, how: rankSearch}
	if nanLow {
		q.nan = 0
	}
	q.cuts = slices.Grow(slices.Clone(cuts), maxCrowd)
	for range maxCrowd {
		q.cuts = append(q.cuts, math.NaN())
	}
	if n <= fewCuts {
		q.how = rankAll
		return q
	}
	q.lo, q.hi = cuts[0], cuts[n-1]
	best := math.MaxInt
	var chosen cutter
	for _, how := range []ranking{rankLinear, rankLog} {
		for buckets := 2 * n; buckets <= max(maxBuckets, 2*n); buckets *= 2 {
			try := *q
			if !try.layOut(how, buckets) {
				break
			}
			// A halved crowd is worth a table of twice the size, while it stays in the first-level cache.
			cost := 8*try.steps + bits.Len(uint(len(try.first)))
			if how == rankLog {
				cost += 4
			}
			if cost < best {
				best, chosen = cost, try
			}
		}
	}
	if best != math.MaxInt {
		return &chosen
	}
	return q
}

// layOut makes the table of buckets; false if the cuts do not allow it.
func (q *cutter) layOut(how ranking, buckets int) bool {
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
	if last > 4*maxRankedCuts {
		return false
	}
	crowd := make([]int, last+1)
	most := 0
	for _, c := range q.cuts[:q.n] {
		b := q.log(c)
		if how == rankLinear {
			b = q.linear(c)
		}
		crowd[b]++
		most = max(most, crowd[b])
	}
	if most > maxCrowd {
		return false
	}
	q.steps = bits.Len(uint(most - 1)) // 1 cut: 0 steps and the last comparison
	q.first = make([]uint16, last+1)
	below := 0
	for b, k := range crowd {
		q.first[b] = uint16(below)
		below += k
	}
	return true
}

// linear is the bucket of lo <= x <= hi; it is monotone in x.
func (q *cutter) linear(x float64) int { return int((x - q.lo) * q.scale) }

// log is the bucket of x; it is monotone in x. Zero and everything closer to zero than the least cut share the middle.
func (q *cutter) log(x float64) int {
	b := math.Float64bits(x)
	a := int64(b&^(1<<63)>>q.shift) - q.least + 1
	a &^= a >> 63
	if a > int64(q.half) {
		a = int64(q.half)
	}
	s := int64(b) >> 63 // -1 for negative x
	return q.half + int(a^s-s)
}

// rank writes the ranks of v to out.
func rank[C code](q *cutter, v []float64, out []C) {
	switch q.how {
	case rankAll:
		rankFew(q, v, out)
	case rankLinear:
		switch q.steps {
		case 0:
			rankLinear1(q, v, out)
		case 1:
			rankLinear2(q, v, out)
		default:
			rankLinearMany(q, v, out)
		}
	case rankLog:
		rankLogMany(q, v, out)
	default:
		rankBySearch(q, v, out)
	}
}

func rankFew[C code](q *cutter, v []float64, out []C) {
	c := (*[fewCuts]float64)(q.cuts)
	c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
	out = out[:len(v)]
	for r, x := range v {
		k := one(x > c0) + one(x > c1) + one(x > c2) + one(x > c3)
		if x != x {
			k = q.nan
		}
		out[r] = C(k)
	}
}

func rankLinear1[C code](q *cutter, v []float64, out []C) {
	lo, hi, scale, first, cuts := q.lo, q.hi, q.scale, q.first, q.cuts
	out = out[:len(v)]
	for r, x := range v {
		if !(x <= hi) {
			k := q.n
			if x != x {
				k = q.nan
			}
			out[r] = C(k)
			continue
		}
		i := int((x - lo) * scale)
		i &^= i >> 63
		k := int(first[i])
		out[r] = C(k + one(x > cuts[k]))
	}
}

func rankLinear2[C code](q *cutter, v []float64, out []C) {
	lo, hi, scale, first, cuts := q.lo, q.hi, q.scale, q.first, q.cuts
	out = out[:len(v)]
	for r, x := range v {
		if !(x <= hi) {
			k := q.n
			if x != x {
				k = q.nan
			}
			out[r] = C(k)
			continue
		}
		i := int((x - lo) * scale)
		i &^= i >> 63
		k := int(first[i])
		c := (*[2]float64)(cuts[k:])
		out[r] = C(k + one(x > c[0]) + one(x > c[1]))
	}
}

func rankLinearMany[C code](q *cutter, v []float64, out []C) {
	lo, hi, scale, first, cuts := q.lo, q.hi, q.scale, q.first, q.cuts
	out = out[:len(v)]
	for r, x := range v {
		if !(x <= hi) {
			k := q.n
			if x != x {
				k = q.nan
			}
			out[r] = C(k)
			continue
		}
		i := int((x - lo) * scale)
		i &^= i >> 63
		k := int(first[i])
		for half := 1 << q.steps >> 1; half > 0; half >>= 1 {
			k += half & -one(x > cuts[k+half-1])
		}
		out[r] = C(k + one(x > cuts[k]))
	}
}

func rankLogMany[C code](q *cutter, v []float64, out []C) {
	hi, first, cuts := q.hi, q.first, q.cuts
	out = out[:len(v)]
	for r, x := range v {
		if !(x <= hi) {
			k := q.n
			if x != x {
				k = q.nan
			}
			out[r] = C(k)
			continue
		}
		k := int(first[q.log(x)])
		for half := 1 << q.steps >> 1; half > 0; half >>= 1 {
			k += half & -one(x > cuts[k+half-1])
		}
		out[r] = C(k + one(x > cuts[k]))
	}
}

func rankBySearch[C code](q *cutter, v []float64, out []C) {
	cuts := q.cuts
	out = out[:len(v)]
	for r, x := range v {
		k, n := 0, q.n
		for n > 1 {
			half := n >> 1
			k += half & -one(x > cuts[k+half-1])
			n -= half
		}
		k += one(x > cuts[k])
		if x != x {
			k = q.nan
		}
		out[r] = C(k)
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
