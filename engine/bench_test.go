package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/forest"
)

// benchShape is a synthetic model like those of the training libraries: leaf-wise or level-wise trees over binned
// features.
type benchShape struct {
	name                    string
	trees, leaves, features int
	cuts                    int // distinct thresholds per feature (max_bin)
	level                   bool
	single                  bool // XGBoost's arithmetic, else LightGBM's
	outputs                 int
	categories              int // half of the splits are sets of so many categories on 4 features
}

var benchShapes = []benchShape{
	{name: "lightgbm-100x31", trees: 100, leaves: 31, features: 28, cuts: 255},
	{name: "lightgbm-500x31", trees: 500, leaves: 31, features: 28, cuts: 255},
	{name: "lightgbm-500x127", trees: 500, leaves: 127, features: 28, cuts: 255},
	{name: "lightgbm-100x255", trees: 100, leaves: 255, features: 28, cuts: 255},
	{name: "lightgbm-5x100x31", trees: 500, leaves: 31, features: 28, cuts: 255, outputs: 5},
	{name: "lightgbm-300x31-sets", trees: 300, leaves: 31, features: 12, cuts: 255, categories: 100},
	{name: "xgboost-100xd6", trees: 100, leaves: 64, features: 28, cuts: 256, level: true, single: true},
	{name: "xgboost-500xd6", trees: 500, leaves: 64, features: 28, cuts: 256, level: true, single: true},
	{name: "xgboost-500xd8", trees: 500, leaves: 256, features: 28, cuts: 256, level: true, single: true},
	{name: "xgboost-500xd6-exact", trees: 500, leaves: 64, features: 28, cuts: 1 << 30, level: true, single: true},
	{name: "forest-100xd10", trees: 100, leaves: 1000, features: 28, cuts: 1 << 30, level: true},
	{name: "forest-100x8000", trees: 100, leaves: 8000, features: 28, cuts: 1 << 30},
	{name: "tiny-10x8", trees: 10, leaves: 8, features: 28, cuts: 255},
}

func (s *benchShape) model() *forest.Model {
	rng := rand.New(rand.NewPCG(7, 7))
	m := &forest.Model{
		Outputs: max(1, s.outputs), Scale: 1, Link: forest.Link{Kind: forest.Sigmoid, Slope: 1, Divisor: 1},
		Iterations: s.trees,
	}
	if s.single {
		m.Arithmetic.Input, m.Arithmetic.Sum = forest.Float32, forest.Float32
	} else {
		m.Arithmetic.FlushZero = true
	}
	m.Base = make([]float64, m.Outputs)
	for f := range s.features {
		m.Features = append(m.Features, forest.Feature{Name: fmt.Sprint("f", f)})
	}
	for i := range s.trees {
		t := s.tree(rng, m)
		t.Output = i % m.Outputs
		m.Trees = append(m.Trees, t)
	}
	return m
}

// tree splits the leaf with the most rows (level), or a random one, larger ones rather.
func (s *benchShape) tree(rng *rand.Rand, m *forest.Model) forest.Tree {
	t := forest.Tree{Leaves: make([]float64, s.leaves)}
	type child struct {
		node int
		left bool
		mass float64
	}
	attach := func(c child, to int32) {
		switch {
		case c.node < 0:
		case c.left:
			t.Nodes[c.node].Left = to
		default:
			t.Nodes[c.node].Right = to
		}
	}
	open := []child{{-1, false, 1}}
	for len(t.Nodes) < s.leaves-1 {
		pick, best := 0, 0.0
		for i := range open {
			w := open[i].mass
			if !s.level {
				w *= rng.Float64()
			}
			if w > best {
				pick, best = i, w
			}
		}
		c := open[pick]
		open[pick] = open[len(open)-1]
		open = open[:len(open)-1]
		at := len(t.Nodes)
		attach(c, int32(at))
		t.Nodes = append(t.Nodes, s.node(rng, m))
		p := 0.5
		if !s.level {
			p = 0.2 + 0.6*rng.Float64()
		}
		open = append(open, child{at, true, c.mass * p}, child{at, false, c.mass * (1 - p)})
	}
	for i, c := range open {
		t.Leaves[i] = rng.NormFloat64()
		attach(c, ^int32(i))
	}
	return t
}

func (s *benchShape) node(rng *rand.Rand, m *forest.Model) forest.Node {
	f := rng.IntN(s.features)
	if s.categories > 0 && rng.IntN(2) == 0 {
		set := make(forest.CategorySet, (s.categories+31)/32)
		for range 1 + rng.IntN(s.categories/3) {
			c := rng.IntN(s.categories)
			set[c/32] |= 1 << (c % 32)
		}
		m.Sets = append(m.Sets, set)
		return forest.Node{Op: forest.InSet, Feature: int32(f % 4), Set: int32(len(m.Sets) - 1)}
	}
	if s.categories > 0 {
		f = 4 + f%(s.features-4)
	}
	// Quantiles of a normal distribution, as a histogram learner's bins are.
	x := rand.New(rand.NewPCG(uint64(f), uint64(rng.IntN(s.cuts)))).NormFloat64()
	n := forest.Node{Feature: int32(f), Threshold: x, NaNLeft: rng.IntN(2) == 0}
	if s.single {
		n.Op, n.Threshold = forest.Less, float64(float32(x))
	}
	return n
}

// benchBlock has 5 % missing values.
func benchBlock(p *Program, s *benchShape, rows int) *Block {
	rng := rand.New(rand.NewPCG(3, 7))
	b := p.NewBlock()
	b.Reset(rows)
	for f := range s.features {
		v := make([]float64, rows)
		for i := range v {
			v[i] = rng.NormFloat64()
			if s.categories > 0 && f < 4 {
				v[i] = float64(rng.IntN(s.categories))
			}
			if rng.IntN(20) == 0 {
				v[i] = math.NaN()
			}
		}
		if b.Set(f, Float64s(v)) != nil {
			panic("bench block")
		}
	}
	return b
}

func BenchmarkScore(b *testing.B) {
	for _, s := range benchShapes {
		b.Run(s.name, func(b *testing.B) {
			m := s.model()
			for _, k := range []struct {
				name   string
				choice kernelChoice
				rows   []int
			}{{"chosen", anyKernel, []int{1, 64, 1024}}, {"deep", deepOnly, []int{1024}}} {
				p, err := compile(m, Options{}, k.choice)
				if err != nil {
					b.Fatal(err)
				}
				for _, rows := range k.rows {
					b.Run(fmt.Sprintf("%s/rows=%d", k.name, rows), func(b *testing.B) { benchScore(b, p, &s, rows) })
				}
			}
		})
	}
}

func benchScore(b *testing.B, p *Program, s *benchShape, rows int) {
	blk := benchBlock(p, s, rows)
	dst := make([]float64, rows*p.Outputs())
	b.ReportAllocs()
	best := time.Duration(math.MaxInt64) // what the machine can do when nothing else runs
	for b.Loop() {
		start := time.Now()
		if err := p.Score(dst, blk); err != nil {
			b.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Nanoseconds())/float64(rows), "best-ns/row")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

// BenchmarkThreads compares one and two threads.
func BenchmarkThreads(b *testing.B) {
	s := benchShapes[0]
	p, err := Compile(s.model(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	blk := benchBlock(p, &s, 1<<16)
	dst := make([]float64, 1<<16)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprint(threads), func(b *testing.B) {
			for b.Loop() {
				if err := p.ScoreParallel(dst, blk, threads); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<16), "ns/row")
		})
	}
}
