package kernel

import (
	"math"
)

// pairTable finds the code of a float32 by one look-up. The bucket of x is taken from the bits of a float32,
//
//	bits(clamp(x)*scale + offset) >> shift, less the lowest bucket,
//
// where the sum starts near 1 for the lowest cut: between 1 and 2 buckets are of equal width, beyond their width grows
// with the distance from the lowest cut, so both even and long-tailed cuts get by with few. With a negative scale the
// distance is from the highest cut. All operations are monotone, so each bucket is an interval.
//
// An entry holds, in its low half, the bucket's only cut rounded down to float32 (x > c iff x > floor32(c) for every
// float32 x), +Inf if it has none, or NaN if it has several; in its high half the number of cuts below those. A float64
// is rounded down too; where it equals a cut then, or where there are several, the vector code goes on comparing with the
// cuts themselves.
//
// Assembly reads the fields by their offsets.
type pairTable struct {
	entries *uint64
	base    int // byte offset of the lowest bucket
	cuts    *float64
	singles *float32
	lo, hi  float32 // clamp, outside of the cuts
	nan     float32 // stands for NaN, in a bucket of its own
	scale   float32
	offset  float32
	shift   uint32
	table   []uint64 // keeps the memory of the pointers
	floor32 []float32
}

// single is one way of laying out buckets.
type pairShape struct {
	lo, hi, nan, scale, offset float32
	shift                      uint32
	base, buckets              int
}

const (
	minPairBuckets = 1 << 5
	maxPairBuckets = 1 << 12 // 32 KiB
	maxPairCrowd   = 16      // cuts in a bucket
)

// newPairTable returns nil if the cuts do not suit.
func newPairTable(q *Cuts) *pairTable {
	if q.n == 0 || q.n > MaxCuts8 {
		return nil
	}
	cuts := make([]float32, q.n, q.n+padding)
	for i, c := range q.cuts[:q.n] {
		cuts[i] = floor32(c)
	}
	nan := float32(math.NaN())
	var best pairShape
	least := math.Inf(1)
	crowd := make([]uint16, maxPairBuckets)
	for _, spread := range [...]float64{0.5, 4, 16, 64, 1 << 10, 1 << 14, 1 << 20, -0.5, -4, -16, -64, -1 << 10} {
		for size := minPairBuckets; size <= maxPairBuckets; size *= 2 {
			s, ok := newPairShape(cuts, spread, size)
			if !ok || s.buckets > maxPairBuckets {
				break
			}
			if cost := s.cost(cuts, crowd); cost < least {
				least, best = cost, s
			}
		}
	}
	if math.IsInf(least, 1) {
		return nil
	}
	t := &pairTable{
		lo: best.lo, hi: best.hi, nan: best.nan, scale: best.scale, offset: best.offset, shift: best.shift,
		base: 8 * best.base, table: Aligned[uint64](best.buckets),
	}
	type content struct {
		below, n int
		cut      float32
	}
	in := make([]content, best.buckets)
	for _, c := range cuts {
		e := &in[best.bucket(c)]
		e.n++
		e.cut = c
	}
	up := best.scale > 0
	below := 0
	for i := range in {
		at := i
		if !up {
			at = len(in) - 1 - i
		}
		in[at].below = below
		below += in[at].n
	}
	for i, e := range in {
		cut := float32(math.Inf(1))
		switch {
		case e.n == 1:
			cut = e.cut
		case e.n > 1:
			cut = nan
		}
		t.table[i] = uint64(e.below)<<32 | uint64(math.Float32bits(cut))
	}
	t.table[best.bucket(best.nan)] = uint64(q.nan)<<32 | uint64(math.Float32bits(float32(math.Inf(1))))
	for range padding {
		cuts = append(cuts, nan)
	}
	t.floor32 = cuts
	t.entries, t.cuts, t.singles = &t.table[0], &q.cuts[0], &t.floor32[0]
	return t
}

// newPairShape makes about size buckets. spread is how many times the width of the first bucket's octave the cuts span,
// negative for distances from the highest cut.
func newPairShape(cuts []float32, spread float64, size int) (s pairShape, ok bool) {
	first, last := float64(cuts[0]), float64(cuts[len(cuts)-1])
	if math.IsInf(first, 0) || math.IsInf(last, 0) {
		return s, false
	}
	// Half a bucket's width of room on either side keeps values outside the cuts from looking like values at them.
	octaves := math.Log2(1 + math.Abs(spread))
	width := max(last-first, 1e-3*max(math.Abs(first), math.Abs(last)), 1e-30)
	room := width / float64(size)
	s.lo = min(float32(first-room), below32(cuts[0]))
	s.hi = max(float32(last+room), above32(cuts[len(cuts)-1]))
	s.nan = max(float32(last+3*room), above32(s.hi))
	scale := spread / (float64(s.nan) - float64(s.lo))
	anchor := float64(s.lo)
	if spread < 0 {
		anchor = float64(s.nan)
	}
	s.scale, s.offset = float32(scale), float32(1-anchor*scale)
	s.shift = uint32(max(0, 23-int(math.Ceil(math.Log2(float64(size)/octaves)))))
	low, high := s.key(s.lo), s.key(s.nan)
	if spread < 0 {
		low, high = high, low
	}
	// Bits of numbers from 0.5 on are in the order of the numbers.
	for _, x := range [...]float32{s.lo, s.hi, s.nan, s.offset, s.sum(s.lo), s.sum(s.nan)} {
		if x-x != 0 {
			return s, false
		}
	}
	if min(s.sum(s.lo), s.sum(s.nan)) < 0.5 || s.scale == 0 {
		return s, false
	}
	s.base, s.buckets = low, high-low+1
	return s, s.bucket(s.nan) != s.bucket(s.hi)
}

// sum is the number that the bucket of x is taken from.
func (s *pairShape) sum(x float32) float32 { return float32(x*s.scale) + s.offset }

func (s *pairShape) key(x float32) int { return int(math.Float32bits(s.sum(x)) >> s.shift) }

// bucket is the bucket of lo <= x <= hi, or of nan.
func (s *pairShape) bucket(x float32) int { return s.key(x) - s.base }

// cost is about what ranking takes, in ns per 64 values, with as many values between any two cuts as between any others;
// +Inf if buckets are too crowded.
func (s *pairShape) cost(cuts []float32, crowd []uint16) float64 {
	crowd = crowd[:s.buckets]
	clear(crowd)
	for _, c := range cuts {
		crowd[s.bucket(c)]++
	}
	crowded := 0.0
	most := uint16(0)
	for _, k := range crowd {
		if most = max(most, k); k > 1 {
			crowded += float64(k)
		}
	}
	if most > maxPairCrowd {
		return math.Inf(1)
	}
	const (
		line = 0.008 // a bucket's share of a cache line's way from the second level to the first
		turn = 24    // a turn of comparisons
	)
	// The chance that none of 64 values falls into a crowded bucket.
	none := math.Pow(1-crowded/float64(len(cuts)+1), 64)
	return line*float64(s.buckets) + turn*(1-none)*float64(most-1)
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
