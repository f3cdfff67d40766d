package stat

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// PSI is the population stability index of two sets of counts over the same bins: the sum of (c-r)*ln(c/r) over the
// shares r and c. Each bin gets half a row more on both sides, so that an empty one has no infinite weight; bins that are
// empty on both sides do not count. bins is the number of bins that count. It fails with ErrInput for lengths that differ,
// negative counts, and a side without rows.
func PSI(ref, cur []int64) (psi float64, bins int, err error) {
	if err := sameLength(len(ref), len(cur)); err != nil {
		return 0, 0, err
	}
	var n, m int64
	for i := range ref {
		if ref[i] < 0 || cur[i] < 0 {
			return 0, 0, fmt.Errorf("bin %d has a negative count: %w", i, ErrInput)
		}
		n += ref[i]
		m += cur[i]
		if ref[i]+cur[i] > 0 {
			bins++
		}
	}
	if n == 0 || m == 0 {
		return 0, 0, fmt.Errorf("%d and %d rows: %w", n, m, ErrInput)
	}
	var s adder
	half := float64(bins) / 2
	for i := range ref {
		if ref[i]+cur[i] == 0 {
			continue
		}
		r := (float64(ref[i]) + 0.5) / (float64(n) + half)
		c := (float64(cur[i]) + 0.5) / (float64(m) + half)
		s.add(float64((c - r) * math.Log(c/r)))
	}
	return max(s.value(), 0), bins, nil
}

// NoiseQuantile is the quantile of PSINoiseFloor.
const NoiseQuantile = 0.999

// PSINoiseFloor is what the PSI of two samples of the same distribution, of n and m rows over the given number of bins,
// exceeds once in a thousand cases: (1/n + 1/m) times the .999 quantile of chi-square with bins-1 degrees of freedom.
// Yurdakul (2018), "Statistical properties of the population stability index". It is 0 for one bin and +Inf without rows.
func PSINoiseFloor(n, m int64, bins int) float64 {
	if n <= 0 || m <= 0 {
		return math.Inf(1)
	}
	if bins < 2 {
		return 0
	}
	chi2 := 2 * mathext.GammaIncRegInv(float64(bins-1)/2, NoiseQuantile)
	return (1/float64(n) + 1/float64(m)) * chi2
}

// JensenShannon is the distance (the square root of the divergence, base 2) of two distributions given as counts or
// weights over the same bins, between 0 and 1, as scipy.spatial.distance.jensenshannon(base=2). It fails with ErrInput for
// lengths that differ, negative or infinite weights, and sums of 0.
func JensenShannon(a, b []float64) (float64, error) {
	if err := sameLength(len(a), len(b)); err != nil {
		return 0, err
	}
	sa, err := weight(a)
	if err != nil {
		return 0, err
	}
	sb, err := weight(b)
	if err != nil {
		return 0, err
	}
	var s adder
	for i := range a {
		p, q := a[i]/sa, b[i]/sb
		m := (p + q) / 2
		if p > 0 {
			s.add(float64(p * math.Log2(p/m)))
		}
		if q > 0 {
			s.add(float64(q * math.Log2(q/m)))
		}
	}
	return math.Sqrt(max(s.value(), 0) / 2), nil
}

func weight(v []float64) (float64, error) {
	for i, x := range v {
		if !(x >= 0) || math.IsInf(x, 0) {
			return 0, fmt.Errorf("weight %v at position %d: %w", x, i, ErrInput)
		}
	}
	s := sum(v)
	if !(s > 0) {
		return 0, fmt.Errorf("weights sum to %v: %w", s, ErrInput)
	}
	return s, nil
}

// Wasserstein1 is the area between the empirical distribution functions of two samples, in the unit of the values, as
// scipy.stats.wasserstein_distance. It fails with ErrInput for NaN, infinities, and an empty sample.
func Wasserstein1(a, b []float64) (float64, error) {
	for name, v := range map[string][]float64{"first sample": a, "second sample": b} {
		if err := numbers(name, v); err != nil {
			return 0, err
		}
		if i := slices.IndexFunc(v, func(x float64) bool { return math.IsInf(x, 0) }); i >= 0 {
			return 0, fmt.Errorf("%s is infinite at position %d: %w", name, i, ErrInput)
		}
	}
	x, y := slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	var s adder
	at := min(x[0], y[0])
	for i, j := 0, 0; i < len(x) || j < len(y); {
		next := math.Inf(1)
		if i < len(x) {
			next = x[i]
		}
		if j < len(y) {
			next = min(next, y[j])
		}
		s.add(float64(math.Abs(float64(i)/float64(len(x))-float64(j)/float64(len(y))) * (next - at)))
		for at = next; i < len(x) && x[i] == at; i++ {
		}
		for ; j < len(y) && y[j] == at; j++ {
		}
	}
	return s.value(), nil
}
