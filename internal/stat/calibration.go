package stat

import (
	"fmt"
	"math"
)

// Brier is the mean squared difference of probability and outcome, as scikit-learn's brier_score_loss. It fails with
// ErrInput for values outside [0,1].
func Brier(probs []float64, labels []bool) (float64, error) {
	if err := outcomes(probs, labels); err != nil {
		return 0, err
	}
	var s adder
	for i, p := range probs {
		d := p - float64(class(labels[i]))
		s.add(float64(d * d))
	}
	return s.value() / float64(len(probs)), nil
}

// logLossClip is the machine epsilon: scikit-learn keeps probabilities so far from 0 and 1.
const logLossClip = 0x1p-52

// LogLoss is the mean negative log likelihood in nats; probabilities are kept 2^-52 away from 0 and 1, as scikit-learn's
// log_loss does. It fails with ErrInput for values outside [0,1].
func LogLoss(probs []float64, labels []bool) (float64, error) {
	if err := outcomes(probs, labels); err != nil {
		return 0, err
	}
	var s adder
	for i, p := range probs {
		if !labels[i] {
			p = 1 - p
		}
		s.add(-math.Log(min(max(p, logLossClip), 1-logLossClip)))
	}
	return s.value() / float64(len(probs)), nil
}

func outcomes(probs []float64, labels []bool) error {
	if err := sameLength(len(probs), len(labels)); err != nil {
		return err
	}
	return probabilities(probs)
}

// ECE is the expected calibration error: probabilities are put into bins of equal width over [0,1], and the absolute
// differences between mean probability and share of positive rows are averaged, weighted by rows. Bin i of n is
// (i/n, (i+1)/n], the first one includes 0: the bins of scikit-learn's calibration_curve(strategy="uniform"). It fails
// with ErrInput for values outside [0,1] and for fewer than one bin.
func ECE(probs []float64, labels []bool, bins int) (float64, error) {
	if err := outcomes(probs, labels); err != nil {
		return 0, err
	}
	if bins < 1 {
		return 0, fmt.Errorf("%d bins, want 1 or more: %w", bins, ErrInput)
	}
	predicted, positive := make([]adder, bins), make([]int64, bins)
	step := 1 / float64(bins)
	for i, p := range probs {
		b := min(int(p*float64(bins)), bins-1)
		// The edges are multiples of step; the product above may round to the other side of one.
		for b > 0 && p <= float64(b)*step {
			b--
		}
		for b < bins-1 && p > float64(b+1)*step {
			b++
		}
		predicted[b].add(p)
		if labels[i] {
			positive[b]++
		}
	}
	var s adder
	for b := range predicted {
		s.add(math.Abs(predicted[b].value() - float64(positive[b])))
	}
	return s.value() / float64(len(probs)), nil
}

// Line is a logistic calibration: logit P(positive) = Intercept + Slope*logit(p). A calibrated model has slope 1 and
// intercept 0; a slope below 1 means that it is too sure of itself.
type Line struct{ Intercept, Slope float64 }

// CalibrationClip keeps probabilities away from 0 and 1, where the logit is infinite, in CalibrationLine.
const CalibrationClip = 1e-6

// newtonSteps suffice by far: without separation the likelihood is concave and Newton's method with halving converges in
// about ten.
const newtonSteps = 100

// CalibrationLine fits the outcomes to the logit of the probabilities by maximum likelihood (Newton's method), as
// scikit-learn's LogisticRegression without penalty on the same clipped logits; both agree to 1e-6. Cox (1958),
// Biometrika 45, 562-565. It fails with ErrInput for values outside [0,1], for one class, and where no maximum exists: all
// probabilities equal, or the classes separated.
func CalibrationLine(probs []float64, labels []bool) (Line, error) {
	if _, _, err := classes(probs, labels); err != nil {
		return Line{}, err
	}
	if err := probabilities(probs); err != nil {
		return Line{}, err
	}
	x := make([]float64, len(probs))
	for i, p := range probs {
		p = min(max(p, CalibrationClip), 1-CalibrationClip)
		x[i] = math.Log(p / (1 - p))
	}
	if separated(x, labels) {
		return Line{}, fmt.Errorf("the probabilities separate the classes, so there is no calibration line: %w", ErrInput)
	}
	line := Line{Slope: 1}
	best := likelihood(x, labels, line)
	for range newtonSteps {
		d, ok := newton(x, labels, line)
		if !ok {
			break
		}
		next, l := line, math.Inf(-1)
		scale := 1.0
		for ; scale > 1e-10; scale /= 2 {
			next = Line{line.Intercept + float64(scale*d.Intercept), line.Slope + float64(scale*d.Slope)}
			if l = likelihood(x, labels, next); l >= best {
				break
			}
		}
		if scale <= 1e-10 || math.Abs(d.Intercept) < 1e-12 && math.Abs(d.Slope) < 1e-12 {
			return line, nil // no better point within rounding
		}
		line, best = next, l
	}
	return Line{}, fmt.Errorf("no calibration line after %d steps: %w", newtonSteps, ErrInput)
}

// separated reports whether a threshold has all rows of one class on each side, rows on it counting as either: then every
// steeper line is likelier, without end. It includes values that are all equal.
func separated(x []float64, labels []bool) bool {
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for i, v := range x {
		c := class(labels[i])
		low[c], high[c] = min(low[c], v), max(high[c], v)
	}
	return high[0] <= low[1] || high[1] <= low[0]
}

func likelihood(x []float64, labels []bool, l Line) float64 {
	var s adder
	for i, v := range x {
		m := l.Intercept + float64(l.Slope*v)
		if labels[i] {
			m = -m
		}
		// -log(1+exp(m)) without overflow
		s.add(-math.Max(m, 0) - math.Log1p(math.Exp(-math.Abs(m))))
	}
	return s.value()
}

// newton is the step from l; ok is false when the information matrix is singular.
func newton(x []float64, labels []bool, l Line) (step Line, ok bool) {
	var g0, g1, h00, h01, h11 adder
	for i, v := range x {
		p := logistic(l.Intercept + float64(l.Slope*v))
		r := float64(class(labels[i])) - p
		w := p * (1 - p)
		g0.add(r)
		g1.add(float64(r * v))
		h00.add(w)
		h01.add(float64(w * v))
		h11.add(float64(float64(w*v) * v))
	}
	a, b, c := h00.value(), h01.value(), h11.value()
	det := float64(a*c) - float64(b*b)
	if !(det > 1e-14*math.Max(a*c, 1e-300)) {
		return Line{}, false
	}
	p, q := g0.value(), g1.value()
	return Line{(float64(c*p) - float64(b*q)) / det, (float64(a*q) - float64(b*p)) / det}, true
}
