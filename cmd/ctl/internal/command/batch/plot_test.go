package batch

import (
	"testing"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

func TestRangeOfTheHistogram(t *testing.T) {
	at := func(bins ...int) []int64 {
		counts := make([]int64, 100)
		for _, b := range bins {
			counts[b]++
		}
		return counts
	}
	for name, c := range map[string]struct {
		batch                 *scoringv1.Batch
		probabilities, binary bool
	}{
		"binary": {
			&scoringv1.Batch{ScoreHistogram: at(12, 50, 73), ScoreMin: 0.125, ScoreMax: 0.739, PositiveRate: 0.6, DecisionThreshold: 0.5},
			true, true,
		},
		"binary, nobody positive": {
			&scoringv1.Batch{ScoreHistogram: at(1, 2), ScoreMin: 0.01, ScoreMax: 0.021, DecisionThreshold: 0.5},
			true, true,
		},
		"one score of 1": {
			&scoringv1.Batch{ScoreHistogram: at(99), ScoreMin: 1, ScoreMax: 1, PositiveRate: 1, DecisionThreshold: 0.5},
			true, true,
		},
		"many classes": {
			&scoringv1.Batch{ScoreHistogram: at(33, 98), ScoreMin: 0.335, ScoreMax: 0.985, DecisionThreshold: 0.5},
			true, false,
		},
		"a regression within [0, 1]": {
			&scoringv1.Batch{ScoreHistogram: at(0, 40, 99), ScoreMin: 0.2, ScoreMax: 0.9, DecisionThreshold: 0.5},
			false, false,
		},
		"a regression": {
			&scoringv1.Batch{ScoreHistogram: at(0, 99), ScoreMin: -3, ScoreMax: 12, DecisionThreshold: 0.5},
			false, false,
		},
		"no scores": {&scoringv1.Batch{DecisionThreshold: 0.5}, false, false},
	} {
		if got := areProbabilities(c.batch); got != c.probabilities {
			t.Errorf("%s: probabilities %v, want %v", name, got, c.probabilities)
		}
		if got := isBinary(c.batch); got != c.binary {
			t.Errorf("%s: binary %v, want %v", name, got, c.binary)
		}
	}
}
