package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/libm"
)

// Predict turns margins, len(margins) = rows*Outputs() row-major, into predictions, len(dst) = rows*Width() row-major.
// dst and margins may be the same slice where Width() equals Outputs(). It does not allocate. It returns ErrShape if
// the lengths do not fit each other.
func (p *Program) Predict(dst, margins []float64) error {
	rows := len(margins) / p.outputs
	if rows*p.outputs != len(margins) {
		return fmt.Errorf("%d margins are no multiple of %d outputs: %w", len(margins), p.outputs, ErrShape)
	}
	if len(dst) != rows*p.width {
		return fmt.Errorf("dst has %d values, want %d: %w", len(dst), rows*p.width, ErrShape)
	}
	single := p.link.Type == forest.Float32
	divisor := p.link.Divisor
	for r := range rows {
		in := margins[r*p.outputs : (r+1)*p.outputs]
		out := dst[r*p.width : (r+1)*p.width]
		if p.link.Kind == forest.ArgMax {
			out[0] = float64(largest(in))
			continue
		}
		for k, x := range in {
			if divisor != 1 {
				x /= divisor
			}
			if single {
				x = float64(float32(x))
			}
			out[k] = x
		}
		switch {
		case p.link.Kind == forest.Softmax && single:
			softmax32(out)
		case p.link.Kind == forest.Softmax:
			softmax(out)
		case p.link.Kind == forest.Ascending:
			ascend(out)
		case single:
			for k, x := range out {
				out[k] = float64(link32(&p.link, float32(x)))
			}
		default:
			for k, x := range out {
				out[k] = link64(&p.link, x)
			}
		}
	}
	return nil
}

// link64 applies a link to one margin in double precision, in LightGBM's order of operations.
func link64(l *forest.Link, x float64) float64 {
	switch l.Kind {
	case forest.Sigmoid, forest.OneVsAll:
		return 1 / (1 + libm.Exp(float64(-l.Slope*x)))
	case forest.Exp:
		return libm.Exp(x)
	case forest.Log1pExp:
		return libm.Log1p(libm.Exp(x))
	case forest.SignedSquare:
		return float64(sign(x)*x) * x
	case forest.Hinge:
		return float64(one(x > 0))
	}
	return x
}

// link32 applies a link to one margin in single precision, in XGBoost's order of operations.
func link32(l *forest.Link, x float32) float32 {
	switch l.Kind {
	case forest.Sigmoid, forest.OneVsAll:
		// XGBoost bounds the exponent so that exp stays finite, and adds an epsilon.
		e := -x
		if l.Slope != 1 {
			e = float32(float32(l.Slope) * e)
		}
		if e > 88.7 {
			e = 88.7
		}
		return 1 / (libm.Exp32(e) + 1 + 1e-16)
	case forest.Exp:
		return libm.Exp32(x)
	case forest.Log1pExp:
		return float32(libm.Log1p(libm.Exp(float64(x))))
	case forest.SignedSquare:
		return float32(float32(sign(float64(x)))*x) * x
	case forest.Hinge:
		return float32(one(x > 0))
	}
	return x
}

// softmax is LightGBM's: shifted by the maximum, summed in class order.
func softmax(v []float64) {
	top := v[0]
	for _, x := range v[1:] {
		if x > top {
			top = x
		}
	}
	sum := 0.0
	for k, x := range v {
		v[k] = libm.Exp(x - top)
		sum += v[k]
	}
	for k := range v {
		v[k] /= sum
	}
}

// softmax32 is XGBoost's: single precision but for the sum.
func softmax32(v []float64) {
	top := float32(v[0])
	for _, x := range v[1:] {
		if float32(x) > top {
			top = float32(x)
		}
	}
	sum := 0.0
	for k, x := range v {
		e := libm.Exp32(float32(x) - top)
		v[k] = float64(e)
		sum += float64(e)
	}
	for k := range v {
		v[k] = float64(float32(v[k]) / float32(sum))
	}
}

// largest returns the index of the first largest value.
func largest(v []float64) int {
	at := 0
	for k, x := range v {
		if x > v[at] {
			at = k
		}
	}
	return at
}

// ascend is XGBoost's sort of quantiles, an insertion sort by <: a NaN stays where it is and no value passes it, and equal
// values, 0 and -0 among them, keep their order.
func ascend(v []float64) {
	for start := 0; start < len(v); {
		end := start
		for end < len(v) && !math.IsNaN(v[end]) {
			end++
		}
		slices.SortStableFunc(v[start:end], cmp.Compare[float64])
		start = end + 1
	}
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}
