package engine_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
)

// plainModel is a random model whose margins are sums.
func plainModel(rng *rand.Rand, s enginetest.Shape) *forest.Model {
	m := enginetest.Model(rng, s)
	m.Scale, m.Bias, m.Arithmetic.Average = 1, nil, false
	return m
}

func TestRowsScoreLikeTheOracle(t *testing.T) {
	shapes := map[string]enginetest.Shape{
		"stumps": {Trees: 60, Leaves: 2, Features: 20, Outputs: 2},
		"small":  {Trees: 8, Leaves: 8, Features: 4, Outputs: 1},
		"flat":   {Trees: 40, Leaves: 32, Features: 12, Outputs: 3},
		"mixed":  {Trees: 60, Leaves: 70, Features: 9, Outputs: 2, Chains: true},
		"heaps":  {Trees: 3, Leaves: 2, Features: 30, Outputs: 2},
		"blocks": {Trees: 12, Leaves: 256, Features: 30, Outputs: 2, Chains: true},
		"large":  {Trees: 4, Leaves: 2000, Features: 30, Outputs: 2},
		"cuts":   {Trees: 90, Leaves: 200, Features: 90, Outputs: 1},
	}
	for _, tier := range engine.Tiers() {
		seen := make(map[string]int)
		for name, shape := range shapes {
			t.Run(tier+"/"+name, func(t *testing.T) {
				models := uint64(30)
				switch {
				case testing.Short():
					models = 4
				case shape.Trees*shape.Leaves > 2500:
					models = 8
				}
				for seed := range models {
					rng := rand.New(rand.NewPCG(seed, 11))
					m := plainModel(rng, shape)
					if name == "heaps" {
						m.Trees = completeTrees(rng, m)
						m.Iterations, m.Stop = len(m.Trees), 0
					}
					for _, k := range checkRows(t, m, tier, rng) {
						seen[k]++
					}
				}
			})
		}
		want := []string{"walk"}
		if tier == "avx512" {
			want = append(want, "flat", "heap", "blocks")
		}
		for _, k := range want {
			if seen[k] == 0 {
				t.Errorf("%s: no part of kind %s", tier, k)
			}
		}
	}
}

// completeTrees are trees of depth 6, from which a leaf or node or two are missing.
func completeTrees(rng *rand.Rand, m *forest.Model) []forest.Tree {
	var trees []forest.Tree
	for i := range 1 + rng.IntN(40) {
		t := forest.Tree{Output: i % m.Outputs}
		var grow func(depth int) int32
		grow = func(depth int) int32 {
			if depth == 6 || depth > 3 && rng.IntN(20) == 0 {
				t.Leaves = append(t.Leaves, rng.NormFloat64())
				return ^int32(len(t.Leaves) - 1)
			}
			at := len(t.Nodes)
			t.Nodes = append(t.Nodes, forest.Node{
				Feature: int32(rng.IntN(len(m.Features))), Threshold: float64(rng.IntN(200)) / 64, NaNLeft: rng.IntN(2) == 0,
				Op: forest.Op(rng.IntN(2)), Zero: forest.ZeroRule(rng.IntN(3)),
			})
			left := grow(depth + 1)
			right := grow(depth + 1)
			t.Nodes[at].Left, t.Nodes[at].Right = left, right
			return int32(at)
		}
		grow(0)
		trees = append(trees, t)
	}
	return trees
}

// checkRows compares rows of a random table with the oracle and returns the kinds of the parts that scored them.
func checkRows(t *testing.T, m *forest.Model, tier string, rng *rand.Rand) []string {
	t.Helper()
	var o engine.Options
	if rng.IntN(3) == 0 {
		o.Iterations = 1 + rng.IntN(m.Iterations)
	}
	if rng.IntN(3) == 0 {
		v := []float64{0, -999, 1, math.Inf(1), 0.1}[rng.IntN(5)]
		o.Missing = &v
	}
	p, err := engine.Compile(m, o)
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := engine.NewRowScorer(p, m, o, tier)
	if err != nil {
		t.Fatal(err)
	}
	if scorer == nil {
		t.Fatal("not served")
	}
	const rows = 20
	table := enginetest.NewTable(rng, m, rows)
	b := enginetest.Bind(t, p, table, 0, rows)
	want := enginetest.Expect(m, o, table, nil)
	acc := make([]float64, m.Outputs)
	for r := range rows {
		for k := range acc {
			acc[k] = m.Base[k]
			if m.Arithmetic.Sum == forest.Float32 {
				acc[k] = float64(float32(acc[k]))
			}
		}
		scorer.Score(b, r, acc)
		for k, got := range acc {
			if w := want[r*m.Outputs+k]; math.Float64bits(got) != math.Float64bits(w) && (got == got || w == w) {
				t.Fatalf("row %d, output %d: got %v, want %v; parts %v", r, k, got, w, scorer.Kinds())
			}
		}
	}
	if n := testing.AllocsPerRun(10, func() { scorer.Score(b, 0, acc) }); n != 0 {
		t.Fatalf("%v allocations a row", n)
	}
	return scorer.Kinds()
}
