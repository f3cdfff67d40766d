package stat

import (
	"errors"
	"math"
	"testing"
)

// The bounds are those of scipy.stats.binomtest(k, n).proportion_ci(0.95, "wilson").
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		k, n         int64
		lower, upper float64
	}{
		{0, 1, 0, 0.7934506856227626},
		{1, 1, 0.20654931437723745, 1},
		{0, 50, 0, 0.07134759913335872},
		{50, 50, 0.9286524008666412, 1},
		{7, 20, 0.1811918241010821, 0.5671457233147637},
		{812, 1000, 0.7866068125887821, 0.8350052901162314},
		{123456, 1000000, 0.12281269653142284, 0.12410219641400437},
	} {
		got, err := Wilson(c.k, c.n, Level)
		if err != nil || math.Abs(got.Lower-c.lower) > 1e-12 || math.Abs(got.Upper-c.upper) > 1e-12 || got.Value != float64(c.k)/float64(c.n) {
			t.Errorf("%d of %d: %+v, %v", c.k, c.n, got, err)
		}
	}
	for _, c := range [][2]int64{{0, 0}, {-1, 5}, {6, 5}} {
		if _, err := Wilson(c[0], c[1], Level); !errors.Is(err, ErrInput) {
			t.Errorf("%d of %d: %v", c[0], c[1], err)
		}
	}
}
