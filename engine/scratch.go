package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// scratch is the working memory of one scoring goroutine.
type scratch[F float] struct {
	bitScratch
	row   rowScratch
	deep  []*deepScratch // by group
	sums  []F            // accumulators: see machine
	plain []F            // those of a deep group among others
}

// bitScratch is what bits are made in.
type bitScratch struct {
	ranker  ranker
	flush   bool     // see arithmetic
	arena   []uint64 // a word per split, and those of leaf numbers
	planes  []uint64 // of one feature's codes
	codes8  []uint8  // of one feature
	codes16 []uint16
}

// arithmetic is what reading and splitting values depends on.
type arithmetic struct {
	reading reading
	flush   bool
	cast    forest.CategoryCast
}

func newScratch[F float](m *machine[F]) *scratch[F] {
	s := &scratch[F]{sums: kernel.Aligned[F](m.chunk * m.outputs), deep: make([]*deepScratch, len(m.groups))}
	for i := range m.groups {
		if g := m.groups[i].deep; g != nil {
			s.deep[i] = g.newScratch(m.k.Table, m.arithmetic.reading, m.arithmetic.cast)
			if m.blocks != m.plain && s.plain == nil {
				s.plain = make([]F, m.chunk*m.outputs)
			}
		}
	}
	if m.words == 0 {
		return s
	}
	s.ranker.kernel, s.ranker.reading, s.ranker.cast = m.k.Table, m.arithmetic.reading, m.arithmetic.cast
	s.flush = m.arithmetic.flush
	s.arena = kernel.Aligned[uint64](m.words * m.k.Words)
	s.planes = kernel.Aligned[uint64](16 * m.k.Words)
	s.codes8 = kernel.Aligned[uint8](m.k.Rows())
	s.codes16 = kernel.Aligned[uint16](m.k.Rows())
	return s
}
