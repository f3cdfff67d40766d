package stat

import (
	"fmt"
	"math"
)

// AUC is the area under the ROC curve: the chance that a positive row scores higher than a negative one, equal scores
// counting half. It is the Mann-Whitney statistic by midranks, added up in integers, so that only the last division
// rounds; scikit-learn's roc_auc_score is the same number to 1e-12. It fails with ErrInput for one class or NaN.
func AUC(scores []float64, labels []bool) (float64, error) {
	pos, neg, err := classes(scores, labels)
	if err != nil {
		return 0, err
	}
	at := order(scores)
	var twice int64 // twice the pairs that are ordered well, ties counting one
	below := int64(0)
	for i := 0; i < len(at); {
		j := i
		p := int64(0)
		for ; j < len(at) && scores[at[j]] == scores[at[i]]; j++ {
			if labels[at[j]] {
				p++
			}
		}
		n := int64(j-i) - p
		twice += p * (2*below + n)
		below += n
		i = j
	}
	return float64(twice) / 2 / float64(pos) / float64(neg), nil
}

// Interval is an estimate with its standard error and confidence bounds.
type Interval struct {
	Value, SE    float64
	Lower, Upper float64
	Level        float64
}

// AUCInterval is the AUC with DeLong's standard error and a confidence interval on the logit scale: logit(AUC) is closer
// to normal than AUC and keeps the bounds in (0,1). An AUC of 0 or 1 has a standard error of 0 and no width.
//
// DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44, 837-845; by midranks as Sun and Xu (2014), IEEE Signal Processing
// Letters 21, 1389-1393. It needs two rows of each class (ErrInput).
func AUCInterval(scores []float64, labels []bool, level float64) (Interval, error) {
	c, err := components(scores, labels)
	if err != nil {
		return Interval{}, err
	}
	auc := mean(c.pos)
	se := math.Sqrt(variance(c.pos)/float64(len(c.pos)) + variance(c.neg)/float64(len(c.neg)))
	out := Interval{Value: auc, SE: se, Lower: auc, Upper: auc, Level: level}
	if auc > 0 && auc < 1 && se > 0 {
		z := Quantile(0.5 + level/2)
		logit := math.Log(auc / (1 - auc))
		half := z * se / (auc * (1 - auc))
		out.Lower, out.Upper = logistic(logit-half), logistic(logit+half)
	}
	return out, nil
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Paired compares two scores of the same rows.
type Paired struct {
	A, B         float64 // AUC of each
	Delta, SE    float64 // A-B and its standard error
	Lower, Upper float64 // of Delta, on the plain scale
	Level        float64
	Z, P         float64 // of no difference, two-sided
}

// DeLong compares the AUCs of two scores of the same rows. The standard error of the difference takes the correlation of
// the two into account, which is why it is several times smaller than that of either AUC. Scores that order all pairs
// equally have Delta 0, SE 0, P 1. Source and errors as AUCInterval.
func DeLong(a, b []float64, labels []bool, level float64) (Paired, error) {
	ca, err := components(a, labels)
	if err != nil {
		return Paired{}, err
	}
	cb, err := components(b, labels)
	if err != nil {
		return Paired{}, err
	}
	out := Paired{A: mean(ca.pos), B: mean(cb.pos), Level: level}
	out.Delta = out.A - out.B
	subtract(ca.pos, cb.pos)
	subtract(ca.neg, cb.neg)
	v := variance(ca.pos)/float64(len(ca.pos)) + variance(ca.neg)/float64(len(ca.neg))
	out.SE = math.Sqrt(v)
	half := Quantile(0.5+level/2) * out.SE
	out.Lower, out.Upper = out.Delta-half, out.Delta+half
	switch {
	case out.SE > 0:
		out.Z = out.Delta / out.SE
		out.P = normalTail(out.Z)
	case out.Delta == 0:
		out.P = 1
	default:
		out.Z = math.Inf(1)
		if out.Delta < 0 {
			out.Z = math.Inf(-1)
		}
	}
	return out, nil
}

// placements are DeLong's structural components: for each positive row the share of negative rows below it, and for each
// negative row the share of positive rows above it, ties counting half.
type placements struct{ pos, neg []float64 }

func components(scores []float64, labels []bool) (placements, error) {
	pos, neg, err := classes(scores, labels)
	if err != nil {
		return placements{}, err
	}
	if pos < 2 || neg < 2 {
		return placements{}, fmt.Errorf("%d positive and %d negative rows, want two of each: %w", pos, neg, ErrInput)
	}
	// By rows first, so that those of two scores of the same rows can be subtracted.
	place := make([]float64, len(scores))
	at := order(scores)
	below := [2]int64{} // rows of each class with lower scores: negative, positive
	for i := 0; i < len(at); {
		j := i
		tied := [2]int64{}
		for ; j < len(at) && scores[at[j]] == scores[at[i]]; j++ {
			tied[class(labels[at[j]])]++
		}
		forPos := float64(2*below[0]+tied[0]) / 2 / float64(neg)
		forNeg := float64(2*(int64(pos)-below[1]-tied[1])+tied[1]) / 2 / float64(pos)
		for _, row := range at[i:j] {
			place[row] = forNeg
			if labels[row] {
				place[row] = forPos
			}
		}
		below[0] += tied[0]
		below[1] += tied[1]
		i = j
	}
	c := placements{pos: make([]float64, 0, pos), neg: make([]float64, 0, neg)}
	for row, v := range place {
		if labels[row] {
			c.pos = append(c.pos, v)
		} else {
			c.neg = append(c.neg, v)
		}
	}
	return c, nil
}

func class(positive bool) int {
	if positive {
		return 1
	}
	return 0
}

func subtract(a, b []float64) {
	for i := range a {
		a[i] -= b[i]
	}
}

func mean(v []float64) float64 { return sum(v) / float64(len(v)) }

// variance has n-1 in the denominator.
func variance(v []float64) float64 {
	m := mean(v)
	var s adder
	for _, x := range v {
		s.add(float64((x - m) * (x - m)))
	}
	return s.value() / float64(len(v)-1)
}

// adder is Neumaier's compensated sum.
type adder struct{ s, c float64 }

func (a *adder) add(x float64) {
	t := a.s + x
	if math.Abs(a.s) >= math.Abs(x) {
		a.c += (a.s - t) + x
	} else {
		a.c += (x - t) + a.s
	}
	a.s = t
}

func (a *adder) value() float64 { return a.s + a.c }

func sum(v []float64) float64 {
	var s adder
	for _, x := range v {
		s.add(x)
	}
	return s.value()
}

func sqrtVariance(v []float64) float64 { return math.Sqrt(variance(v)) }
