package stat

import (
	"fmt"
	"math"
)

// Confusion counts rows by prediction and label at a threshold.
type Confusion struct{ TP, FP, FN, TN int64 }

// At counts the rows that score at or above the threshold as predicted positive. It fails with ErrInput for NaN, for
// lengths that differ, and without rows; one class alone is allowed.
func At(scores []float64, labels []bool, threshold float64) (Confusion, error) {
	var c Confusion
	if err := sameLength(len(scores), len(labels)); err != nil {
		return c, err
	}
	if err := numbers("score", scores); err != nil {
		return c, err
	}
	for i, s := range scores {
		switch {
		case s >= threshold && labels[i]:
			c.TP++
		case s >= threshold:
			c.FP++
		case labels[i]:
			c.FN++
		default:
			c.TN++
		}
	}
	return c, nil
}

// Precision is TP/(TP+FP), 0 when nothing is predicted positive (scikit-learn's zero_division=0).
func (c Confusion) Precision() float64 { return ratio(c.TP, c.TP+c.FP) }

// Recall is TP/(TP+FN), 0 when nothing is positive.
func (c Confusion) Recall() float64 { return ratio(c.TP, c.TP+c.FN) }

// F1 is the harmonic mean of both, 0 when there is neither.
func (c Confusion) F1() float64 { return ratio(2*c.TP, 2*c.TP+c.FP+c.FN) }

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// AveragePrecision is the sum over distinct scores, from the highest down, of the gain in recall times the precision
// there: scikit-learn's average_precision_score, without interpolation. Errors as AUC.
func AveragePrecision(scores []float64, labels []bool) (float64, error) {
	pos, _, err := classes(scores, labels)
	if err != nil {
		return 0, err
	}
	at := order(scores)
	var tp int64
	var s adder
	for i := len(at) - 1; i >= 0; {
		before := tp
		j := i
		for ; j >= 0 && scores[at[j]] == scores[at[i]]; j-- {
			if labels[at[j]] {
				tp++
			}
		}
		precision := float64(tp) / float64(len(at)-1-j)
		s.add(float64(float64(tp-before) / float64(pos) * precision))
		i = j
	}
	return s.value(), nil
}

// Spearman is the rank correlation of a and b, by midranks, as scipy.stats.spearmanr; NaN when one of them is constant,
// as there. It fails with ErrInput for NaN, lengths that differ, and fewer than two values.
func Spearman(a, b []float64) (float64, error) {
	if err := sameLength(len(a), len(b)); err != nil {
		return 0, err
	}
	if err := numbers("first", a); err != nil {
		return 0, err
	}
	if err := numbers("second", b); err != nil {
		return 0, err
	}
	ra, rb := midranks(a), midranks(b)
	ma, mb := mean(ra), mean(rb)
	var ab, aa, bb adder
	for i := range ra {
		x, y := ra[i]-ma, rb[i]-mb
		ab.add(float64(x * y))
		aa.add(float64(x * x))
		bb.add(float64(y * y))
	}
	if aa.value() == 0 || bb.value() == 0 {
		return math.NaN(), nil
	}
	return ab.value() / math.Sqrt(aa.value()) / math.Sqrt(bb.value()), nil
}

// midranks are the ranks from 1; equal values share the mean of theirs.
func midranks(v []float64) []float64 {
	at := order(v)
	r := make([]float64, len(v))
	for i := 0; i < len(at); {
		j := i
		for j < len(at) && v[at[j]] == v[at[i]] {
			j++
		}
		for _, k := range at[i:j] {
			r[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return r
}

// Wilson is the share of k in n with Wilson's score interval, which stays in [0,1] (E. B. Wilson (1927), JASA 22, 209-212).
// SE is that of the share itself. It fails with ErrInput without rows, and when k is not in [0,n].
func Wilson(k, n int64, level float64) (Interval, error) {
	if n <= 0 || k < 0 || k > n {
		return Interval{}, fmt.Errorf("%d of %d rows: %w", k, n, ErrInput)
	}
	rows := float64(n)
	p, z := float64(k)/rows, Quantile(0.5+level/2)
	z2 := float64(z*z) / rows
	centre := (p + z2/2) / (1 + z2)
	half := z / (1 + z2) * math.Sqrt(float64(p*(1-p))/rows+z2/(4*rows))
	return Interval{
		Value: p, SE: math.Sqrt(float64(p*(1-p)) / rows), Lower: max(0, centre-half), Upper: min(1, centre+half), Level: level,
	}, nil
}
