package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/treeline-ml/treeline/forest"
)

// Shape bounds a random model.
type Shape struct {
	Trees, Leaves, Features, Outputs int
	Chains                           bool // trees as deep as they have nodes
}

// Tricky returns values that break careless arithmetic: zeros, denormals, infinities, the edges of the integer and
// float types, LightGBM's zero threshold and XGBoost's category limit.
func Tricky() []float64 {
	v := []float64{
		0, math.Copysign(0, -1), 5e-324, -5e-324, 2.2250738585072014e-308, 1e-45, -1e-45, 1.1754943508222875e-38,
		forest.ZeroThreshold, -forest.ZeroThreshold, math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64,
		math.MaxFloat32, -math.MaxFloat32, 1e39, 0.5, -0.5, -0.9999, 1, -1, 2, 3, 31, 32, 33, 63, 64, 16777215, 16777216,
		2147483647, 2147483648, -2147483648, 4294967296, 9007199254740993, 9223372036854775807, 1e20, -1e20, 0.1,
	}
	for _, x := range v[:20] {
		v = append(v, math.Nextafter(x, math.Inf(1)), math.Nextafter(x, math.Inf(-1)))
		f := float32(x)
		v = append(v, float64(math.Nextafter32(f, 1e38)), float64(math.Nextafter32(f, -1e38)))
	}
	return v
}

// Model returns a random valid model within the shape: all operators, missing and zero rules, casts, number types,
// averages, scales, scalar and vector leaves.
func Model(rng *rand.Rand, s Shape) *forest.Model {
	coin := func() bool { return rng.IntN(2) == 0 }
	m := &forest.Model{
		Outputs: 1 + rng.IntN(s.Outputs),
		Scale:   1,
		Link:    forest.Link{Slope: 1, Divisor: 1},
		Arithmetic: forest.Arithmetic{
			Input:        forest.FloatType(rng.IntN(2)),
			Sum:          forest.FloatType(rng.IntN(2)),
			FlushZero:    coin(),
			Average:      rng.IntN(4) == 0,
			CategoryCast: forest.CategoryCast(rng.IntN(2)),
		},
	}
	for f := range 1 + rng.IntN(s.Features) {
		m.Features = append(m.Features, forest.Feature{Name: fmt.Sprintf("f%d", f), RejectInfinite: coin()})
		m.Features[f].RejectMissing = rng.IntN(8) == 0
	}
	for range m.Outputs {
		m.Base = append(m.Base, rng.NormFloat64())
	}
	if rng.IntN(4) == 0 {
		m.Scale = rng.NormFloat64() + 3
		for range m.Outputs {
			m.Bias = append(m.Bias, rng.NormFloat64())
		}
	}
	for range 1 + rng.IntN(6) {
		m.Sets = append(m.Sets, randomSet(rng))
	}
	g := generator{rng: rng, m: m, tricky: Tricky(), sets: rng.IntN(3) > 0, cuts: 1 + rng.IntN(400)}
	m.Iterations = 1 + rng.IntN(s.Trees)
	perRound := 1 + rng.IntN(3)
	vectors := rng.IntN(3)
	for i := range m.Iterations * perRound {
		t := g.tree(1+rng.IntN(s.Leaves), s.Chains && coin())
		t.Output = i % m.Outputs
		if vectors == 0 || vectors == 1 && rng.IntN(3) == 0 {
			t.Vector = true
			for range t.NumLeaves() * (m.Outputs - 1) {
				t.Leaves = append(t.Leaves, rng.NormFloat64())
			}
		}
		m.Trees = append(m.Trees, t)
	}
	if rng.IntN(6) == 0 {
		m.Stop = 1 + rng.IntN(m.Iterations)
	}
	if rng.IntN(6) == 0 {
		missing := g.tricky[rng.IntN(len(g.tricky))]
		m.Missing = &missing
	}
	return m
}

func randomSet(rng *rand.Rand) forest.CategorySet {
	s := make(forest.CategorySet, rng.IntN(5))
	for i := range s {
		s[i] = rng.Uint32() & rng.Uint32()
	}
	if rng.IntN(20) == 0 {
		s = append(s, make(forest.CategorySet, 2000)...)
		s[len(s)-1] = 1
	}
	return s
}

type generator struct {
	rng    *rand.Rand
	m      *forest.Model
	tricky []float64
	sets   bool // categorical splits occur
	cuts   int  // a feature's thresholds are drawn from about this many
}

// tree grows a tree by splitting random leaves.
func (g *generator) tree(leaves int, chain bool) forest.Tree {
	var t forest.Tree
	type child struct {
		node int
		left bool
	}
	open := []child{{-1, false}}
	attach := func(c child, to int32) {
		switch {
		case c.node < 0:
		case c.left:
			t.Nodes[c.node].Left = to
		default:
			t.Nodes[c.node].Right = to
		}
	}
	for len(t.Nodes) < leaves-1 {
		i := len(open) - 1
		if !chain {
			i = g.rng.IntN(len(open))
		}
		c := open[i]
		open = append(open[:i], open[i+1:]...)
		attach(c, int32(len(t.Nodes)))
		t.Nodes = append(t.Nodes, g.node())
		at := len(t.Nodes) - 1
		open = append(open, child{at, true}, child{at, false})
	}
	order := g.rng.Perm(len(open))
	for i, c := range open {
		attach(c, ^int32(order[i]))
		t.Leaves = append(t.Leaves, g.rng.NormFloat64()*math.Exp(3*g.rng.NormFloat64()))
	}
	return t
}

func (g *generator) node() forest.Node {
	n := forest.Node{
		Feature:   int32(g.rng.IntN(len(g.m.Features))),
		Op:        forest.Op(g.rng.IntN(2)),
		NaNLeft:   g.rng.IntN(2) == 0,
		OtherLeft: g.rng.IntN(2) == 0,
	}
	if g.sets && g.rng.IntN(3) == 0 {
		n.Op = forest.InSet + forest.Op(g.rng.IntN(2))
		n.Set = int32(g.rng.IntN(len(g.m.Sets)))
		n.Threshold = math.NaN() // must not matter
		return n
	}
	if g.rng.IntN(8) == 0 {
		n.Zero = forest.ZeroRule(g.rng.IntN(3))
	}
	n.Threshold = g.threshold(int(n.Feature))
	return n
}

// threshold draws from a feature's thresholds, which depend on the feature only.
func (g *generator) threshold(feature int) float64 {
	i := g.rng.IntN(g.cuts)
	own := rand.New(rand.NewPCG(uint64(feature), uint64(i)))
	x := own.NormFloat64()
	switch feature % 4 {
	case 3:
		x = math.Exp(4 * x)
	case 2:
		x = math.Floor(10*x) + 0.5
	}
	if g.rng.IntN(10) == 0 {
		x = g.tricky[g.rng.IntN(len(g.tricky))]
	}
	if g.m.Arithmetic.Input == forest.Float32 {
		x = float64(float32(x))
	}
	return x
}
