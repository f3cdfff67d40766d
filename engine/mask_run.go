package engine

import (
	"github.com/treeline-ml/treeline/forest"
)

// run computes all words for rows from..from+n of b, n <= 64. Bits of rows beyond n are arbitrary.
func (p *maskPlan) run(s *rankScratch, b *Block, from, n int, a *arithmetic) {
	m := s.masks[:p.size]
	m[noRows], m[allRows] = 0, ^uint64(0)
	for i := range p.numeric {
		f := &p.numeric[i]
		v := b.cols[f.feature].values(s.values[:], from, n, &a.reading)
		f.run(s, v, m)
		if f.zero != 0 {
			var zero uint64
			for r, x := range v {
				zero |= uint64(one(isZero(x, a.flush))) << (r & 63)
			}
			m[f.zero] = zero
		}
	}
	for i := range p.sets {
		f := &p.sets[i]
		v := b.cols[f.feature].values(s.values[:], from, n, &a.reading)
		f.run(s, v, m, a.cast)
	}
	for _, d := range p.derived {
		m[d.to] = (m[d.base] | m[d.or]) &^ m[d.not1] &^ m[d.not2]
	}
}

// run computes the words for the feature's cuts.
func (f *numericMasks) run(s *rankScratch, v []float64, m []uint64) {
	q := f.ranks
	size := q.n
	if !f.nanLow {
		size++
	}
	own := m[f.base : f.base+size]
	if size < 1<<8 {
		rank(q, v, s.ranks[:])
		s.exceed(own)
	} else {
		rank(q, v, s.wide[:])
		s.exceedWide(own)
	}
	if len(f.leftOf) > 0 {
		nan := m[f.base+q.n]
		left := m[f.left : f.left+len(f.leftOf)]
		for i, from := range f.leftOf {
			left[i] = m[from] &^ nan
		}
	}
}

// run computes the words for the feature's sets.
func (f *setMasks) run(s *rankScratch, v []float64, m []uint64, cast forest.CategoryCast) {
	for r, x := range v {
		slot := f.n - 1
		if x == x {
			slot = f.n - 2
			if c := categoryCode(x, cast); c >= 0 {
				slot = 0
				if c < len(f.slots) {
					slot = int(f.slots[c])
				}
			}
		}
		s.wide[r&63] = uint16(slot)
	}
	width := (f.splits + word - 1) / word
	for i := range width {
		out := (*[word]uint64)(m[f.first+i*word:])
		for r := range v {
			out[r&63] = f.right[int(s.wide[r&63])*width+i]
		}
		transpose(out)
	}
}
