package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

func benchmarkSum[F float32 | float64](b *testing.B, sum func(*kernel.Table) func([]F, []uint64, []kernel.Leaves, []uint64, int),
	lay func(*kernel.Table) func([]uint64, []F, int), size func(int) int, value func(*rand.Rand) F,
) {
	b.Helper()
	for bits := range kernel.MaxPlanes + 1 {
		b.Run(fmt.Sprintf("planes=%d", bits), func(b *testing.B) {
			eachTierB(b, func(b *testing.B, k *kernel.Table) {
				trees := 32
				if bits > 5 {
					trees = 8
				}
				g := grow(random(1), k, trees, bits, lay(k), size, value)
				acc := kernel.Aligned[F](k.Rows())
				f := sum(k)
				measure(b, "tree_64_rows", trees*k.Words, func() { f(acc, g.arena, g.trees, g.table, k.Words) })
			})
		})
	}
}

func BenchmarkSum64(b *testing.B) {
	benchmarkSum(b, func(k *kernel.Table) func([]float64, []uint64, []kernel.Leaves, []uint64, int) { return k.Sum64 },
		func(k *kernel.Table) func([]uint64, []float64, int) { return k.Lay64 }, kernel.Size64, value64)
}

func BenchmarkSum32(b *testing.B) {
	benchmarkSum(b, func(k *kernel.Table) func([]float32, []uint64, []kernel.Leaves, []uint64, int) { return k.Sum32 },
		func(k *kernel.Table) func([]uint64, []float32, int) { return k.Lay32 }, kernel.Size32, value32)
}

func BenchmarkIDs(b *testing.B) {
	for _, bits := range []int{5, 8} {
		b.Run(fmt.Sprintf("planes=%d", bits), func(b *testing.B) {
			eachTierB(b, func(b *testing.B, k *kernel.Table) {
				g := grow(random(1), k, 32, bits, k.Lay64, kernel.Size64, value64)
				ids := kernel.Aligned[uint8](k.Rows())
				measure(b, "tree_64_rows", 32*k.Words, func() {
					for i := range g.trees {
						k.IDs(ids, g.arena, &g.trees[i], k.Words)
					}
				})
			})
		})
	}
}
