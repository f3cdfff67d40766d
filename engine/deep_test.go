package engine_test

import (
	"math"
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
				seeds := uint64(8)
				if testing.Short() {
					seeds = 1
				}
				for seed := range seeds {
					rng := rand.New(rand.NewPCG(seed, 11))
					enginetest.Check(t, forced(tier, engine.CompileDeep), enginetest.Model(rng, shape), rng, 500+rng.IntN(700))
				}
			})
		}
	}
}

// Forests whose rows fit one register or two, with columns apart or shared for both places of NaN, of pairs of blocks and
// of many blocks, with every kind of leaf.
func TestDeepForests(t *testing.T) {
	all := []int{20, 30, 50, 64, 70}
	if testing.Short() {
		all = []int{50}
	}
	for _, features := range all {
		for seed := range uint64(4) {
			rng := rand.New(rand.NewPCG(seed, uint64(features)))
			m := &forest.Model{
				Outputs: 3, Base: []float64{0, 1, 2}, Scale: 1, Link: forest.Link{Slope: 1, Divisor: 1}, Iterations: 4,
				Arithmetic: forest.Arithmetic{Input: forest.Float32, Sum: forest.FloatType(seed % 2), Average: seed > 1},
			}
			m.Features = make([]forest.Feature, features)
			for i := range 4 {
				m.Trees = append(m.Trees, randomForestTree(rng, features, []int{9, 10, 12, 10}[i], i > 2))
				m.Trees[i].Output = i % 3
			}
			const rows = 1111
			table := enginetest.NewTable(rng, m, rows)
			want := enginetest.Expect(m, engine.Options{}, table, nil)
			for _, tier := range engine.Tiers() {
				p, err := engine.CompileDeep(m, engine.Options{Tier: tier})
				if err != nil {
					t.Fatal(err)
				}
				enginetest.Compare(t, p, table, want, nil, 0, rows, 1)
				enginetest.Compare(t, p, table, want, nil, 3, 515, 1)
				b := enginetest.Bind(t, p, table, 0, rows)
				dst := make([]float64, rows*p.Outputs())
				if n := testing.AllocsPerRun(5, func() { _ = p.Score(dst, b) }); n != 0 {
					t.Errorf("%s, %d features: %v allocations", tier, features, n)
				}
			}
		}
	}
}

// randomForestTree splits nearly every node down to depth levels.
func randomForestTree(rng *rand.Rand, features, depth int, vector bool) forest.Tree {
	t := forest.Tree{Vector: vector}
	var grow func(level int) int32
	grow = func(level int) int32 {
		if level == depth || level > 3 && rng.IntN(20) == 0 {
			for range 1 + 2*one(vector) {
				t.Leaves = append(t.Leaves, rng.NormFloat64())
			}
			return ^int32(len(t.Leaves)/(1+2*one(vector)) - 1)
		}
		at := int32(len(t.Nodes))
		t.Nodes = append(t.Nodes, forest.Node{
			Op: forest.Op(rng.IntN(2)), Feature: int32(rng.IntN(features)), Threshold: float64(float32(rng.NormFloat64())),
			NaNLeft: rng.IntN(2) == 0,
		})
		left := grow(level + 1)
		right := grow(level + 1)
		t.Nodes[at].Left, t.Nodes[at].Right = left, right
		return at
	}
	grow(0)
	return t
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
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

// A tree with more features than columns can have, and all kinds of splits: between two ordinary ones.
func TestDeepSlowTree(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	m := enginetest.Model(rng, enginetest.Shape{Trees: 1, Leaves: 300, Features: 6, Outputs: 2})
	const nodes = 66_000
	for len(m.Features) < nodes {
		m.Features = append(m.Features, forest.Feature{})
	}
	m.Sets = append(m.Sets, forest.CategorySet{0b1010}, forest.CategorySet{1, 7})
	large := forest.Tree{}
	for i := range nodes {
		child := func(c int) int32 {
			if c < nodes {
				return int32(c)
			}
			return ^int32(c - nodes)
		}
		large.Nodes = append(large.Nodes, forest.Node{
			Op: forest.Op(rng.IntN(4)), Feature: int32(i), Set: int32(len(m.Sets) - 1 - rng.IntN(2)), Zero: forest.ZeroRule(rng.IntN(3)),
			Threshold: []float64{0, 1, -0.5, math.Inf(1), math.Inf(-1)}[rng.IntN(5)], NaNLeft: rng.IntN(2) == 0,
			OtherLeft: rng.IntN(2) == 0, Left: child(2*i + 1), Right: child(2*i + 2),
		})
	}
	for range nodes + 1 {
		large.Leaves = append(large.Leaves, rng.NormFloat64())
	}
	m.Trees = []forest.Tree{m.Trees[0], large, m.Trees[0]}
	m.Iterations, m.Stop = 3, 0
	const rows = 12
	table := enginetest.NewTable(rng, m, rows)
	want := enginetest.Expect(m, engine.Options{}, table, nil)
	p, err := engine.CompileDeep(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Compare(t, p, table, want, nil, 0, rows, 1)
}
