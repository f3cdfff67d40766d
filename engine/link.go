package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/libm"
)

// Predict turns margins, len(margins) = rows*Outputs() row-major, into predictions, len(dst) = rows*Width() row-major.
// dst and margins may be the same slice where Width() equals Outputs(). It does not allocate. It returns ErrShape if
// the lengths do not fit each other.
func (p *Program) Predict(dst, margins []float64) error {
	if err := p.checkPredict(dst, margins); err != nil {
		return err
	}
	p.predict(dst, margins)
	return nil
}

// PredictParallel is Predict on up to threads goroutines, the calling one included; it returns when all are done.
func (p *Program) PredictParallel(dst, margins []float64, threads int) error {
	if err := p.checkPredict(dst, margins); err != nil {
		return err
	}
	rows := len(margins) / p.outputs
	piece := max(predictRows, (rows+threads-1)/max(threads, 1))
	var group sync.WaitGroup
	for from := piece; from < rows; from += piece {
		to := min(from+piece, rows)
		group.Go(func() { p.predict(dst[from*p.width:to*p.width], margins[from*p.outputs:to*p.outputs]) })
	}
	first := min(piece, rows)
	p.predict(dst[:first*p.width], margins[:first*p.outputs])
	group.Wait()
	return nil
}

// predictRows is the number of rows that are worth a goroutine.
const predictRows = 4096

func (p *Program) checkPredict(dst, margins []float64) error {
	rows := len(margins) / p.outputs
	if rows*p.outputs != len(margins) {
		return fmt.Errorf("%d margins are no multiple of %d outputs: %w", len(margins), p.outputs, ErrShape)
	}
	if len(dst) != rows*p.width {
		return fmt.Errorf("dst has %d values, want %d: %w", len(dst), rows*p.width, ErrShape)
	}
	return nil
}

// predict turns margins into predictions.
func (p *Program) predict(dst, margins []float64) {
	if p.link.Kind == forest.ArgMax {
		for r := range dst {
			dst[r] = float64(largest(margins[r*p.outputs : (r+1)*p.outputs]))
		}
		return
	}
	copy(dst, margins)
	if d := p.link.Divisor; d != 1 {
		for i := range dst {
			dst[i] /= d
		}
	}
	if p.link.Type == forest.Float32 {
		for i, x := range dst {
			dst[i] = float64(float32(x))
		}
	}
	p.applyLink(dst)
}

// applyLink turns margins, divided already, into predictions in place.
func (p *Program) applyLink(v []float64) {
	single := p.link.Type == forest.Float32
	switch p.link.Kind {
	case forest.Identity, forest.Probability:
	case forest.Softmax:
		p.softmax(v, single)
	case forest.Ascending:
		for ; len(v) > 0; v = v[p.outputs:] {
			ascend(v[:p.outputs])
		}
	case forest.Sigmoid, forest.OneVsAll:
		if !single {
			p.kernel.Sigmoid64(v, v, p.link.Slope)
			return
		}
		for i, x := range v {
			if p.link.Slope != 1 {
				v[i] = float64(float32(p.link.Slope) * float32(x))
			}
		}
		p.kernel.Sigmoid32(v, v)
	case forest.Exp:
		if single {
			p.kernel.Exp32(v, v)
		} else {
			p.kernel.Exp64(v, v)
		}
	default:
		for i, x := range v {
			if single {
				v[i] = float64(link32(p.link.Kind, float32(x)))
			} else {
				v[i] = link64(p.link.Kind, x)
			}
		}
	}
}

// link64 applies one of the rarer links to a margin in double precision, in LightGBM's order of operations.
func link64(k forest.LinkKind, x float64) float64 {
	switch k {
	case forest.Log1pExp:
		return libm.Log1p(libm.Exp(x))
	case forest.SignedSquare:
		return float64(sign(x)*x) * x
	case forest.Hinge:
		return float64(one(x > 0))
	}
	return x
}

// link32 applies one of the rarer links to a margin in single precision, in XGBoost's order of operations.
func link32(k forest.LinkKind, x float32) float32 {
	switch k {
	case forest.Log1pExp:
		return float32(libm.Log1p(libm.Exp(float64(x))))
	case forest.SignedSquare:
		return float32(float32(sign(float64(x)))*x) * x
	case forest.Hinge:
		return float32(one(x > 0))
	}
	return x
}

// softmax is LightGBM's, shifted by the maximum and summed in class order, or XGBoost's: single precision but for the sum.
func (p *Program) softmax(v []float64, single bool) {
	n := p.outputs
	for from := 0; from < len(v); from += n {
		row := v[from : from+n]
		top := row[0]
		for _, x := range row[1:] {
			if x > top {
				top = x
			}
		}
		for k, x := range row {
			row[k] = x - top
			if single {
				row[k] = float64(float32(x) - float32(top))
			}
		}
	}
	if single {
		p.kernel.Exp32(v, v)
	} else {
		p.kernel.Exp64(v, v)
	}
	for from := 0; from < len(v); from += n {
		row := v[from : from+n]
		sum := 0.0
		for _, x := range row {
			sum += x
		}
		for k, x := range row {
			if single {
				row[k] = float64(float32(x) / float32(sum))
			} else {
				row[k] = x / sum
			}
		}
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
