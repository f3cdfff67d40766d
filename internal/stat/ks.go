package stat

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// KS2 is the two-sample, two-sided Kolmogorov-Smirnov test: d is the largest difference of the empirical distribution
// functions, p the chance of one as large for equal distributions, by Kolmogorov's distribution of n*m/(n+m) draws
// (rounded half to even). scipy's ks_2samp(method="asymp") gives the same d to 1e-15 and the same p to 1e-9. Infinities
// order as usual and -0 equals 0. It fails with ErrInput for NaN and for an empty sample.
func KS2(a, b []float64) (d, p float64, err error) {
	if err := numbers("first sample", a); err != nil {
		return 0, 0, err
	}
	if err := numbers("second sample", b); err != nil {
		return 0, 0, err
	}
	x, y := slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	for i, j := 0, 0; i < len(x) && j < len(y); {
		at := min(x[i], y[j])
		for i < len(x) && x[i] == at {
			i++
		}
		for j < len(y) && y[j] == at {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(x))-float64(j)/float64(len(y))))
	}
	return d, KSPValue(d, int64(len(a)), int64(len(b))), nil
}

// KSPValue is the p-value of a difference d of the distribution functions of samples of n and m values; see KS2.
func KSPValue(d float64, n, m int64) float64 {
	draws := math.RoundToEven(float64(n) * float64(m) / float64(n+m))
	if draws < 1 {
		return 1
	}
	return KolmogorovTail(int64(draws), d)
}

// ChiSquare is Pearson's test of independence on a table of counts, without Yates' correction, as scipy's
// chi2_contingency(correction=False). Rows and columns without counts are left out. A table with one row or column left
// has statistic 0, no degrees of freedom and p 1. It fails with ErrInput for rows of different lengths, negative counts
// and an empty table.
func ChiSquare(table [][]int64) (statistic float64, dof int, p float64, err error) {
	rows, cols, all, err := margins(table)
	if err != nil {
		return 0, 0, 0, err
	}
	var s adder
	for i, row := range table {
		for j, n := range row {
			if rows[i] == 0 || cols[j] == 0 {
				continue
			}
			expected := float64(rows[i]) * float64(cols[j]) / float64(all)
			diff := float64(n) - expected
			s.add(float64(diff*diff) / expected)
		}
	}
	r, c := used(rows), used(cols)
	if r < 2 || c < 2 {
		return 0, 0, 1, nil
	}
	dof = (r - 1) * (c - 1)
	statistic = s.value()
	return statistic, dof, mathext.GammaIncRegComp(float64(dof)/2, statistic/2), nil
}

func used(totals []int64) (n int) {
	for _, t := range totals {
		if t > 0 {
			n++
		}
	}
	return n
}
