package kernel_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

// chain is 3,000 dependent multiplications, 9,000 cycles on x86: it measures the clock.
func chain(x, by uint64) uint64 {
	for range 1000 {
		x *= by
		x *= by
		x *= by
	}
	return x
}

var sink uint64

// measure reports the fastest of many short runs of f, which does n units of work.
func measure(b *testing.B, unit string, n int, f func()) {
	b.Helper()
	f()
	again := 1 + 2000/n // the clock's own time does not count
	best, clock := time.Duration(1<<62), time.Duration(1<<62)
	for b.Loop() {
		t := time.Now()
		for range again {
			f()
		}
		best = min(best, time.Since(t))
		t = time.Now()
		sink = chain(sink+1, sink|1)
		clock = min(clock, time.Since(t))
	}
	b.ReportMetric(float64(best)/float64(n*again), "ns/"+unit)
	b.ReportMetric(float64(best)/float64(clock)*9000/float64(n*again), "cycles/"+unit)
}

func eachTierB(b *testing.B, f func(*testing.B, *kernel.Table)) {
	b.Helper()
	for _, table := range kernel.Tables() {
		b.Run(table.Tier.String(), func(b *testing.B) { f(b, table) })
	}
}

// completeTree returns the operations of a complete tree whose splits' words are given, with results from word out on.
func completeTree(mask func() uint16, depth int, out uint16) (ops []kernel.Op, planes []uint16) {
	m := mask()
	if depth == 1 {
		return nil, []uint16{m}
	}
	left, l := completeTree(mask, depth-1, out)
	right, r := completeTree(mask, depth-1, out+uint16(depth))
	ops = append(left, right...)
	for i := range l {
		ops = append(ops, kernel.Op{A: l[i], B: r[i], Mask: m, Dst: out + uint16(i)})
		planes = append(planes, out+uint16(i))
	}
	return ops, append(planes, m)
}

// BenchmarkBlend is trees of depth 6 with splits from few words, which the first-level cache holds, and from many.
func BenchmarkBlend(b *testing.B) {
	for _, total := range []int{300, 5000, 14000} {
		b.Run(fmt.Sprintf("words=%d", total), func(b *testing.B) {
			eachTierB(b, func(b *testing.B, k *kernel.Table) {
				r := random(1)
				arena := words(r, total+400, k.Words)
				var ops []kernel.Op
				const trees = 32
				for t := range trees {
					o, _ := completeTree(func() uint16 { return uint16(r.IntN(total)) }, 6, uint16(total+t%16*5))
					ops = append(ops, o...)
				}
				measure(b, "op", len(ops), func() { k.Blend(arena, ops) })
				b.ReportMetric(float64(len(ops))/trees, "ops/tree")
			})
		})
	}
}

// BenchmarkTrees is BenchmarkBlend's work by Trees.
func BenchmarkTrees(b *testing.B) {
	for depth := 2; depth <= kernel.MaxTreeDepth; depth++ {
		for _, total := range []int{300, 5000, 14000} {
			b.Run(fmt.Sprintf("depth=%d/words=%d", depth, total), func(b *testing.B) {
				eachTierB(b, func(b *testing.B, k *kernel.Table) {
					r := random(1)
					arena := words(r, total+400, k.Words)
					n := 2048 >> depth
					var trees []uint16
					for t := range n {
						for range 1<<depth - 1 {
							trees = append(trees, uint16(r.IntN(total)))
						}
						trees = append(trees, uint16(total+t%16*5))
					}
					measure(b, "tree", n, func() { k.Trees(arena, depth, trees) })
				})
			})
		}
	}
}

func BenchmarkExceed(b *testing.B) {
	for _, cuts := range []int{1, 30, 62, 126, 254, 4000} {
		b.Run(fmt.Sprintf("cuts=%d", cuts), func(b *testing.B) {
			eachTierB(b, func(b *testing.B, k *kernel.Table) {
				n := 1
				for 1<<n <= cuts {
					n++
				}
				m, p := words(random(1), cuts, k.Words), words(random(2), n, k.Words)
				measure(b, "cut", cuts, func() { k.Exceed(m, p, cuts, n) })
			})
		})
	}
}

func BenchmarkPlanes8(b *testing.B) {
	eachTierB(b, func(b *testing.B, k *kernel.Table) {
		codes, p := kernel.Aligned[uint8](k.Rows()), words(random(2), 8, k.Words)
		measure(b, "code", len(codes), func() { k.Planes8(p, codes, 8) })
	})
}

func BenchmarkPlanes16(b *testing.B) {
	eachTierB(b, func(b *testing.B, k *kernel.Table) {
		codes, p := kernel.Aligned[uint16](k.Rows()), words(random(2), 16, k.Words)
		measure(b, "code", len(codes), func() { k.Planes16(p, codes, 12) })
	})
}

func BenchmarkAndNot(b *testing.B) {
	eachTierB(b, func(b *testing.B, k *kernel.Table) {
		r := random(1)
		arena := words(r, 600, k.Words)
		from := make([]uint32, 200)
		for i := range from {
			from[i] = uint32(r.IntN(300))
		}
		measure(b, "word", len(from), func() { k.AndNot(arena, 350, from, 301) })
	})
}

// BenchmarkSets is one categorical feature of flights data: 300 slots, 1,500 sets.
func BenchmarkSets(b *testing.B) {
	const slots, sets = 300, 1536
	eachTierB(b, func(b *testing.B, k *kernel.Table) {
		r := random(1)
		own := kernel.Aligned[uint16](k.Rows())
		for i := range own {
			own[i] = uint16(r.IntN(slots))
		}
		right := words(r, 1, slots*sets/64)
		arena := words(r, sets, k.Words)
		measure(b, "split_64_rows", sets*k.Words, func() { k.Sets(arena, 0, own, right, sets/64) })
	})
}
