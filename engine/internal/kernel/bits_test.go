package kernel_test

import (
	"fmt"
	mathbits "math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

// The references of this file know rows and numbers only: a word is read and written bit by bit.

func bit(arena []uint64, word, row, w int) bool { return arena[word*w+row/64]>>(row%64)&1 == 1 }

func setBit(arena []uint64, word, row, w int, on bool) {
	if on {
		arena[word*w+row/64] |= 1 << (row % 64)
	} else {
		arena[word*w+row/64] &^= 1 << (row % 64)
	}
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 5)) }

// words returns n words of random bits.
func words(r *rand.Rand, n, w int) []uint64 {
	arena := kernel.Aligned[uint64](n * w)
	for i := range arena {
		arena[i] = r.Uint64()
	}
	return arena
}

// eachTier runs f as a subtest for each tier.
func eachTier(t *testing.T, f func(*testing.T, *kernel.Table)) {
	t.Helper()
	for _, table := range kernel.Tables() {
		t.Run(table.Tier.String(), func(t *testing.T) { f(t, table) })
	}
}

func TestPlanes(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		r := random(1)
		for n := range 17 {
			for _, value := range []func() uint16{
				func() uint16 { return uint16(r.Uint32()) },
				func() uint16 { return 0 },
				func() uint16 { return 0xffff },
				func() uint16 { return 1 << r.IntN(16) },
			} {
				codes16 := kernel.Aligned[uint16](k.Rows())
				codes8 := kernel.Aligned[uint8](k.Rows())
				for i := range codes16 {
					codes16[i] = value()
					codes8[i] = uint8(codes16[i])
				}
				before := words(r, n+1, k.Words)
				p := slices.Clone(before)
				got := kernel.Aligned[uint64](len(p))
				copy(got, p)
				for row, c := range codes16 {
					for b := range n {
						setBit(p, b, row, k.Words, c>>b&1 == 1)
					}
				}
				k.Planes16(got, codes16, n)
				if !slices.Equal(got, p) {
					t.Fatalf("Planes16: wrong planes or a word too many for n = %d", n)
				}
				if n > 8 {
					continue
				}
				copy(got, before)
				k.Planes8(got, codes8, n)
				if !slices.Equal(got, p) {
					t.Fatalf("Planes8: wrong planes or a word too many for n = %d", n)
				}
			}
		}
	})
}

func TestExceed(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		r := random(2)
		for _, cuts := range []int{0, 1, 2, 3, 4, 6, 7, 8, 9, 14, 15, 16, 17, 31, 62, 100, 127, 128, 200, 254, 255, 256, 300, 5000} {
			least := mathbits.Len(uint(cuts))
			for _, n := range []int{least, min(least+1, 16), min(least+3, 16)} {
				exceeds(t, k, r, cuts, n)
			}
		}
	})
}

func FuzzExceed(f *testing.F) {
	f.Add(uint64(1), uint16(254), uint8(0))
	f.Add(uint64(2), uint16(5000), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, cuts uint16, more uint8) {
		for _, k := range kernel.Tables() {
			exceeds(t, k, random(seed), int(cuts%8192), min(mathbits.Len16(cuts%8192)+int(more%4), 16))
		}
	})
}

// exceeds compares Exceed on random codes of n planes with comparisons of numbers.
func exceeds(t *testing.T, k *kernel.Table, r *rand.Rand, cuts, n int) {
	t.Helper()
	codes := make([]int, k.Rows())
	for i := range codes {
		codes[i] = r.IntN(1 << n)
	}
	codes[0], codes[1] = 0, 1<<n-1
	p := kernel.Aligned[uint64](n * k.Words)
	for row, c := range codes {
		for b := range n {
			setBit(p, b, row, k.Words, c>>b&1 == 1)
		}
	}
	m := words(r, cuts+2, k.Words)
	beyond := slices.Clone(m[cuts*k.Words:])
	planes := slices.Clone(p)
	k.Exceed(m, p, cuts, n)
	for j := range cuts {
		for row, c := range codes {
			if bit(m, j, row, k.Words) != (c > j) {
				t.Fatalf("%d cuts, %d planes: code %d is not said to be above %d, or the reverse", cuts, n, c, j)
			}
		}
	}
	if !slices.Equal(m[cuts*k.Words:], beyond) || !slices.Equal(p, planes) {
		t.Fatalf("%d cuts, %d planes: a word was changed that is not a cut's", cuts, n)
	}
}

func TestAndNot(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		r := random(3)
		for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 100} {
			const total = 300
			arena := words(r, total, k.Words)
			from := make([]uint32, n)
			for i := range from {
				from[i] = uint32(r.IntN(150))
			}
			const not, to = 151, 160
			want := slices.Clone(arena)
			for i, f := range from {
				for row := range k.Rows() {
					setBit(want, to+i, row, k.Words, bit(want, int(f), row, k.Words) && !bit(want, not, row, k.Words))
				}
			}
			k.AndNot(arena, to, from, not)
			if !slices.Equal(arena, want) {
				t.Fatalf("%d words: wrong", n)
			}
		}
	})
}

func TestBlend(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		r := random(4)
		for _, total := range []int{4, 6, 40, 9000, 1 << 16} { // few words: operations depend on each other
			arena := words(r, total, k.Words)
			for n := range 40 {
				ops := make([]kernel.Op, n)
				for i := range ops {
					word := func() uint16 { return uint16(r.IntN(total)) }
					ops[i] = kernel.Op{A: word(), B: word(), Mask: word(), Dst: word()}
					switch r.IntN(6) {
					case 0:
						ops[i].Dst = ops[i].A
					case 1:
						ops[i].Dst = ops[i].B
					case 2:
						ops[i].Dst = ops[i].Mask
					case 3:
						if i > 0 {
							ops[i].A = ops[i-1].Dst
						}
					}
				}
				want := slices.Clone(arena)
				for _, op := range ops {
					for row := range k.Rows() {
						from := op.A
						if bit(want, int(op.Mask), row, k.Words) {
							from = op.B
						}
						setBit(want, int(op.Dst), row, k.Words, bit(want, int(from), row, k.Words))
					}
				}
				k.Blend(arena, ops)
				if !slices.Equal(arena, want) {
					t.Fatalf("%d operations on %d words: wrong", n, total)
				}
			}
		}
	})
}

func TestSets(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		r := random(5)
		for _, size := range []struct{ width, slots int }{{1, 1}, {1, 2}, {2, 3}, {3, 70}, {5, 400}, {72, 300}, {1, 1 << 16}} {
			t.Run(fmt.Sprintf("%dx%d", size.width, size.slots), func(t *testing.T) {
				slots := kernel.Aligned[uint16](k.Rows())
				for i := range slots {
					slots[i] = uint16(r.IntN(size.slots))
				}
				right := words(r, 1, size.width*size.slots)
				const first = 3
				arena := words(r, first+64*size.width+1, k.Words)
				want := slices.Clone(arena)
				for s := range 64 * size.width {
					for row, slot := range slots {
						setBit(want, first+s, row, k.Words, right[int(slot)*size.width+s/64]>>(s%64)&1 == 1)
					}
				}
				k.Sets(arena, first, slots, right, size.width)
				if !slices.Equal(arena, want) {
					t.Fatal("wrong")
				}
			})
		}
	})
}

// leafNumber walks a complete tree whose splits are in post-order.
func leafNumber(goesRight func(word uint16) bool, splits []uint16) int {
	if len(splits) == 0 {
		return 0
	}
	below := len(splits) / 2
	if goesRight(splits[2*below]) {
		return below + 1 + leafNumber(goesRight, splits[below:2*below])
	}
	return leafNumber(goesRight, splits[:below])
}

func TestTrees(t *testing.T) {
	eachTier(t, func(t *testing.T, k *kernel.Table) {
		r := random(6)
		for depth := 2; depth <= kernel.MaxTreeDepth; depth++ {
			for _, n := range []int{0, 1, 2, 5} {
				for _, inputs := range []int{1, 3, 500, 1<<16 - 30} {
					arena := words(r, inputs+n*(depth-1)+1, k.Words)
					want := slices.Clone(arena)
					var trees []uint16
					for i := range n {
						splits := make([]uint16, 1<<depth-1)
						for s := range splits {
							splits[s] = uint16(r.IntN(inputs))
							if i > 0 && r.IntN(4) == 0 {
								splits[s] = uint16(inputs + r.IntN(i*(depth-1))) // what a tree before this one wrote
							}
						}
						out := inputs + i*(depth-1)
						for row := range k.Rows() {
							leaf := leafNumber(func(w uint16) bool { return bit(want, int(w), row, k.Words) }, splits)
							for b := range depth - 1 {
								setBit(want, out+b, row, k.Words, leaf>>b&1 == 1)
							}
						}
						trees = append(append(trees, splits...), uint16(out))
					}
					k.Trees(arena, depth, trees)
					if !slices.Equal(arena, want) {
						t.Fatalf("%d trees of depth %d, %d words: wrong", n, depth, inputs)
					}
				}
			}
		}
	})
}
