//go:build !purego

package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// useBitsAVX2 puts the assembly of bits.go's functions into t.
func useBitsAVX2(t *Table) {
	t.Planes8 = func(p []uint64, codes []uint8, n int) {
		if n > 0 {
			planes8AVX2(first(p, 4*n), first(codes, 256), n)
		}
	}
	t.Planes16 = func(p []uint64, codes []uint16, n int) {
		if n > 0 {
			planes16AVX2(first(p, 4*n), first(codes, 256), n)
		}
	}
	t.Exceed = func(m, p []uint64, cuts, n int) { exceedAVX2(first(m, 4*cuts), first(p, 4*n), cuts, n) }
	t.AndNot = func(arena []uint64, to int, from []uint32, not int) {
		if len(from) > 0 {
			andNotAVX2(first(arena, 4*(to+len(from))), to, &from[0], len(from), not)
		}
	}
	t.Blend = func(arena []uint64, ops []Op) {
		if len(ops) > 0 {
			blendAVX2(first(arena, 4), &ops[0].A, len(ops))
		}
	}
	t.Trees = func(arena []uint64, depth int, trees []uint16) {
		n := len(trees) >> depth
		if n == 0 {
			return
		}
		a, ops := first(arena, 4), first(trees, n<<depth)
		switch depth {
		case 2:
			treesAVX22(a, ops, n)
		case 3:
			treesAVX23(a, ops, n)
		case 4:
			treesAVX24(a, ops, n)
		case 5:
			treesAVX25(a, ops, n)
		case 6:
			treesAVX26(a, ops, n)
		}
	}
	t.Sets = sets256
}

func sets256(arena []uint64, to int, slots []uint16, right []uint64, width int) {
	if width == 0 {
		return
	}
	_ = slots[255]
	var scratch [32]uint64
	for i := 0; i < width; i += 2 {
		if i+1 < width {
			sets2AVX2(first(arena[4*(to+64*i):], 512), &slots[0], &right[i], 8*width, &scratch[0])
		} else {
			sets1AVX2(first(arena[4*(to+64*i):], 256), &slots[0], &right[i], 8*width, &scratch[0])
		}
	}
}

// useBitsAVX512 puts the assembly of bits.go's functions into t.
func useBitsAVX512(t *Table) {
	t.Planes8 = func(p []uint64, codes []uint8, n int) {
		if n > 0 {
			planes8AVX512(first(p, 8*n), first(codes, 512), n)
		}
	}
	t.Planes16 = func(p []uint64, codes []uint16, n int) {
		if n > 0 {
			planes16AVX512(first(p, 8*n), first(codes, 512), n)
		}
	}
	t.Exceed = func(m, p []uint64, cuts, n int) { exceedAVX512(first(m, 8*cuts), first(p, 8*n), cuts, n) }
	t.AndNot = func(arena []uint64, to int, from []uint32, not int) {
		if len(from) > 0 {
			andNotAVX512(first(arena, 8*(to+len(from))), to, &from[0], len(from), not)
		}
	}
	t.Blend = func(arena []uint64, ops []Op) {
		if len(ops) > 0 {
			blendAVX512(first(arena, 8), &ops[0].A, len(ops))
		}
	}
	t.Trees = func(arena []uint64, depth int, trees []uint16) {
		n := len(trees) >> depth
		if n == 0 {
			return
		}
		a, ops := first(arena, 8), first(trees, n<<depth)
		switch depth {
		case 2:
			treesAVX5122(a, ops, n)
		case 3:
			treesAVX5123(a, ops, n)
		case 4:
			treesAVX5124(a, ops, n)
		case 5:
			treesAVX5125(a, ops, n)
		case 6:
			treesAVX5126(a, ops, n)
		}
	}
	if cpu.X86.HasAVX512GFNI {
		t.Sets = sets512
	}
}

func sets512(arena []uint64, to int, slots []uint16, right []uint64, width int) {
	if width == 0 {
		return
	}
	_ = slots[511]
	var space [512 + 7]uint64
	scratch := &space[-uintptr(unsafe.Pointer(&space))%64/8] // on a cache line's start it is a fifth faster
	for i := 0; i < width; i += 8 {
		n := min(8, width-i)
		setsAVX512(first(arena[8*(to+64*i):], 512*n), &slots[0], &right[i], 8*width, n, scratch)
	}
}

// first returns the address of the first of at least n elements.
func first[T any](s []T, n int) *T { return unsafe.SliceData(s[:n]) }
