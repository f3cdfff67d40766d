package monitor

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// What pick leaves at the positions is what sorting puts there, and no value is lost.
func TestPickIsSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	kinds := map[string]func(i, n int) float64{
		"normal":     func(int, int) float64 { return rng.NormFloat64() },
		"few":        func(int, int) float64 { return float64(rng.IntN(3)) },
		"equal":      func(int, int) float64 { return 7 },
		"ascending":  func(i, _ int) float64 { return float64(i) },
		"descending": func(i, n int) float64 { return float64(n - i) },
		"organ pipe": func(i, n int) float64 { return float64(min(i, n-i)) },
		"extremes":   func(i, _ int) float64 { return []float64{math.MaxFloat64, -math.MaxFloat64, 5e-324, 0}[i%4] },
		"rare":       func(i, n int) float64 { return float64(i / (n/2 + 1)) },
	}
	for name, value := range kinds {
		for _, n := range []int{1, 2, 3, 31, 33, 100, 4097, 70_000} {
			values := make([]float64, n)
			for i := range values {
				values[i] = value(i, n)
			}
			sorted := slices.Sorted(slices.Values(values))
			at := []int{0}
			for k := 1; k <= DefaultBins; k++ {
				if p := k * (n - 1) / DefaultBins; p > at[len(at)-1] {
					at = append(at, p)
				}
			}
			pick(values, at)
			for _, p := range at {
				if values[p] != sorted[p] {
					t.Fatalf("%s, %d values: %v at %d, want %v", name, n, values[p], p, sorted[p])
				}
			}
			slices.Sort(values)
			if !slices.Equal(values, sorted) {
				t.Fatalf("%s, %d values: some are lost", name, n)
			}
		}
	}
}

func BenchmarkQuantileEdges(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 8))
	source := make([]float64, SampleRows)
	for i := range source {
		source[i] = rng.NormFloat64()
	}
	values := make([]float64, SampleRows)
	for b.Loop() {
		copy(values, source)
		quantileEdges(values, DefaultBins)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/SampleRows, "ns/value")
}
