package engine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
)

// Trees whose levels are one split each, CatBoost's, alone and among others, of all depths that bits take.
func TestObliviousTrees(t *testing.T) {
	for _, tier := range engine.Tiers() {
		t.Run(tier, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(6, 6))
			for range 12 {
				m := enginetest.Model(rng, enginetest.Shape{Trees: 6, Leaves: 60, Features: 5, Outputs: 1})
				for i := range m.Trees {
					if depth := 1 + rng.IntN(8); i%3 > 0 && !m.Trees[i].Vector {
						m.Trees[i] = obliviousTree(rng, m, depth)
					}
				}
				enginetest.Check(t, forced(tier, engine.CompileBits), m, rng, 1+rng.IntN(600))
			}
		})
	}
}

// obliviousTree has the splits of random nodes of m, each for a level.
func obliviousTree(rng *rand.Rand, m *forest.Model, depth int) forest.Tree {
	var nodes []forest.Node
	for i := range m.Trees {
		nodes = append(nodes, m.Trees[i].Nodes...)
	}
	t := forest.Tree{Leaves: make([]float64, 1<<depth)}
	for i := range t.Leaves {
		t.Leaves[i] = float64(float32(rng.NormFloat64()))
	}
	n := 1<<depth - 1
	for level := range depth {
		split := forest.Node{Threshold: 0.5}
		if len(nodes) > 0 {
			split = nodes[rng.IntN(len(nodes))]
		}
		for range 1 << level {
			node, at := split, len(t.Nodes)
			node.Left, node.Right = int32(2*at+1), int32(2*at+2)
			if 2*at+1 >= n {
				node.Left, node.Right = ^int32(2*at+1-n), ^int32(2*at+2-n)
			}
			t.Nodes = append(t.Nodes, node)
		}
	}
	return t
}
