package kernel

import (
	"math"
	"slices"
)

// pairTable finds the code of a float32 by one look-up. The bucket of x is taken from the bits of a float32,
//
//	bits(clamp(x)*scale + offset) >> shift, less the lowest bucket,
//
// where the sum starts near 1 for the lowest cut: between 1 and 2 buckets are of equal width, beyond their width grows
// with the distance from the lowest cut, so both even and long-tailed cuts get by with few. With a negative scale the
// distance is from the highest cut. Centred tables are for two long tails: they take the bits of 1 + |sum|, the sum being
// 0 in the middle of the cuts, and keep the buckets of negative sums behind the others. All operations are monotone, so
// each bucket is an interval.
//
// An entry holds, in its low half, the bucket's lowest cut rounded down to float32 (x > c iff x > floor32(c) for every
// float32 x) or +Inf if it has none; in its high half the number of cuts below that, and crowdedPair if the bucket has
// more cuts. A float64 is rounded down too. Where that equals a cut then, and in crowded buckets, vector code goes on
// comparing with the cuts themselves.
//
// A few cuts that would share a bucket with others are left out of the table; every value is compared with them.
//
// Assembly reads the fields by their offsets.
type pairTable struct {
	entries  *uint64
	base     int // byte offset of the lowest bucket
	cuts     *float64
	singles  *float32
	lo, hi   float32 // clamp, outside of the cuts
	nan      float32 // stands for NaN, in a bucket of its own
	scale    float32
	offset   float32
	shift    uint32
	negative uint32 // centred: the first bucket of negative sums, less that of positive ones
	turns    uint32 // comparisons that settle a row of a crowded bucket
	more     uint32 // comparisons beyond those that settle a float64 that equals a cut once rounded
	peels    uint32
	peel     [maxPeels]float32

	centred bool
	table   []uint64 // keeps the memory of the pointers
	floor32 []float32
}

const (
	crowdedPair    = 1 << 16
	minPairBuckets = 1 << 5
	maxPairBuckets = 1 << 11 // 16 KiB
	maxPairCrowd   = 16      // cuts in a bucket
	maxPeels       = 4
	goodPairs      = 1.5 // pairShape.cost from which there is no need to look further
)

// pairShape is one way of laying out buckets.
type pairShape struct {
	lo, hi, nan, scale, offset float32
	shift                      uint32
	centred                    bool
	base, buckets              int
	negative                   int // centred: the first bucket of negative sums
}

// newPairTable returns nil if the cuts do not suit.
func newPairTable(q *Cuts) *pairTable {
	if q.n == 0 || q.n > MaxCuts8 {
		return nil
	}
	cuts := make([]float32, q.n)
	for i, c := range q.cuts[:q.n] {
		cuts[i] = floor32(c) + 0 // no -0
	}
	if math.IsInf(float64(cuts[0]), 0) || math.IsInf(float64(cuts[q.n-1]), 0) {
		return nil
	}
	best, least := pairShape{}, math.Inf(1)
	crowd := make([]uint16, maxPairBuckets)
search:
	for _, spread := range [...]float64{0.5, 4, 16, 64, 1 << 10, 1 << 14, 1 << 20} {
		for _, s := range [...]pairShape{
			edgePairs(cuts, spread), edgePairs(cuts, -spread), centredPairs(cuts, cuts[q.n/2], spread),
			centredPairs(cuts, 0, spread),
		} {
			for size := minPairBuckets; size <= maxPairBuckets; size *= 2 {
				if !s.lay(size, spread) || s.buckets > maxPairBuckets {
					continue
				}
				cost, crowded := s.cost(cuts, crowd)
				if cost < least {
					least, best = cost, s
				}
				if least < goodPairs {
					break search
				}
				if !crowded {
					break
				}
			}
		}
	}
	if least > 40+8*float64(q.steps) && q.how != rankSearch || math.IsInf(least, 1) {
		return nil
	}
	return best.table(q, cuts)
}

// edgePairs makes buckets whose width grows from the lowest cut on, or from the highest for a negative spread. spread is
// how many times the width of the part with even buckets the cuts span.
func edgePairs(cuts []float32, spread float64) pairShape {
	s := bounds(cuts)
	scale := spread / (float64(s.nan) - float64(s.lo))
	anchor := float64(s.lo)
	if spread < 0 {
		anchor = float64(s.nan)
	}
	s.scale, s.offset = float32(scale), float32(1-anchor*scale)
	return s
}

// centredPairs makes buckets whose width grows from the middle on.
func centredPairs(cuts []float32, middle float32, spread float64) pairShape {
	s := bounds(cuts)
	scale := spread / max(float64(s.nan)-float64(middle), float64(middle)-float64(s.lo))
	s.scale, s.offset, s.centred = float32(scale), float32(-float64(middle)*scale), true
	return s
}

// bounds leaves some room on either side of the cuts, so that values beyond them do not look like values at them.
func bounds(cuts []float32) pairShape {
	first, last := float64(cuts[0]), float64(cuts[len(cuts)-1])
	room := max(last-first, 1e-3*max(math.Abs(first), math.Abs(last)), 1e-30) / 256
	hi := max(float32(last+room), above32(cuts[len(cuts)-1]))
	return pairShape{
		lo: min(float32(first-room), below32(cuts[0])), hi: hi, nan: max(float32(last+3*room), above32(hi)),
	}
}

// lay settles about how many buckets there are; false if the cuts do not allow it.
func (s *pairShape) lay(size int, spread float64) bool {
	sides := 1.0
	if s.centred {
		sides = 2
	}
	octaves := math.Log2(1+spread) * sides
	s.shift = uint32(max(0, 23-int(math.Ceil(math.Log2(float64(size)/octaves)))))
	s.base, s.buckets, s.negative = 0, 0, 0
	for _, x := range [...]float32{s.lo, s.hi, s.nan, s.scale, s.offset, s.sum(s.lo), s.sum(s.nan)} {
		if x-x != 0 {
			return false
		}
	}
	if s.scale == 0 {
		return false
	}
	if s.centred {
		s.base = int(math.Float32bits(1) >> s.shift)
		s.negative = max(s.bucket(max(s.lo, 0))+1, s.bucket(s.nan)+1, 1)
		if s.sum(s.nan) < 0 || s.sum(s.lo) > 0 {
			return false
		}
		s.buckets = s.bucket(s.lo) + 1
		return s.bucket(s.nan) != s.bucket(s.hi)
	}
	// Bits of positive numbers are in the order of the numbers.
	low, high := s.sum(s.lo), s.sum(s.nan)
	if s.scale < 0 {
		low, high = high, low
	}
	if low < 0.5 {
		return false
	}
	s.base = int(math.Float32bits(low) >> s.shift)
	s.buckets = int(math.Float32bits(high)>>s.shift) - s.base + 1
	return s.bucket(s.nan) != s.bucket(s.hi)
}

// sum is the number that the bucket of x is taken from.
func (s *pairShape) sum(x float32) float32 { return float32(x*s.scale) + s.offset }

// bucket is the bucket of lo <= x <= hi, or of nan.
func (s *pairShape) bucket(x float32) int {
	b := math.Float32bits(s.sum(x))
	if !s.centred {
		return int(b>>s.shift) - s.base
	}
	at := int(math.Float32bits(math.Float32frombits(b&^(1<<31))+1)>>s.shift) - s.base
	if b>>31 == 1 {
		at += s.negative
	}
	return at
}

// ascending calls visit for each bucket, that of the lowest values first.
func (s *pairShape) ascending(visit func(bucket int)) {
	if s.scale > 0 {
		for b := s.buckets - 1; b >= s.negative && s.centred; b-- {
			visit(b)
		}
		last := s.buckets
		if s.centred {
			last = s.negative
		}
		for b := range last {
			visit(b)
		}
		return
	}
	for b := s.buckets - 1; b >= 0; b-- {
		visit(b)
	}
}

// cost is about what ranking takes beyond the look-ups, in ns per 64 values, with as many values between any two cuts as
// between any others; +Inf if buckets are too crowded. It also tells whether any bucket is.
func (s *pairShape) cost(cuts []float32, crowd []uint16) (ns float64, isCrowded bool) {
	crowd = crowd[:s.buckets]
	clear(crowd)
	for _, c := range cuts {
		crowd[s.bucket(c)]++
	}
	crowded, excess, most := 0, 0, 0
	for _, k := range crowd {
		if k > 1 {
			crowded += int(k)
			excess += int(k) - 1
			most = max(most, int(k))
		}
	}
	const (
		bucket = 0.003 // on its way from the second level of the cache to the first
		bend   = 2     // of centred tables
		peel   = 2     // a cut left out
		turn   = 13    // a comparison of all rows with their cuts
	)
	cost := bucket * float64(s.buckets)
	if s.centred {
		cost += bend
	}
	switch {
	case most > maxPairCrowd:
		return math.Inf(1), true
	case excess <= maxPeels:
		return cost + peel*float64(excess), excess > 0
	}
	// The chance that none of 64 values falls into a crowded bucket.
	none := math.Pow(1-float64(crowded)/float64(len(cuts)+1), 64)
	return cost + turn*(1-none)*float64(most-1), true
}

// peeled returns the cuts to leave out: all but one of each crowded bucket if they are few. Of others, only those around
// zero: many columns consist of little but zeros.
func (s *pairShape) peeled(cuts []float32) []float32 {
	var out, zero []float32
	for i := 1; i < len(cuts); i++ {
		if b := s.bucket(cuts[i]); b == s.bucket(cuts[i-1]) {
			out = append(out, cuts[i])
			if 0 >= s.lo && 0 <= s.hi && b == s.bucket(0) {
				zero = append(zero, cuts[i])
			}
		}
	}
	switch {
	case len(out) <= maxPeels:
		return out
	case len(zero) <= maxPeels:
		return zero
	}
	return nil
}

// table makes the table.
func (s *pairShape) table(q *Cuts, cuts []float32) *pairTable {
	t := &pairTable{
		lo: s.lo, hi: s.hi, nan: s.nan, scale: s.scale, offset: s.offset, shift: s.shift, base: 8 * s.base,
		negative: uint32(s.negative), centred: s.centred, table: Aligned[uint64](s.buckets),
	}
	left := cuts
	if out := s.peeled(cuts); len(out) > 0 {
		t.peels = uint32(copy(t.peel[:], out))
		left = slices.DeleteFunc(slices.Clone(cuts), func(c float32) bool {
			if len(out) > 0 && out[0] == c {
				out = out[1:]
				return true
			}
			return false
		})
	}
	in := make([][]float32, s.buckets) // the cuts of each bucket
	for len(left) > 0 {
		n, b := 1, s.bucket(left[0])
		for n < len(left) && s.bucket(left[n]) == b {
			n++
		}
		in[b], left = left[:n], left[n:]
	}
	below := 0
	most := 1
	s.ascending(func(b int) {
		entry := uint64(below) << 32
		if len(in[b]) > 1 {
			entry |= crowdedPair << 32
		}
		cut := float32(math.Inf(1))
		if len(in[b]) > 0 {
			cut = in[b][0]
		}
		t.table[b] = entry | uint64(math.Float32bits(cut))
		below += len(in[b])
		most = max(most, len(in[b]))
	})
	t.turns, t.more = uint32(most-1), 1+t.peels
	// Values left out are below nan, which must not count them.
	nan := q.nan - int(t.peels)
	t.table[s.bucket(s.nan)] = uint64(uint32(nan))<<32 | uint64(math.Float32bits(float32(math.Inf(1))))
	t.entries, t.cuts = &t.table[0], &q.cuts[0]
	if t.turns > 0 { // there are crowded buckets
		t.floor32 = make([]float32, q.n+padding)
		for i := copy(t.floor32, cuts); i < len(t.floor32); i++ {
			t.floor32[i] = float32(math.NaN())
		}
		t.singles = &t.floor32[0]
	}
	return t
}

// floor32 is the highest float32 that is not above x.
func floor32(x float64) float32 {
	f := float32(x)
	if float64(f) > x {
		f = below32(f)
	}
	return f
}

func below32(x float32) float32 { return math.Nextafter32(x, float32(math.Inf(-1))) }

func above32(x float32) float32 { return math.Nextafter32(x, float32(math.Inf(1))) }
