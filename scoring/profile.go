package scoring

import (
	"math"

	"github.com/treeline-ml/treeline/forest"
)

// HistogramBins is the number of bins of Profile.Histogram.
const HistogramBins = 100

// isProbability reports whether the profiled score of a model lies in [0,1]: the probability of the positive class, or
// of the likeliest one.
func isProbability(m *forest.Model) bool {
	switch m.Link.Kind {
	case forest.Sigmoid, forest.Softmax, forest.OneVsAll, forest.Hinge, forest.Probability:
		return true
	default:
		return false
	}
}

// part is what the rows of one worker add to the batch's profile and output digest. Counts, sums and the digest are
// exact, so which worker saw which row does not matter.
type part struct {
	unit     bool // scores lie in [0,1]
	bins     []int64
	wide     dyadic
	sum      exactSum
	min, max float64
	scored   int64
	positive int64
	refused  int64
	digest   digest
}

func newPart(unit bool) *part {
	p := &part{unit: unit, min: math.Inf(1), max: math.Inf(-1)}
	if unit {
		p.bins = make([]int64, HistogramBins)
	}
	return p
}

// fill takes the predictions of a piece, row-major. Null rows are those that were refused: they have no score. Rows whose
// score is not finite are counted in the digest and nowhere else.
func (p *part) fill(preds []float64, width int, null []bool, threshold float64, h *rowHasher) {
	p.digest.merge(h.rows(preds, width, null))
	for r := 0; r*width < len(preds); r++ {
		if len(null) > 0 && null[r] {
			p.refused++
			continue
		}
		p.score(profiled(preds[r*width:(r+1)*width]), threshold)
	}
}

// profiled is the one score of a row that the profile looks at.
func profiled(row []float64) float64 {
	best := row[0]
	for _, v := range row[1:] {
		if v > best {
			best = v
		}
	}
	return best
}

func (p *part) score(v, threshold float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	p.scored++
	p.sum.add(v)
	p.min, p.max = min(p.min, v), max(p.max, v)
	if v >= threshold {
		p.positive++
	}
	if p.unit {
		p.bins[unitBin(v)]++
	} else {
		p.wide.add(v)
	}
}

// unitBin is floor(100*v), with 1 in the last bin.
func unitBin(v float64) int {
	return max(0, min(int(v*HistogramBins), HistogramBins-1))
}

// merge adds the rows of another part.
func (p *part) merge(o *part) {
	p.scored += o.scored
	p.positive += o.positive
	p.refused += o.refused
	p.min, p.max = min(p.min, o.min), max(p.max, o.max)
	p.sum.merge(&o.sum)
	p.digest.merge(o.digest)
	for i, n := range o.bins {
		p.bins[i] += n
	}
	p.wide.merge(&o.wide)
}

// result is the profile of all rows; the positive rate means something for binary models only.
func (p *part) result(binary bool) Profile {
	if p.scored == 0 {
		return Profile{Histogram: make([]int64, HistogramBins)}
	}
	out := Profile{Histogram: p.bins, Min: p.min, Max: p.max, Mean: p.sum.mean(p.scored)}
	if !p.unit {
		out.Histogram = p.wide.bins(p.min, p.max)
	}
	if binary {
		out.PositiveRate = float64(p.positive) / float64(p.scored)
	}
	return out
}
