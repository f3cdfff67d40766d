package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// Edges is Run for models at the limits of size.
func Edges(t *testing.T, compile Compiler) {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 9))
	for name, m := range map[string]*forest.Model{
		"no trees":      edgeModel(3, nil),
		"no features":   edgeModel(0, []forest.Tree{{Leaves: []float64{1.5}}, {Leaves: []float64{0.25}}}),
		"single leaves": edgeModel(2, []forest.Tree{{Leaves: []float64{1.5}}, {Leaves: []float64{0.1}}, {Leaves: []float64{0.2}}}),
		"65536 leaves":  edgeModel(7, []forest.Tree{completeTree(rng, 16, 7), completeTree(rng, 3, 7)}),
		"a deep chain":  edgeModel(2, []forest.Tree{chain(3000)}),
		"256 leaves":    edgeModel(5, []forest.Tree{completeTree(rng, 8, 5), completeTree(rng, 8, 5)}),
		"many cuts":     manyCuts(rng, 70000),
		"many features": manyFeatures(rng, 70_000),
		"wide sets":     wideSets(rng),
	} {
		t.Run(name, func(t *testing.T) {
			all := []int{0, 1, 66}
			if len(m.Features) > 1000 || len(m.Trees) > 1000 {
				all = all[2:] // they take long to compile, and its pieces are of few rows too
			}
			for _, rows := range all {
				Check(t, compile, m, rng, rows)
			}
		})
	}
	t.Run("all NaN", func(t *testing.T) {
		m := Model(rng, Shape{Trees: 10, Leaves: 40, Features: 6, Outputs: 2})
		p, err := compile(m, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		table := &Table{Rows: 77}
		for range m.Features {
			table.Columns = append(table.Columns, newColumn(rng, "missing", nil, nil, 77))
		}
		Compare(t, p, table, Expect(m, engine.Options{}, table, nil), nil, 0, 77, 1)
	})
}

func edgeModel(features int, trees []forest.Tree) *forest.Model {
	m := &forest.Model{
		Outputs: 1, Base: []float64{0.5}, Scale: 1, Link: forest.Link{Slope: 1, Divisor: 1}, Trees: trees,
		Iterations: max(1, len(trees)),
	}
	for f := range features {
		m.Features = append(m.Features, forest.Feature{Name: fmt.Sprint("f", f)})
	}
	return m
}

// completeTree has 2^depth leaves.
func completeTree(rng *rand.Rand, depth, features int) forest.Tree {
	n := 1<<depth - 1
	t := forest.Tree{Nodes: make([]forest.Node, n), Leaves: make([]float64, n+1)}
	for i := range t.Nodes {
		node := forest.Node{Feature: int32(rng.IntN(features)), Threshold: rng.NormFloat64(), Left: int32(2*i + 1), Right: int32(2*i + 2)}
		if 2*i+1 >= n {
			node.Left, node.Right = ^int32(2*i+1-n), ^int32(2*i+2-n)
		}
		t.Nodes[i] = node
	}
	for i := range t.Leaves {
		t.Leaves[i] = rng.NormFloat64()
	}
	return t
}

// chain is as deep as it has nodes.
func chain(n int) forest.Tree {
	t := forest.Tree{}
	for i := range n {
		t.Nodes = append(t.Nodes, forest.Node{
			Feature: int32(i % 2), Threshold: 3 - 6*float64(i)/float64(n), Left: int32(i + 1), Right: ^int32(i),
		})
		t.Leaves = append(t.Leaves, float64(i))
	}
	t.Nodes[n-1].Left = ^int32(n)
	t.Leaves = append(t.Leaves, float64(n))
	return t
}

// manyCuts has a feature with n distinct thresholds and one with about 3000, in small trees.
func manyCuts(rng *rand.Rand, n int) *forest.Model {
	m := edgeModel(2, nil)
	for i := range n / 63 {
		t := completeTree(rng, 6, 1)
		if i%20 == 0 {
			for j := range t.Nodes {
				t.Nodes[j].Feature = 1
			}
		}
		m.Trees = append(m.Trees, t)
	}
	m.Iterations = len(m.Trees)
	return m
}

func manyFeatures(rng *rand.Rand, n int) *forest.Model {
	m := edgeModel(n, nil)
	for range 20 {
		m.Trees = append(m.Trees, completeTree(rng, 5, n))
	}
	m.Trees = append(m.Trees, completeTree(rng, 10, n))
	m.Iterations = len(m.Trees)
	return m
}

// wideSets has categories up to 2^24 and feature values around them.
func wideSets(rng *rand.Rand) *forest.Model {
	m := edgeModel(1, nil)
	m.Arithmetic.CategoryCast = forest.CastNonNegative
	wide := make(forest.CategorySet, 1<<19)
	for range 1000 {
		wide[rng.IntN(len(wide))] |= 1 << rng.IntN(32)
	}
	wide[len(wide)-1] = math.MaxUint32
	dense := make(forest.CategorySet, 1500)
	for i := range dense {
		dense[i] = rng.Uint32()
	}
	m.Sets = []forest.CategorySet{wide, dense, {0xf0}}
	for set := range int32(3) {
		m.Trees = append(m.Trees, forest.Tree{
			Nodes:  []forest.Node{{Op: forest.NotInSet, Set: set, Left: ^0, Right: ^1, OtherLeft: true}},
			Leaves: []float64{1, 2},
		})
	}
	m.Iterations = 3
	return m
}
