package loader_test

import (
	"math"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/libm"
)

func leafOf(m *forest.Model, t *forest.Tree, row []float64) int {
	if len(t.Nodes) == 0 {
		return 0
	}
	at := int32(0)
	for at >= 0 {
		n := &t.Nodes[at]
		if goesLeft(m, n, row[n.Feature]) {
			at = n.Left
		} else {
			at = n.Right
		}
	}
	return int(^at)
}

func goesLeft(m *forest.Model, n *forest.Node, x float64) bool {
	if m.Arithmetic.Input == forest.Float32 {
		x = float64(float32(x))
	}
	if math.IsNaN(x) {
		return n.NaNLeft
	}
	switch n.Op {
	case forest.InSet, forest.NotInSet:
		low, high := 0.0, float64(1<<24)
		if m.Arithmetic.CategoryCast == forest.CastTruncate {
			low, high = math.Nextafter(-1, 0), 1<<31
		}
		if !(x >= low && x < high) {
			return n.OtherLeft
		}
		return m.Sets[n.Set].Has(int(x)) == (n.Op == forest.InSet)
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

func margins(m *forest.Model, row []float64) []float64 {
	sum := append([]float64(nil), m.Base...)
	for i := range m.Trees {
		t := &m.Trees[i]
		v := t.Leaves[leafOf(m, t, row)]
		if m.Arithmetic.Sum == forest.Float32 {
			sum[t.Output] = float64(float32(sum[t.Output]) + float32(v))
		} else {
			sum[t.Output] += v
		}
	}
	return sum
}

func predict(m *forest.Model, margin []float64) []float64 {
	out := make([]float64, len(margin))
	for k, x := range margin {
		x /= m.Link.Divisor
		out[k] = x
		if m.Link.Type == forest.Float32 {
			out[k] = float64(link32(m, float32(x)))
			continue
		}
		switch m.Link.Kind {
		case forest.Sigmoid, forest.OneVsAll:
			out[k] = 1 / (1 + libm.Exp(-m.Link.Slope*x))
		case forest.Exp, forest.Softmax:
			out[k] = libm.Exp(x)
		case forest.Log1pExp:
			out[k] = libm.Log1p(libm.Exp(x))
		case forest.SignedSquare:
			s := 0.0
			if x > 0 {
				s = 1
			} else if x < 0 {
				s = -1
			}
			out[k] = s * x * x
		}
	}
	switch m.Link.Kind {
	case forest.Softmax:
		return softmax(m, margin)
	case forest.ArgMax:
		best := 0
		for k, x := range margin {
			if x > margin[best] {
				best = k
			}
		}
		return []float64{float64(best)}
	}
	return out
}

func link32(m *forest.Model, x float32) float32 {
	switch m.Link.Kind {
	case forest.Sigmoid:
		return 1 / (libm.Exp32(min(-x, 88.7)) + 1 + 1e-16)
	case forest.Exp:
		return libm.Exp32(x)
	case forest.Hinge:
		if x > 0 {
			return 1
		}
		return 0
	}
	return x
}

func softmax(m *forest.Model, margin []float64) []float64 {
	top := margin[0]
	for _, x := range margin {
		top = max(top, x)
	}
	out := make([]float64, len(margin))
	sum := 0.0
	for k, x := range margin {
		if m.Link.Type == forest.Float32 {
			out[k] = float64(libm.Exp32(float32(x) - float32(top)))
		} else {
			out[k] = libm.Exp(x/m.Link.Divisor - top/m.Link.Divisor)
		}
		sum += out[k]
	}
	for k := range out {
		if m.Link.Type == forest.Float32 {
			out[k] = float64(float32(out[k]) / float32(sum))
		} else {
			out[k] /= sum
		}
	}
	return out
}
