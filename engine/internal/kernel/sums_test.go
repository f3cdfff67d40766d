package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

// grown are trees with random leaf numbers: leaf[t][row] is tree t's leaf value in row.
type grown[F float32 | float64] struct {
	arena []uint64
	trees []kernel.Leaves
	ids   [][]int
	leaf  [][]F
	table []uint64
}

// grow makes n trees of the given number of planes. Values beyond a tree's leaves are never looked up.
func grow[F float32 | float64](r *rand.Rand, k *kernel.Table, n, bits int, lay func([]uint64, []F, int), size func(int) int, value func(*rand.Rand) F) *grown[F] {
	const other = 3 // words that no tree uses
	g := &grown[F]{arena: words(r, other+n*bits, k.Words), table: kernel.Aligned[uint64](n * size(bits))}
	place := r.Perm(other + n*bits)
	for t := range n {
		tree := kernel.Leaves{Bits: uint32(bits), Table: uint32(t * size(bits))}
		for b := range bits {
			tree.Planes[b] = uint16(place[t*bits+b])
		}
		leaves := make([]F, 1<<bits-r.IntN(1<<bits/2+1))
		for i := range leaves {
			leaves[i] = value(r)
		}
		ids, values := make([]int, k.Rows()), make([]F, k.Rows())
		for row := range ids {
			ids[row] = r.IntN(len(leaves))
			for b := range bits {
				setBit(g.arena, int(tree.Planes[b]), row, k.Words, ids[row]>>b&1 == 1)
			}
			values[row] = leaves[ids[row]]
		}
		before := slices.Clone(g.table)
		for i := range size(bits) {
			g.table[int(tree.Table)+i] = r.Uint64() // Lay writes all
		}
		lay(g.table[tree.Table:], leaves, bits)
		for i, v := range before {
			if uint32(i)-tree.Table >= uint32(size(bits)) && g.table[i] != v {
				panic(fmt.Sprintf("Lay of %d planes wrote element %d of %d", bits, uint32(i)-tree.Table, size(bits)))
			}
		}
		g.trees, g.ids, g.leaf = append(g.trees, tree), append(g.ids, ids), append(g.leaf, values)
	}
	return g
}

var odd64 = []float64{
	math.Copysign(0, -1), 0, math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64,
	math.MaxFloat64, 0x1p-1022, 1, 0x1p53,
}

func value64(r *rand.Rand) float64 {
	if r.IntN(40) == 0 {
		return odd64[r.IntN(len(odd64))]
	}
	return r.NormFloat64() * math.Exp2(float64(r.IntN(40)-20))
}

var odd32 = []float32{
	float32(math.Copysign(0, -1)), 0, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.MaxFloat32, 0x1p-126, 1, 0x1p24,
}

func value32(r *rand.Rand) float32 {
	if r.IntN(40) == 0 {
		return odd32[r.IntN(len(odd32))]
	}
	return float32(r.NormFloat64() * math.Exp2(float64(r.IntN(40)-20)))
}

// raw is a number's bits, all NaNs taken together: which one a sum of two is depends on the processor.
func raw[F float32 | float64](f F) uint64 {
	if f != f {
		return math.MaxUint64
	}
	return math.Float64bits(float64(f))
}

// sums are a tier's functions for F.
type sums[F float32 | float64] struct {
	order *[64]uint8
	sum   func([]F, []uint64, []kernel.Leaves, []uint64, int)
	lay   func([]uint64, []F, int)
	size  func(int) int
	value func(*rand.Rand) F
}

func sums64(k *kernel.Table) sums[float64] {
	return sums[float64]{k.Order64, k.Sum64, k.Lay64, kernel.Size64, value64}
}

func sums32(k *kernel.Table) sums[float32] {
	return sums[float32]{k.Order32, k.Sum32, k.Lay32, kernel.Size32, value32}
}

// check compares the sums of a number of groups with those of values added one after the other.
func (f sums[F]) check(t *testing.T, k *kernel.Table, r *rand.Rand, g *grown[F], groups int) {
	t.Helper()
	acc := make([]F, k.Rows())
	for at := range acc {
		acc[at] = f.value(r)
	}
	want := slices.Clone(acc)
	for row := range 64 * groups {
		at := row&^63 | int(f.order[row&63])
		for tree := range g.trees {
			want[at] += g.leaf[tree][row]
		}
	}
	f.sum(acc, g.arena, g.trees, g.table, groups)
	for at := range acc {
		if raw(acc[at]) != raw(want[at]) {
			row := at&^63 | slices.Index(f.order[:], uint8(at&63))
			t.Fatalf("%d trees, %d groups: row %d is %v, want %v", len(g.trees), groups, row, acc[at], want[at])
		}
	}
}

func (f sums[F]) test(t *testing.T, k *kernel.Table) {
	t.Helper()
	r := random(3)
	for bits := range kernel.MaxPlanes + 1 {
		t.Run(fmt.Sprintf("planes=%d", bits), func(t *testing.T) {
			for _, n := range []int{0, 1, 2, 3, 8, 15, 16, 17, 31, 32, 40, 300} {
				if n == 300 && bits > 5 {
					continue
				}
				g := grow(r, k, n, bits, f.lay, f.size, f.value)
				for groups := range k.Words + 1 {
					f.check(t, k, r, g, groups)
				}
			}
		})
	}
}

func TestSum64(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) { sums64(k).test(t, k) })
}

func TestSum32(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) { sums32(k).test(t, k) })
}

func FuzzSums(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint16(31), uint8(4))
	f.Add(uint64(2), uint8(8), uint16(1), uint8(8))
	f.Add(uint64(3), uint8(0), uint16(257), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, bits uint8, trees uint16, groups uint8) {
		eachTier(t, func(t *testing.T, k *kernel.Table) {
			r, planes, n, words := random(seed), int(bits)%(kernel.MaxPlanes+1), int(trees)%600, int(groups)%(k.Words+1)
			f64, f32 := sums64(k), sums32(k)
			f64.check(t, k, r, grow(r, k, n, planes, f64.lay, f64.size, f64.value), words)
			f32.check(t, k, r, grow(r, k, n, planes, f32.lay, f32.size, f32.value), words)
		})
	})
}

func TestSumsAllocateNothing(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		r := random(7)
		for bits := range kernel.MaxPlanes + 1 {
			g, h := grow(r, k, 40, bits, k.Lay64, kernel.Size64, value64), grow(r, k, 40, bits, k.Lay32, kernel.Size32, value32)
			acc64, acc32, ids := make([]float64, k.Rows()), make([]float32, k.Rows()), make([]uint8, k.Rows())
			if n := testing.AllocsPerRun(10, func() {
				k.Sum64(acc64, g.arena, g.trees, g.table, k.Words)
				k.Sum32(acc32, h.arena, h.trees, h.table, k.Words)
				k.IDs(ids, g.arena, &g.trees[0], k.Words)
			}); n != 0 {
				t.Errorf("%d planes: %v allocations", bits, n)
			}
		}
	})
}

func TestOrders(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		for _, order := range []*[64]uint8{k.Order64, k.Order32} {
			seen := slices.Sorted(slices.Values(order[:]))
			for i, at := range seen {
				if int(at) != i {
					t.Fatalf("order %v is no permutation", order)
				}
			}
		}
	})
}

func TestIDs(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		r := random(4)
		for bits := range kernel.MaxPlanes + 1 {
			g := grow(r, k, 5, bits, k.Lay64, kernel.Size64, value64)
			for groups := range k.Words + 1 {
				for tree := range g.trees {
					ids := make([]uint8, k.Rows()+1)
					for i := range ids {
						ids[i] = 0xa5
					}
					k.IDs(ids[1:], g.arena, &g.trees[tree], groups)
					for i, id := range ids {
						want := 0xa5
						if row := i - 1; row >= 0 && row < 64*groups {
							want = g.ids[tree][row]
						}
						if int(id) != want {
							t.Fatalf("%d planes, %d groups: row %d has leaf %d, want %d", bits, groups, i-1, id, want)
						}
					}
				}
			}
		}
	})
}

// Tables that follow each other start on 64-byte boundaries.
func TestSizes(t *testing.T) {
	for bits := range kernel.MaxPlanes + 1 {
		if s := kernel.Size64(bits); s%8 != 0 || s < 1<<bits {
			t.Errorf("Size64(%d) is %d", bits, s)
		}
		if s := kernel.Size32(bits); s%8 != 0 || 2*s < 1<<bits {
			t.Errorf("Size32(%d) is %d", bits, s)
		}
	}
}
