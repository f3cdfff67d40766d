package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// benchFeatures is the number of features that take turns, as in a model: their tables do not stay in the first-level
// cache.
const benchFeatures = 28

// BenchmarkRank reports ns per value, the fastest of all passes, for cuts as the training libraries choose them: some of
// 254 quantiles (or all, or cuts in between random values) for codes of a byte, more for codes of two.
func BenchmarkRank(b *testing.B) {
	rng := rand.New(rand.NewPCG(8, 8))
	half := func(draw func() float64, n int) []float64 {
		all := quantiles(draw, 254)
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = slices.Clone(all[:min(n, len(all))])
		slices.Sort(all)
		return all
	}
	integers := func() float64 { return math.Floor(300 * rng.NormFloat64()) }
	lognormal := func() float64 { return math.Exp(2 * rng.NormFloat64()) }
	cauchy := func() float64 { return rng.NormFloat64() / rng.NormFloat64() }
	sparse := func() float64 { return max(0, rng.NormFloat64()) }
	for _, c := range []struct {
		name string
		draw func() float64
		cuts func() []float64
	}{
		{"normal-3", rng.NormFloat64, func() []float64 { return quantiles(rng.NormFloat64, 3) }},
		{"normal-50", rng.NormFloat64, func() []float64 { return half(rng.NormFloat64, 50) }},
		{"normal-100", rng.NormFloat64, func() []float64 { return half(rng.NormFloat64, 100) }},
		{"normal-254", rng.NormFloat64, func() []float64 { return quantiles(rng.NormFloat64, 254) }},
		{"normal-100-random", rng.NormFloat64, func() []float64 { return distinct(rng.NormFloat64, 100) }},
		{"normal-254-random", rng.NormFloat64, func() []float64 { return distinct(rng.NormFloat64, 254) }},
		{"uniform-254", rng.Float64, func() []float64 { return quantiles(rng.Float64, 254) }},
		{"exponential-100", rng.ExpFloat64, func() []float64 { return half(rng.ExpFloat64, 100) }},
		{"exponential-254", rng.ExpFloat64, func() []float64 { return quantiles(rng.ExpFloat64, 254) }},
		{"lognormal-100", lognormal, func() []float64 { return half(lognormal, 100) }},
		{"lognormal-254", lognormal, func() []float64 { return quantiles(lognormal, 254) }},
		{"cauchy-100", cauchy, func() []float64 { return half(cauchy, 100) }},
		{"cauchy-254", cauchy, func() []float64 { return quantiles(cauchy, 254) }},
		{"integers-100", integers, func() []float64 { return half(integers, 100) }},
		{"sparse-100", sparse, func() []float64 {
			return append([]float64{-1e-35, 1e-35}, quantiles(func() float64 { return math.Abs(rng.NormFloat64()) }, 98)...)
		}},
		{"normal-2000", rng.NormFloat64, func() []float64 { return distinct(rng.NormFloat64, 2000) }},
		{"normal-10000", rng.NormFloat64, func() []float64 { return distinct(rng.NormFloat64, 10000) }},
		{"normal-60000", rng.NormFloat64, func() []float64 { return distinct(rng.NormFloat64, 60000) }},
		{"lognormal-10000", lognormal, func() []float64 { return distinct(lognormal, 10000) }},
	} {
		const rows = 2048
		var cuts [benchFeatures]*Cuts
		var doubles [benchFeatures][]float64
		var singles [benchFeatures][]float32
		for f := range cuts {
			cuts[f] = NewCuts(c.cuts(), false)
			for range rows {
				x := c.draw()
				doubles[f] = append(doubles[f], x)
				singles[f] = append(singles[f], float32(x))
			}
		}
		for _, k := range Tables() {
			run := func(name string, pass func()) {
				b.Run(fmt.Sprintf("%s/%v/%s", c.name, k.Tier, name), func(b *testing.B) {
					best := time.Duration(math.MaxInt64)
					for b.Loop() {
						start := time.Now()
						pass()
						best = min(best, time.Since(start))
					}
					b.ReportMetric(float64(best.Nanoseconds())/(rows*benchFeatures), "ns/value")
					b.ReportMetric(0, "ns/op")
				})
			}
			block := k.Rows()
			if cuts[0].N() <= MaxCuts8 {
				dst := make([]uint8, block)
				run("f64", func() {
					for from := 0; from < rows; from += block {
						for f, q := range cuts {
							k.Rank64x8(dst, q, doubles[f][from:from+block])
						}
					}
				})
				run("f32", func() {
					for from := 0; from < rows; from += block {
						for f, q := range cuts {
							k.Rank32x8(dst, q, singles[f][from:from+block])
						}
					}
				})
				continue
			}
			dst := make([]uint16, block)
			run("f64", func() {
				for from := 0; from < rows; from += block {
					for f, q := range cuts {
						k.Rank64x16(dst, q, doubles[f][from:from+block])
					}
				}
			})
			run("f32", func() {
				for from := 0; from < rows; from += block {
					for f, q := range cuts {
						k.Rank32x16(dst, q, singles[f][from:from+block])
					}
				}
			})
		}
	}
}
