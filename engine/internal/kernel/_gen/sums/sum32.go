package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// Row r = 4d + i of a group is value d of accumulator i: what look-ups make whose index bytes are i of each dword.

func sum32(bits int) {
	switch {
	case bits == 0:
		newSum(name("sum32", bits), "adds the leaf of trees of one.", "float32", 4, func(s *sum) lookups {
			return lookups{body: func(reg.VecVirtual) (f steps) {
				for _, a := range s.acc {
					f = append(f, func() { VADDPS_BCST(gen.At(s.leaf, 0), a, a) })
				}
				return f
			}}
		})
	case bits <= 5:
		sum32x5(bits)
	case bits == 6:
		sum32x6()
	default:
		sum32x8(bits)
	}
}

// sum32x5 looks values up in one or two registers.
func sum32x5(bits int) {
	newSum(name("sum32", bits), "looks up 16 values at a time.", "float32", 4, func(s *sum) lookups {
		return lookups{number: newNumber(bits, "Natural", natural), body: func(n reg.VecVirtual) (f steps) {
			low, high := ZMM(), ZMM()
			VMOVDQU64(gen.At(s.leaf, 0), low)
			if bits > 4 {
				VMOVDQU64(gen.At(s.leaf, 64), high)
			}
			for i := 3; i >= 0; i-- {
				x := n
				if i > 0 {
					x = ZMM()
					f = append(f, func() { VPSRLD(U8(8*i), n, x) })
				}
				if bits > 4 {
					f = append(f, func() { VPERMI2D(high, low, x) })
				} else {
					f = append(f, func() { VPERMD(low, x, x) })
				}
				f = append(f, func() { VADDPS(x, s.acc[i], s.acc[i]) })
			}
			return f
		}}
	})
}

// sum32x6 looks each byte of values up by itself.
func sum32x6() {
	newSum(name("sum32", 6), "looks up 64 bytes of values at a time among 64.", "float32", 4, func(s *sum) lookups {
		u := newNumber(6, "Natural", natural)
		// Unpacking bytes takes bit 3 of a byte's place, exchanging words bit 0; bits 2 and 1 are the dword's of 4.
		order := constant("sumsOrder6", func(i int) uint8 { return uint8(i&^15 | i>>2&1<<3 | i>>1&1<<2 | i>>3&1<<1 | i&1) })
		low := constant("sumsLowWords", lowHalves(4))
		return lookups{number: u, order: order, body: func(n reg.VecVirtual) (f steps) {
			swapped := ZMM()
			VPSHLDW(U8(8), n, n, swapped)
			var words [2][2]reg.VecVirtual
			for p, idx := range [2]reg.VecVirtual{n, swapped} {
				x, y := ZMM(), ZMM()
				words[p] = [2]reg.VecVirtual{ZMM(), ZMM()}
				f = append(f, lookup(x, idx, s.leaf, 2*p, 6)...)
				f = append(f, lookup(y, idx, s.leaf, 2*p+1, 6)...)
				f = append(f,
					func() { VPUNPCKLBW(y, x, words[p][0]) },
					func() { VPUNPCKHBW(y, x, words[p][1]) })
			}
			for h := range 2 {
				odd := ZMM()
				f = append(f, exchange(words[0][h], words[1][h], odd, low, shiftD, 16)...)
				f = append(f,
					func() { VADDPS(words[0][h], s.acc[2*h], s.acc[2*h]) },
					func() { VADDPS(odd, s.acc[2*h+1], s.acc[2*h+1]) })
			}
			return f
		}}
	})
}

// sum32x8 looks each byte of values up by itself, in two or four registers: the words of planes 6 and 7 are the masks of
// those after the first.
func sum32x8(bits int) {
	newSum(name("sum32", bits), "looks up 64 bytes of values at a time.", "float32", 4, func(s *sum) lookups {
		u := newNumber(6, "Natural", natural)
		u.pair = bits == 8
		lowBytes := constant("sumsLowBytes", lowHalves(2))
		lowWords := constant("sumsLowWords", lowHalves(4))
		return lookups{number: u, body: func(n reg.VecVirtual) (f steps) {
			s.upper(bits)
			var words [2][2]reg.VecVirtual
			for p := range words {
				x, y, odd := ZMM(), ZMM(), ZMM()
				words[p] = [2]reg.VecVirtual{x, odd}
				f = append(f, lookup(x, n, s.leaf, 2*p, bits)...)
				f = append(f, lookup(y, n, s.leaf, 2*p+1, bits)...)
				f = append(f, func() { VPSHLDW(U8(8), y, y, y) })
				f = append(f, exchange(x, y, odd, lowBytes, shiftW, 8)...)
			}
			for o := range 2 {
				odd := ZMM()
				f = append(f, func() { VPRORD(U8(16), words[1][o], words[1][o]) })
				f = append(f, exchange(words[0][o], words[1][o], odd, lowWords, shiftD, 16)...)
				f = append(f,
					func() { VADDPS(words[0][o], s.acc[o], s.acc[o]) },
					func() { VADDPS(odd, s.acc[2+o], s.acc[2+o]) })
			}
			return f
		}}
	})
}
