package enginetest

import (
	"math/bits"
	"math/rand/v2"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// Cover gives a model random node weights: sums of the leaves' weights, some of which are zero, as are now and then those
// of a whole tree.
func Cover(rng *rand.Rand, m *forest.Model) {
	for i := range m.Trees {
		t := &m.Trees[i]
		t.LeafCover, t.NodeCover = make([]float64, t.NumLeaves()), make([]float64, len(t.Nodes))
		if rng.IntN(20) == 0 {
			continue
		}
		for leaf := range t.LeafCover {
			if rng.IntN(8) > 0 {
				t.LeafCover[leaf] = float64(rng.IntN(1000)) + rng.Float64()
			}
		}
		for n := len(t.Nodes) - 1; n >= 0; n-- {
			for _, child := range [2]int32{t.Nodes[n].Left, t.Nodes[n].Right} {
				if child >= 0 {
					t.NodeCover[n] += t.NodeCover[child]
				} else {
					t.NodeCover[n] += t.LeafCover[^child]
				}
			}
		}
	}
}

// Contributions returns the Shapley values of one row by their definition: the weighted mean, over all sets of a tree's
// other features, of what knowing the feature changes. Trees may read up to some 12 features. The result has
// Outputs x (Features+1) values.
func Contributions(m *forest.Model, o engine.Options, row []Value, base []float64) []float64 {
	x, trees := inputs(m, o, row)
	if base == nil {
		base = m.Base
	}
	width := len(m.Features) + 1
	out := make([]float64, m.Outputs*width)
	for k := range m.Outputs {
		phi := out[k*width : (k+1)*width]
		phi[width-1] = base[k]
		n := 0.0
		for i := range trees {
			if trees[i].Vector || trees[i].Output == k {
				shapley(phi, m, &trees[i], x, k)
				n++
			}
		}
		for f := range phi {
			if m.Arithmetic.Average && n > 0 {
				phi[f] /= n
			}
			phi[f] *= m.Scale
		}
		if m.Bias != nil {
			phi[width-1] += m.Bias[k]
		}
	}
	return out
}

// inputs returns the row in the model's input type and the trees that count.
func inputs(m *forest.Model, o engine.Options, row []Value) ([]float64, []forest.Tree) {
	if o.Missing == nil {
		o.Missing = m.Missing
	}
	if o.Iterations == 0 {
		o.Iterations = m.Stop
	}
	x := make([]float64, len(row))
	for f, v := range row {
		x[f] = v.Input(m.Arithmetic.Input)
		if o.Missing != nil && x[f] == (Value{Kind: Float, F: *o.Missing}).Input(m.Arithmetic.Input) {
			x[f] = (Value{}).Input(m.Arithmetic.Input)
		}
	}
	trees := m.Trees
	if o.Iterations > 0 {
		trees = trees[:len(trees)/m.Iterations*o.Iterations]
	}
	return x, trees
}

// shapley adds a tree's values for output k.
func shapley(phi []float64, m *forest.Model, t *forest.Tree, x []float64, k int) {
	var players []int32
	index := make(map[int32]int)
	for i := range t.Nodes {
		f := t.Nodes[i].Feature
		if _, ok := index[f]; !ok {
			index[f] = len(players)
			players = append(players, f)
		}
	}
	n := len(players)
	worth := make([]float64, 1<<n)
	for set := range worth {
		worth[set] = expectation(m, t, x, k, start(t), func(f int32) bool { return set>>index[f]&1 == 1 })
	}
	weight := make([]float64, n) // by size of the set: 1 over n times (n-1 choose size)
	for size := range weight {
		weight[size] = 1 / float64(n)
		for i := range size {
			weight[size] *= float64(i+1) / float64(n-1-i)
		}
	}
	for i, f := range players {
		for set := range worth {
			if set>>i&1 == 0 {
				phi[f] += weight[bits.OnesCount(uint(set))] * (worth[set|1<<i] - worth[set])
			}
		}
	}
	phi[len(phi)-1] += worth[0]
}

func start(t *forest.Tree) int32 {
	if len(t.Nodes) == 0 {
		return ^0
	}
	return 0
}

// expectation is the mean leaf below a node when only some features are known.
func expectation(m *forest.Model, t *forest.Tree, x []float64, k int, at int32, known func(int32) bool) float64 {
	if at < 0 {
		if t.Vector {
			return t.Leaves[int(^at)*m.Outputs+k]
		}
		return t.Leaves[^at]
	}
	n := &t.Nodes[at]
	if known(n.Feature) {
		if goesLeft(m, n, x[n.Feature]) {
			return expectation(m, t, x, k, n.Left, known)
		}
		return expectation(m, t, x, k, n.Right, known)
	}
	left, right := cover(t, n.Left), cover(t, n.Right)
	if left+right == 0 {
		left, right = 1, 1
	}
	return (left*expectation(m, t, x, k, n.Left, known) + right*expectation(m, t, x, k, n.Right, known)) / (left + right)
}

func cover(t *forest.Tree, at int32) float64 {
	if at < 0 {
		return t.LeafCover[^at]
	}
	return t.NodeCover[at]
}

// Leaves returns the leaf that a row reaches in each tree: its index, and its name.
func Leaves(m *forest.Model, o engine.Options, row []Value) (leaves, names []int32) {
	x, trees := inputs(m, o, row)
	for i := range trees {
		t := &trees[i]
		at := start(t)
		for at >= 0 {
			n := &t.Nodes[at]
			if goesLeft(m, n, x[n.Feature]) {
				at = n.Left
			} else {
				at = n.Right
			}
		}
		leaves = append(leaves, ^at)
		if t.LeafNames != nil {
			names = append(names, t.LeafNames[^at])
		} else {
			names = append(names, ^at)
		}
	}
	return leaves, names
}
