package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// scratch is the working memory of one scoring goroutine.
type scratch[F float] struct {
	rankScratch
	sums  []F          // accumulators: see machine
	plain []F          // accumulators of walks
	keys  []int64      // walkGroup: rows of keys
	found [word]uint32 // walkGroup: leaf entries of 64 rows
}

// rankScratch is the part that masks are made in.
type rankScratch struct {
	ranker  ranker
	flush   bool     // see arithmetic
	arena   []uint64 // a word per split, and those of leaf numbers
	planes  []uint64 // of one feature's codes
	codes8  []uint8  // of one feature
	codes16 []uint16
	values  [word]float64 // walkGroup: a feature's values
}

// arithmetic is what reading and splitting values depends on.
type arithmetic struct {
	reading reading
	flush   bool
	cast    forest.CategoryCast
}

func newScratch[F float](m *machine[F]) *scratch[F] {
	rows := m.k.Rows()
	s := &scratch[F]{
		sums:  kernel.Aligned[F]((m.chunk + rows - 1) / rows * rows * m.outputs),
		plain: make([]F, (m.chunk+word-1)/word*word*m.outputs),
		keys:  make([]int64, m.keys),
	}
	s.ranker.kernel, s.ranker.reading, s.ranker.cast = m.k.Table, m.arithmetic.reading, m.arithmetic.cast
	s.flush = m.arithmetic.flush
	s.arena = kernel.Aligned[uint64](m.words * m.k.Words)
	s.planes = kernel.Aligned[uint64](16 * m.k.Words)
	s.codes8 = kernel.Aligned[uint8](rows)
	s.codes16 = kernel.Aligned[uint16](rows)
	return s
}
