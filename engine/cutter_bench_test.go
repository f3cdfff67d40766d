package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func BenchmarkRank(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, dist := range []string{"normal", "lognormal", "missing"} {
		draw := func() float64 {
			if dist == "lognormal" {
				return math.Exp(3 * rng.NormFloat64())
			}
			return rng.NormFloat64()
		}
		v := make([]float64, 4096)
		for i := range v {
			v[i] = draw()
			if dist == "missing" && rng.IntN(20) == 0 {
				v[i] = math.NaN()
			}
		}
		for _, n := range []int{3, 107, 254, 2000, 20000} {
			cuts := make([]float64, n)
			for i := range cuts {
				cuts[i] = draw()
			}
			slices.Sort(cuts)
			q := newCutter(cuts, false)
			b.Run(fmt.Sprintf("%s/n=%d/how=%d.%d.%d", dist, n, q.how, q.steps, len(q.first)), func(b *testing.B) {
				var out [64]uint16
				m := startCPU()
				for b.Loop() {
					for i := 0; i < len(v); i += 64 {
						rank(q, v[i:i+64], out[:])
					}
				}
				m.report(b, len(v), "value")
			})
		}
	}
}

func BenchmarkExceed(b *testing.B) {
	var c [64]uint8
	var p [8]uint64
	for i := range c {
		c[i] = uint8(i * 7)
	}
	masks := make([]uint64, 108)
	b.Run("planes", func(b *testing.B) {
		m := startCPU()
		for b.Loop() {
			planes(&c, &p)
		}
		m.report(b, 64, "value")
	})
	b.Run("exceed", func(b *testing.B) {
		m := startCPU()
		for b.Loop() {
			exceed(masks, p[:7])
		}
		m.report(b, 64, "value")
	})
}
