package kernel

import (
	"math/rand/v2"
	"testing"
)

// Cuts made for a tier have fewer tables, but all functions of all tiers give the same codes.
func TestCutsForOneTier(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 8))
	for _, c := range []rankCase{
		{"one", rng.NormFloat64, distinct(rng.NormFloat64, 1)},
		{"few", rng.NormFloat64, distinct(rng.NormFloat64, 3)},
		{"pairs", rng.NormFloat64, quantiles(rng.NormFloat64, 100)},
		{"crowded pairs", rng.NormFloat64, distinct(rng.NormFloat64, 254)},
		{"more than bytes", rng.NormFloat64, distinct(rng.NormFloat64, 700)},
	} {
		v := c.values(rng, 600)
		singles := make([]float32, len(v))
		for i, x := range v {
			singles[i] = float32(x)
		}
		dst8, dst16 := make([]uint8, len(v)), make([]uint16, len(v))
		for _, own := range Tables() {
			for _, wide := range []bool{len(c.cuts) > MaxCuts8, true} {
				for _, nanLow := range []bool{false, true} {
					q := own.NewCuts(c.cuts, nanLow, wide)
					check := func(name string, k *Table, code func(i int) int, value func(i int) float64) {
						t.Helper()
						for i := range v {
							if got, want := code(i), naiveRank(c.cuts, nanLow, value(i)); got != want {
								t.Fatalf("%s for %v, wide %v: %s of %v gives %v code %d, want %d", c.name, own.Tier, wide, name, k.Tier, value(i), got, want)
							}
						}
					}
					double := func(i int) float64 { return v[i] }
					single := func(i int) float64 { return float64(singles[i]) }
					for _, k := range Tables() {
						k.Rank64x16(dst16, q, v)
						check("Rank64x16", k, func(i int) int { return int(dst16[i]) }, double)
						k.Rank32x16(dst16, q, singles)
						check("Rank32x16", k, func(i int) int { return int(dst16[i]) }, single)
						if q.N() > MaxCuts8 {
							continue
						}
						k.Rank64x8(dst8, q, v)
						check("Rank64x8", k, func(i int) int { return int(dst8[i]) }, double)
						k.Rank32x8(dst8, q, singles)
						check("Rank32x8", k, func(i int) int { return int(dst8[i]) }, single)
					}
				}
			}
		}
	}
}

// A source of a row's codes gives up its cuts for those of a feature that are the same, and for no others.
func TestRowSourcesShareCuts(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 9))
	for _, n := range []int{1, 7, 8, 64, 100, MaxRowCuts} {
		cuts := distinct(rng.NormFloat64, n)
		q := NewCuts(cuts, false)
		other := NewCuts(distinct(rng.NormFloat64, n), false)
		s := NewRowSource(append([]float64(nil), cuts...))
		s.Share(other)
		if &s.Cuts()[0] == &other.cuts[0] {
			t.Fatalf("%d cuts: other cuts were shared", n)
		}
		s.Share(q)
		if &s.Cuts()[0] != &q.cuts[0] {
			t.Fatalf("%d equal cuts were not shared", n)
		}
		own := NewRowSource(append([]float64(nil), cuts...))
		sources := []RowSource{s, own}
		for _, k := range Tables() {
			values := make([]float64, RowSources)
			for range 50 {
				x := rng.NormFloat64()
				values[0], values[1] = x, x
				var codes RowCodes
				one, two := RowLevels(sources)
				k.Row.Codes(&codes, values, sources, one, two)
				if want := uint8(naiveRank(cuts, false, x)); codes.Codes[0] != want || codes.Codes[2] != want {
					t.Fatalf("%v, %d cuts: %v has codes %d and %d, want %d", k.Tier, n, x, codes.Codes[0], codes.Codes[2], want)
				}
			}
		}
	}
}
