package stat

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Bootstrap tunes PairedBootstrap; zero fields mean the defaults.
type Bootstrap struct {
	Resamples int     // DefaultResamples when 0
	Level     float64 // Level when 0
	Seed      uint64  // of the PCG; the same seed gives the same bounds
}

// The defaults of Bootstrap.
const (
	DefaultResamples = 2000
	// bootstrapGroups bounds the work: more rows than these are first summed in groups of neighbours, and groups are drawn
	// instead of rows. For independent rows the interval is the same; for rows that depend on their neighbours it is the
	// wider, honest one.
	bootstrapGroups = 20_000
)

// PairedBootstrap draws rows with replacement, the same ones for a and b, and returns figure(mean of a, mean of b) for all
// rows with the percentile interval of its values in the resamples; SE is their standard deviation. For RMSE, a and b are
// squared errors and figure the difference of the roots. Efron and Tibshirani (1993), chapter 13. It fails with ErrInput
// for NaN, lengths that differ, and fewer than two rows.
func PairedBootstrap(a, b []float64, figure func(a, b float64) float64, o Bootstrap) (Interval, error) {
	if err := sameLength(len(a), len(b)); err != nil {
		return Interval{}, err
	}
	if err := numbers("first", a); err != nil {
		return Interval{}, err
	}
	if err := numbers("second", b); err != nil {
		return Interval{}, err
	}
	if len(a) < 2 {
		return Interval{}, fmt.Errorf("%d row, want two: %w", len(a), ErrInput)
	}
	if o.Resamples <= 0 {
		o.Resamples = DefaultResamples
	}
	if o.Level == 0 {
		o.Level = Level
	}
	out := Interval{Value: figure(mean(a), mean(b)), Level: o.Level}
	groups := group(a, b)
	rng := rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15))
	values := make([]float64, o.Resamples)
	for i := range values {
		var sa, sb, rows float64
		for range groups {
			g := groups[rng.IntN(len(groups))]
			sa, sb, rows = sa+g.a, sb+g.b, rows+g.rows
		}
		values[i] = figure(sa/rows, sb/rows)
	}
	slices.Sort(values)
	out.SE = sqrtVariance(values)
	tail := (1 - o.Level) / 2
	out.Lower, out.Upper = linear(values, tail), linear(values, 1-tail)
	return out, nil
}

type bootstrapGroup struct{ a, b, rows float64 }

func group(a, b []float64) []bootstrapGroup {
	n := min(len(a), bootstrapGroups)
	out := make([]bootstrapGroup, n)
	for g := range out {
		from, to := g*len(a)/n, (g+1)*len(a)/n
		out[g] = bootstrapGroup{sum(a[from:to]), sum(b[from:to]), float64(to - from)}
	}
	return out
}

// linear is the q-quantile of sorted values with linear interpolation, as numpy.quantile.
func linear(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-2)
	return sorted[i] + float64((at-float64(i))*(sorted[i+1]-sorted[i]))
}
