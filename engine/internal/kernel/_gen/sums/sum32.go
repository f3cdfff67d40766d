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
		newSum(name("sum32", bits), "adds the leaf of trees of one.", "float32", 4, func(*sum) {}, func(s *sum) {
			for _, a := range s.acc {
				VADDPS_BCST(gen.At(s.leaf, 0), a, a)
			}
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
	var u *number
	newSum(name("sum32", bits), "looks up 16 values at a time.", "float32", 4, func(s *sum) {
		u = newNumber(bits, "Natural", natural)
	}, func(s *sum) {
		n := u.of(s)
		low, high := ZMM(), ZMM()
		VMOVDQU64(gen.At(s.leaf, 0), low)
		if bits > 4 {
			VMOVDQU64(gen.At(s.leaf, 64), high)
		}
		for i := 3; i >= 0; i-- {
			x := n
			if i > 0 {
				x = ZMM()
				VPSRLD(U8(8*i), n, x)
			}
			if bits > 4 {
				VPERMI2D(high, low, x)
			} else {
				VPERMD(low, x, x)
			}
			VADDPS(x, s.acc[i], s.acc[i])
		}
	})
}

// sum32x6 looks each byte of values up by itself.
func sum32x6() {
	var u *number
	var order, low reg.VecVirtual
	newSum(name("sum32", 6), "looks up 64 bytes of values at a time among 64.", "float32", 4, func(s *sum) {
		u = newNumber(6, "Natural", natural)
		// Unpacking bytes takes bit 3 of a byte's place, exchanging words bit 0; bits 2 and 1 are the dword's of 4.
		order = constant("sumsOrder6", func(i int) uint8 { return uint8(i&^15 | i>>2&1<<3 | i>>1&1<<2 | i>>3&1<<1 | i&1) })
		low = constant("sumsLowWords", lowHalves(4))
	}, func(s *sum) {
		n := u.of(s)
		VPSHUFB(order, n, n)
		swapped := ZMM()
		VPSHLDW(U8(8), n, n, swapped)
		var words [2][2]reg.VecVirtual
		for p := range words {
			idx := n
			if p == 1 {
				idx = swapped
			}
			x, y := lookup(idx, s.leaf, 128*p, 6, nil), lookup(idx, s.leaf, 128*p+64, 6, nil)
			words[p][0], words[p][1] = ZMM(), ZMM()
			VPUNPCKLBW(y, x, words[p][0])
			VPUNPCKHBW(y, x, words[p][1])
		}
		for h := range 2 {
			even, odd := exchange(words[0][h], words[1][h], low, shiftD, 16)
			VADDPS(even, s.acc[2*h], s.acc[2*h])
			VADDPS(odd, s.acc[2*h+1], s.acc[2*h+1])
		}
	})
}

// sum32x8 looks each byte of values up by itself, in two or four registers: the words of planes 6 and 7 are the masks of
// those after the first.
func sum32x8(bits int) {
	var u *number
	var lowBytes, lowWords reg.VecVirtual
	newSum(name("sum32", bits), "looks up 64 bytes of values at a time.", "float32", 4, func(s *sum) {
		u = newNumber(6, "Natural", natural)
		u.pair = bits == 8
		lowBytes = constant("sumsLowBytes", lowHalves(2))
		lowWords = constant("sumsLowWords", lowHalves(4))
	}, func(s *sum) {
		n := u.of(s)
		s.load(6, func(m Mem) { KMOVQ(m, reg.K6) })
		if bits == 8 {
			s.load(7, func(m Mem) { KMOVQ(m, reg.K7) })
			KANDQ(reg.K6, reg.K7, reg.K1)
		}
		var words [2][2]reg.VecVirtual
		for p := range words {
			x, y := lookup2(n, s.leaf, 2*p, bits), lookup2(n, s.leaf, 2*p+1, bits)
			VPSHLDW(U8(8), y, y, y)
			even, odd := exchange(x, y, lowBytes, shiftW, 8)
			words[p] = [2]reg.VecVirtual{even, odd}
		}
		for o := range 2 {
			VPRORD(U8(16), words[1][o], words[1][o])
			even, odd := exchange(words[0][o], words[1][o], lowWords, shiftD, 16)
			VADDPS(even, s.acc[o], s.acc[o])
			VADDPS(odd, s.acc[2+o], s.acc[2+o])
		}
	})
}

func lookup2(n reg.VecVirtual, leaf reg.GPVirtual, c, bits int) reg.VecVirtual {
	x := ZMM()
	at := c << bits
	VPERMB(gen.At(leaf, at), n, x)
	VPERMB(gen.At(leaf, at+64), n, reg.K6, x)
	if bits == 8 {
		VPERMB(gen.At(leaf, at+128), n, reg.K7, x)
		VPERMB(gen.At(leaf, at+192), n, reg.K1, x)
	}
	return x
}
