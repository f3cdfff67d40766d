package stat

import (
	"fmt"
	"slices"
)

// BH returns the p-values corrected for their number by Benjamini and Hochberg (1995), Journal of the Royal Statistical
// Society B 57, 289-300: rejecting those at or below q keeps the expected share of false rejections at q. The order is
// that of p; scipy.stats.false_discovery_control is the same. It fails with ErrInput for values outside [0,1]; no values
// give none.
func BH(p []float64) ([]float64, error) {
	for i, v := range p {
		if !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("p-value %v at position %d: %w", v, i, ErrInput)
		}
	}
	at := order(p)
	out := make([]float64, len(p))
	least := 1.0
	for i, k := range slices.Backward(at) {
		least = min(least, p[k]*(float64(len(p))/float64(i+1)))
		out[k] = least
	}
	return out, nil
}
