// Package enginetest holds what every kernel of the engine is tested against: a slow, obvious evaluator of
// forest.Model, generators of random models and hostile values, and a conformance suite that compares the two bit for
// bit.
//
// # Invariants
//
//	T1  The oracle follows the doc comments of package forest with plain float arithmetic: no quantisation, no
//	    reordering, nothing of the engine's but its option type.
//
// # Concurrency
//
// Everything here is for one goroutine, except that Run's subtests score from several.
package enginetest

import (
	"math"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// Value is one cell as a table stores it.
type Value struct {
	Kind ValueKind
	F    float64
	I    int64
	U    uint64
}

// ValueKind is the type of a cell.
type ValueKind uint8

// The kinds of cell.
const (
	Missing ValueKind = iota
	Float
	Int
	Uint
)

// Input converts the cell to the model's input type, in one rounding; missing is NaN.
func (v Value) Input(t forest.FloatType) float64 {
	single := t == forest.Float32
	switch v.Kind {
	case Float:
		if single {
			return float64(float32(v.F))
		}
		return v.F
	case Int:
		if single {
			return float64(float32(v.I))
		}
		return float64(v.I)
	case Uint:
		if single {
			return float64(float32(v.U))
		}
		return float64(v.U)
	}
	return math.NaN()
}

// Margins scores one row. base replaces the model's base margins unless it is nil.
func Margins(m *forest.Model, o engine.Options, row []Value, base []float64) []float64 {
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
			x[f] = math.NaN()
		}
	}
	trees := m.Trees
	if o.Iterations > 0 {
		trees = trees[:len(trees)/m.Iterations*o.Iterations]
	}
	if base == nil {
		base = m.Base
	}
	out := make([]float64, m.Outputs)
	for k := range out {
		if m.Arithmetic.Sum == forest.Float32 {
			out[k] = margin32(m, trees, x, k, float32(base[k]))
		} else {
			out[k] = margin64(m, trees, x, k, base[k])
		}
	}
	return out
}

func margin64(m *forest.Model, trees []forest.Tree, x []float64, k int, sum float64) float64 {
	n := 0.0
	for i := range trees {
		if v, adds := leafValue(m, &trees[i], x, k); adds {
			sum += v
			n++
		}
	}
	if m.Arithmetic.Average && n > 0 {
		sum /= n
	}
	if m.Scale != 1 {
		sum = float64(m.Scale * sum)
	}
	if m.Bias != nil {
		sum += m.Bias[k]
	}
	return sum
}

func margin32(m *forest.Model, trees []forest.Tree, x []float64, k int, sum float32) float64 {
	n := float32(0)
	for i := range trees {
		if v, adds := leafValue(m, &trees[i], x, k); adds {
			sum += float32(v)
			n++
		}
	}
	if m.Arithmetic.Average && n > 0 {
		sum /= n
	}
	if m.Scale != 1 {
		sum = float32(float32(m.Scale) * sum)
	}
	if m.Bias != nil {
		sum += float32(m.Bias[k])
	}
	return float64(sum)
}

// leafValue returns what the tree adds to output k.
func leafValue(m *forest.Model, t *forest.Tree, x []float64, k int) (float64, bool) {
	if !t.Vector && t.Output != k {
		return 0, false
	}
	at := int32(0)
	if len(t.Nodes) == 0 {
		at = ^0
	}
	for at >= 0 {
		n := &t.Nodes[at]
		if goesLeft(m, n, x[n.Feature]) {
			at = n.Left
		} else {
			at = n.Right
		}
	}
	if t.Vector {
		return t.Leaves[int(^at)*m.Outputs+k], true
	}
	return t.Leaves[^at], true
}

// goesLeft is the doc comment of forest.Node.
func goesLeft(m *forest.Model, n *forest.Node, x float64) bool {
	if math.IsNaN(x) {
		return n.NaNLeft
	}
	if n.Op == forest.InSet || n.Op == forest.NotInSet {
		c, ok := categoryOf(x, m.Arithmetic.CategoryCast)
		if !ok {
			return n.OtherLeft
		}
		return m.Sets[n.Set].Has(c) == (n.Op == forest.InSet)
	}
	if m.Arithmetic.FlushZero && math.Abs(x) <= forest.ZeroThreshold {
		x = 0
	}
	if x == 0 && n.Zero != forest.ZeroCompares {
		return n.Zero == forest.ZeroLeft
	}
	if n.Op == forest.Less {
		return x < n.Threshold
	}
	return x <= n.Threshold
}

func categoryOf(x float64, cast forest.CategoryCast) (int, bool) {
	if cast == forest.CastNonNegative {
		if x < 0 || x >= 16777216 {
			return 0, false
		}
		return int(math.Trunc(x)), true
	}
	c := math.Trunc(x)
	if c < 0 || c > math.MaxInt32 {
		return 0, false
	}
	return int(c), true
}
