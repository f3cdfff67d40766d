package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// Row r = 16L + 8h + 4e + i of a group is value 2L+e of accumulator 2i+h: what VPUNPCKLDQ and VPUNPCKHDQ make of looked
// up dwords whose index bytes are i of each dword.

func sum64(bits int) {
	switch {
	case bits == 0:
		newSum(name("sum64", bits), "adds the leaf of trees of one.", "float64", 8, func(s *sum) lookups {
			return lookups{body: func(reg.VecVirtual) (f steps) {
				for _, a := range s.acc {
					f = append(f, func() { VADDPD_BCST(gen.At(s.leaf, 0), a, a) })
				}
				return f
			}}
		})
	case bits <= 4:
		sum64x4(bits)
	case bits == 5:
		sum64x5()
	case bits == 6:
		sum64x6()
	default:
		sum64x8(bits)
	}
}

// sum64x4 looks values up in one register or two.
func sum64x4(bits int) {
	newSum(name("sum64", bits), "looks up 8 values at a time.", "float64", 8, func(s *sum) lookups {
		u := &number{planes: bits}
		for p := 1; p < bits; p++ {
			mask(1<<p, slots[p])
		}
		// The low four bits of byte i of words 2L and 2L+1 are the numbers of rows 16L+i and 16L+4+i, the high four those
		// of the rows eight further.
		u.shuffle = constant("sumsShuffle4", func(i int) uint8 { return uint8(8*((7-i%8)%4) + i/16*2 + (7-i%8)/4) })
		u.affine = constant("sumsAffine4", func(i int) uint8 { return 1 << (i/8%2*4 + i%4) })
		low, high := ZMM(), ZMM()
		return lookups{number: u, body: func(n reg.VecVirtual) (f steps) {
			VMOVDQU64(gen.At(s.leaf, 0), low)
			if bits == 4 {
				VMOVDQU64(gen.At(s.leaf, 64), high)
			}
			for a := len(s.acc) - 1; a >= 0; a-- {
				x := n
				if a > 0 {
					x = ZMM()
					f = append(f, func() { VPSRLQ(U8(4*a), n, x) })
				}
				if bits == 4 {
					f = append(f, func() { VPERMI2Q(high, low, x) })
				} else {
					f = append(f, func() { VPERMQ(low, x, x) })
				}
				f = append(f, func() { VADDPD(x, s.acc[a], s.acc[a]) })
			}
			return f
		}}
	})
}

// sum64x5 looks the low and the high halves of values up in two registers each.
func sum64x5() {
	newSum(name("sum64", 5), "looks up 16 values at a time among 32.", "float64", 8, func(s *sum) lookups {
		return lookups{number: newNumber(5, "Natural", natural), body: func(n reg.VecVirtual) (f steps) {
			var t [4]reg.VecVirtual
			for i := range t {
				t[i] = ZMM()
				VMOVDQU64(gen.At(s.leaf, 64*i), t[i])
			}
			for i := 3; i >= 0; i-- {
				low, high, x := n, ZMM(), ZMM()
				if i > 0 {
					low = ZMM()
					f = append(f, func() { VPSRLD(U8(8*i), n, low) })
				}
				f = append(f,
					func() { VMOVDQA64(low, high); VPERMI2D(t[1], t[0], low) },
					func() { VPERMI2D(t[3], t[2], high) },
					func() { VPUNPCKLDQ(high, low, x); VADDPD(x, s.acc[2*i], s.acc[2*i]) },
					func() { VPUNPCKHDQ(high, low, low); VADDPD(low, s.acc[2*i+1], s.acc[2*i+1]) })
			}
			return f
		}}
	})
}

// sum64x6 looks each byte of values up by itself: 64 at a time among 64.
func sum64x6() {
	newSum(name("sum64", 6), "looks up 64 bytes of values at a time among 64.", "float64", 8, func(s *sum) lookups {
		// Unpacking bytes takes bit 3 of a byte's place as h, unpacking words bit 2 as the high bit of i, exchanging dwords
		// bit 0 as the low bit of i, so bit 1 must be e.
		u := newNumber(6, "E1", func(t int) int { return t>>1&1<<2 | t>>2&1<<1 | t&1 })
		low := constant("sumsLowDwords", lowHalves(8))
		return lookups{number: u, body: func(n reg.VecVirtual) (f steps) {
			swapped := ZMM()
			VPSHLDW(U8(8), n, n, swapped)
			var words [4][2]reg.VecVirtual // [pair][h]
			for p := range words {
				idx := n
				if p >= 2 {
					idx = swapped
				}
				x, y := ZMM(), ZMM()
				words[p] = [2]reg.VecVirtual{ZMM(), ZMM()}
				f = append(f, lookup(x, idx, s.leaf, 2*p, 6)...)
				f = append(f, lookup(y, idx, s.leaf, 2*p+1, 6)...)
				f = append(f,
					func() { VPUNPCKLBW(y, x, words[p][0]) },
					func() { VPUNPCKHBW(y, x, words[p][1]) })
			}
			for h := range 2 {
				for i, unpack := range [2]func(x, y, z Op){
					func(x, y, z Op) { VPUNPCKLWD(x, y, z) },
					func(x, y, z Op) { VPUNPCKHWD(x, y, z) },
				} {
					x, y, odd, a, b := ZMM(), ZMM(), ZMM(), s.acc[4*i+h], s.acc[4*i+2+h]
					f = append(f,
						func() { unpack(words[1][h], words[0][h], x) },
						func() { unpack(words[3][h], words[2][h], y) })
					f = append(f, exchange(x, y, odd, low, shiftQ, 32)...)
					f = append(f, func() { VADDPD(odd, b, b) }, func() { VADDPD(x, a, a) })
				}
			}
			return f
		}}
	})
}

// sum64x8 looks each byte of values up by itself, in two or four registers: the words of planes 6 and 7 are the masks of
// those after the first.
func sum64x8(bits int) {
	newSum(name("sum64", bits), "looks up 64 bytes of values at a time.", "float64", 8, func(s *sum) lookups {
		u := newNumber(6, "Natural", natural)
		u.pair = bits == 8
		lowWords := constant("sumsLowWords", lowHalves(4))
		lowDwords := constant("sumsLowDwords", lowHalves(8))
		return lookups{number: u, body: func(n reg.VecVirtual) (f steps) {
			s.upper(bits)
			var words [4][2]reg.VecVirtual // [pair][h]
			for p := range words {
				x, y := ZMM(), ZMM()
				words[p] = [2]reg.VecVirtual{ZMM(), ZMM()}
				f = append(f, lookup(x, n, s.leaf, 2*p, bits)...)
				f = append(f, lookup(y, n, s.leaf, 2*p+1, bits)...)
				f = append(f,
					func() { VPUNPCKLBW(y, x, words[p][0]) },
					func() { VPUNPCKHBW(y, x, words[p][1]) })
			}
			for h := range 2 {
				var half [2][2]reg.VecVirtual // [half][odd]
				for c := range half {
					x, y := words[2*c][h], words[2*c+1][h]
					half[c] = [2]reg.VecVirtual{x, ZMM()}
					f = append(f, func() { VPRORD(U8(16), y, y) })
					f = append(f, exchange(x, y, half[c][1], lowWords, shiftD, 16)...)
				}
				for i := range 2 {
					x, y, odd, a, b := half[0][i], half[1][i], ZMM(), s.acc[2*i+h], s.acc[4+2*i+h]
					f = append(f, func() { VPRORQ(U8(32), y, y) })
					f = append(f, exchange(x, y, odd, lowDwords, shiftQ, 32)...)
					f = append(f, func() { VADDPD(odd, b, b) }, func() { VADDPD(x, a, a) })
				}
			}
			return f
		}}
	})
}
