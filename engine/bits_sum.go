package engine

// float is the accumulator's type.
type float interface{ float32 | float64 }

// bitGroup is a run of trees that are evaluated by masks.
type bitGroup[F float] struct {
	plan  *maskPlan
	trees []bitTree // sorted by output; in training order within one
	// leaves holds the leaf values of each tree from bitTree.leaves on, padded so that 256 values follow every start.
	leaves []F
	spread *[256]uint64
}

// bitBatch is the number of trees whose leaf numbers are kept before they are summed.
const bitBatch = 32

// add adds the leaves of all trees to acc: acc[k*64+r] for output k and row r of the word.
func (g *bitGroup[F]) add(s *scratch[F], acc []F, outputs int) {
	for first := 0; first < len(g.trees); {
		batch := g.trees[first:min(first+bitBatch, len(g.trees))]
		n := 0
		for n < len(batch) && batch[n].output == batch[0].output && batch[n].vector == batch[0].vector {
			batch[n].number(s.ranking.masks, &s.slots, g.spread, &s.numbers[n&(bitBatch-1)])
			n++
		}
		if batch[0].vector {
			g.sumVector(s, batch[:n], acc, outputs)
		} else {
			k := batch[0].output * word
			g.sum(s, batch[:n], (*[word]F)(acc[k:k+word]))
		}
		first += n
	}
}

// sum adds one leaf of each tree to each row, in tree order.
func (g *bitGroup[F]) sum(s *scratch[F], batch []bitTree, acc *[word]F) {
	for o := 0; o < word; o += 8 {
		a0, a1, a2, a3 := acc[o], acc[(o+1)&63], acc[(o+2)&63], acc[(o+3)&63]
		a4, a5, a6, a7 := acc[(o+4)&63], acc[(o+5)&63], acc[(o+6)&63], acc[(o+7)&63]
		for i := range batch {
			leaf := (*[256]F)(g.leaves[batch[i].leaves:])
			w := s.numbers[i&(bitBatch-1)][o>>3]
			a0 += leaf[uint8(w)]
			a1 += leaf[uint8(w>>8)]
			a2 += leaf[uint8(w>>16)]
			a3 += leaf[uint8(w>>24)]
			a4 += leaf[uint8(w>>32)]
			a5 += leaf[uint8(w>>40)]
			a6 += leaf[uint8(w>>48)]
			a7 += leaf[uint8(w>>56)]
		}
		acc[o], acc[(o+1)&63], acc[(o+2)&63], acc[(o+3)&63] = a0, a1, a2, a3
		acc[(o+4)&63], acc[(o+5)&63], acc[(o+6)&63], acc[(o+7)&63] = a4, a5, a6, a7
	}
}

// sumVector adds a leaf's values for all outputs.
func (g *bitGroup[F]) sumVector(s *scratch[F], batch []bitTree, acc []F, outputs int) {
	for i := range batch {
		for r := range word {
			n := int(uint8(s.numbers[i&(bitBatch-1)][r>>3] >> (8 * r & 63)))
			leaf := g.leaves[batch[i].leaves+n*outputs:][:outputs]
			for k, v := range leaf {
				acc[k*word+r] += v
			}
		}
	}
}
