package engine

import (
	"math/bits"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

// run computes all words of the arena for rows from..from+n of b, n <= t.Rows().
func (p *maskPlan) run(t *kernel.Table, s *bitScratch, b *Block, from, n int) {
	w := t.Words
	clear(s.arena[noRows*w : (noRows+1)*w])
	ones := s.arena[allRows*w : (allRows+1)*w]
	for i := range ones {
		ones[i] = ^uint64(0)
	}
	for i := range p.numeric {
		f := &p.numeric[i]
		c := &b.cols[f.feature]
		f.run(t, s, c, from, n)
		if f.zero != 0 {
			zero := s.arena[f.zero*w : (f.zero+1)*w]
			clear(zero)
			s.ranker.zeros(zero, c, from, n, s.flush)
		}
	}
	for i := range p.sets {
		f := &p.sets[i]
		s.ranker.slots(s.codes16, &f.slots, &b.cols[f.feature], from, n)
		clear(s.codes16[n:]) // Sets reads a whole block
		t.Sets(s.arena, f.first, s.codes16, f.right, (f.splits+word-1)/word)
	}
	for i := range p.derived {
		p.derived[i].run(s.arena, w)
	}
}

// run computes the words for the feature's cuts.
func (f *numericMasks) run(t *kernel.Table, s *bitScratch, c *Column, from, n int) {
	size := f.ranks.N()
	if !f.nanLow {
		size++
	}
	planes := bits.Len(uint(size))
	if f.ranks.N() <= kernel.MaxCuts8 {
		s.ranker.codes8(s.codes8, f.ranks, c, from, n)
		t.Planes8(s.planes, s.codes8, planes)
	} else {
		s.ranker.codes16(s.codes16, f.ranks, c, from, n)
		t.Planes16(s.planes, s.codes16, planes)
	}
	t.Exceed(s.arena[f.base*t.Words:], s.planes, size, planes)
	if len(f.leftOf) > 0 {
		t.AndNot(s.arena, f.left, f.leftOf, f.base+f.ranks.N())
	}
}

// run computes the derived word.
func (d *derivation) run(arena []uint64, w int) {
	to, base, or := arena[int(d.to)*w:][:w], arena[int(d.base)*w:][:w], arena[int(d.or)*w:][:w]
	not1, not2 := arena[int(d.not1)*w:][:w], arena[int(d.not2)*w:][:w]
	for i := range to {
		to[i] = (base[i] | or[i]) &^ not1[i] &^ not2[i]
	}
}
