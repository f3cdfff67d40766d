package engine

import "github.com/treeline-ml/treeline/engine/internal/kernel"

// kernels are a tier's functions for accumulators of type F.
type kernels[F float] struct {
	*kernel.Table
	sum   func(acc []F, arena []uint64, trees []kernel.Leaves, table []uint64, groups int)
	lay   func(table []uint64, leaves []F, bits int)
	size  func(bits int) int
	order *[word]uint8
}

// float is the accumulator's type.
type float interface{ float32 | float64 }

// newKernels picks the functions for F.
func newKernels[F float](t *kernel.Table) *kernels[F] {
	k := &kernels[F]{Table: t}
	switch k := any(k).(type) {
	case *kernels[float64]:
		k.sum, k.lay, k.order, k.size = t.Sum64, t.Lay64, t.Order64, kernel.Size64
	case *kernels[float32]:
		k.sum, k.lay, k.order, k.size = t.Sum32, t.Lay32, t.Order32, kernel.Size32
	}
	return k
}

// add adds the leaves of all trees for rows from..from+n of b, n <= k.Rows(), to acc: of row r and output o to
// acc[o*k.Rows()+r&^63+k.order[r&63]].
func (g *bitGroup[F]) add(k *kernels[F], s *bitScratch, b *Block, from, n int, acc []F, outputs int) {
	g.plan.run(k.Table, s, b, from, n)
	rows, groups := k.Rows(), (n+word-1)/word
	var done bitRound
	round, trees := 0, 0
	for i := range g.batches {
		batch := &g.batches[i]
		for ; round < batch.rounds; round++ {
			r := &g.rounds[round]
			k.Blend(s.arena, g.steps[done.steps:r.steps])
			if done.complete < r.complete {
				k.Trees(s.arena, r.depth, g.complete[done.complete:r.complete])
			}
			k.Blend(s.arena, g.joins[done.joins:r.joins])
			done = *r
		}
		if batch.vector {
			g.addVectors(k, s, g.trees[trees:batch.trees], acc, n, outputs)
		} else {
			k.sum(acc[batch.output*rows:(batch.output+1)*rows], s.arena, g.trees[trees:batch.trees], g.table, groups)
		}
		trees = batch.trees
	}
}

// addVectors adds a leaf's values for all outputs.
func (g *bitGroup[F]) addVectors(k *kernels[F], s *bitScratch, trees []kernel.Leaves, acc []F, n, outputs int) {
	rows := k.Rows()
	for i := range trees {
		t := &trees[i]
		k.IDs(s.codes8, s.arena, t, (n+word-1)/word)
		for r, id := range s.codes8[:n] {
			at := r&^(word-1) + int(k.order[r&(word-1)])
			for o, v := range g.vectors[int(t.Table)+int(id)*outputs:][:outputs] {
				acc[o*rows+at] += v
			}
		}
	}
}
