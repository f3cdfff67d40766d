package engine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
)

// Each tier, over several batches of rows.
func TestDeepTiers(t *testing.T) {
	shapes := map[string]enginetest.Shape{
		"large":     {Trees: 4, Leaves: 900, Features: 12, Outputs: 3},
		"mixed":     {Trees: 8, Leaves: 400, Features: 40, Outputs: 2, Chains: true},
		"few":       {Trees: 12, Leaves: 40, Features: 5, Outputs: 2},
		"many cuts": {Trees: 3, Leaves: 5000, Features: 2, Outputs: 1},
	}
	for _, tier := range engine.Tiers() {
		for name, shape := range shapes {
			t.Run(tier+"/"+name, func(t *testing.T) {
				for seed := range uint64(8) {
					rng := rand.New(rand.NewPCG(seed, 11))
					enginetest.Check(t, forced(tier, engine.CompileDeep), enginetest.Model(rng, shape), rng, 500+rng.IntN(700))
				}
			})
		}
	}
}

// More rows than pass a large tree at a time.
func TestDeepPasses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	m := enginetest.Model(rng, enginetest.Shape{Trees: 1, Leaves: 8, Features: 6, Outputs: 1})
	m.Iterations, m.Stop, m.Trees = 2, 0, nil
	for range 2 {
		tree := forest.Tree{}
		const nodes = 90_000
		for i := range nodes {
			child := func(c int) int32 {
				if c < nodes {
					return int32(c)
				}
				return ^int32(c - nodes)
			}
			tree.Nodes = append(tree.Nodes, forest.Node{
				Feature: int32(rng.IntN(len(m.Features))), Threshold: float64(float32(rng.NormFloat64())),
				NaNLeft: rng.IntN(2) == 0, Left: child(2*i + 1), Right: child(2*i + 2),
			})
		}
		for range nodes + 1 {
			tree.Leaves = append(tree.Leaves, rng.NormFloat64())
		}
		m.Trees = append(m.Trees, tree)
	}
	const rows = 8192 + 77
	table := enginetest.NewTable(rng, m, rows)
	want := enginetest.Expect(m, engine.Options{}, table, nil)
	for _, tier := range engine.Tiers() {
		p := mustCompile(t, m, engine.Options{Tier: tier})
		enginetest.Compare(t, p, table, want, nil, 0, rows, 1)
		enginetest.Compare(t, p, table, want, nil, 0, rows, 2)
	}
}

// E3, for both forms of tree.
func TestDeepDoesNotAllocate(t *testing.T) {
	for _, tier := range engine.Tiers() {
		for seed := range uint64(6) {
			rng := rand.New(rand.NewPCG(seed, 2))
			m := enginetest.Model(rng, enginetest.Shape{Trees: 6, Leaves: 900, Features: 10, Outputs: 3})
			p, err := engine.CompileDeep(m, engine.Options{Tier: tier})
			if err != nil {
				t.Fatal(err)
			}
			const rows = 700
			b := enginetest.Bind(t, p, enginetest.NewTable(rng, m, rows), 0, rows)
			dst := make([]float64, rows*p.Outputs())
			if n := testing.AllocsPerRun(10, func() {
				if p.Score(dst, b) != nil {
					t.Fatal("score")
				}
			}); n != 0 {
				t.Errorf("%s, model %d: %v allocations", tier, seed, n)
			}
		}
	}
}
