// Package stat holds the statistics that gates and monitoring decide by: pure functions on slices.
//
//	ranking       AUC, AUCInterval and DeLong (paired), AveragePrecision, At (precision, recall, F1), Spearman
//	probability   Brier, LogLoss, ECE, CalibrationLine
//	two samples   KS2, ChiSquare, PSI with PSINoiseFloor, Wasserstein1, JensenShannon
//	many tests    BH
//	resampling    PairedBootstrap
//
// # Invariants
//
//	T1  No function changes its arguments or keeps them, and the result depends on nothing else: not on time, and not on
//	    the number of processors.
//	T2  NaN in the input is an error that wraps ErrInput, as is too little input. Infinities are allowed where only the
//	    order counts (AUC, DeLong, KS2, At, AveragePrecision, Spearman).
//	T3  Every figure agrees with scipy or scikit-learn to the tolerance in docs/format/statistics.md; testdata/generate.py
//	    makes the goldens.
//
// # Concurrency
//
// All functions are safe for any number of goroutines.
package stat

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrInput is wrapped by errors about input that has no answer: NaN, lengths that differ, one class only, no rows. The
// caller looks at its data; the message says which and where.
var ErrInput = errors.New("stat: input has no answer")

// Level is the confidence level of the intervals that gates use.
const Level = 0.95

func sameLength(a, b int) error {
	if a != b {
		return fmt.Errorf("%d and %d values, want equal numbers: %w", a, b, ErrInput)
	}
	return nil
}

// numbers refuses NaN, and an empty slice.
func numbers(name string, v []float64) error {
	if len(v) == 0 {
		return fmt.Errorf("%s has no values: %w", name, ErrInput)
	}
	for i, x := range v {
		if math.IsNaN(x) {
			return fmt.Errorf("%s is NaN at position %d: %w", name, i, ErrInput)
		}
	}
	return nil
}

// probabilities refuses values outside [0,1].
func probabilities(v []float64) error {
	if len(v) == 0 {
		return fmt.Errorf("no probabilities: %w", ErrInput)
	}
	for i, x := range v {
		if !(x >= 0 && x <= 1) {
			return fmt.Errorf("probability %v at position %d: %w", x, i, ErrInput)
		}
	}
	return nil
}

// classes counts both classes and refuses input that has only one.
func classes(scores []float64, labels []bool) (pos, neg int, err error) {
	if err := sameLength(len(scores), len(labels)); err != nil {
		return 0, 0, err
	}
	if err := numbers("score", scores); err != nil {
		return 0, 0, err
	}
	for _, l := range labels {
		if l {
			pos++
		}
	}
	neg = len(labels) - pos
	if pos == 0 || neg == 0 {
		return pos, neg, fmt.Errorf("%d positive and %d negative rows, want some of both: %w", pos, neg, ErrInput)
	}
	return pos, neg, nil
}

// order returns the positions of v in ascending order of their values. Equal values keep their order, so that sums over
// them do not depend on the sorting.
func order(v []float64) []int32 {
	at := make([]int32, len(v))
	for i := range at {
		at[i] = int32(i)
	}
	slices.SortFunc(at, func(a, b int32) int {
		switch x, y := v[a], v[b]; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return int(a) - int(b)
	})
	return at
}

// Quantile is the q-quantile of the standard normal distribution.
func Quantile(q float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*q) }

// normalTail is P(|Z| >= |z|).
func normalTail(z float64) float64 { return math.Erfc(math.Abs(z) / math.Sqrt2) }
