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
	doc := "adds leaves of trees with %d planes."
	_ = doc
	switch {
	case bits == 0:
		newSum(name("sum64", bits), "adds the leaf of trees of one.", "float64", 8, func(*sum) {}, func(s *sum) {
			for _, a := range s.acc {
				VADDPD_BCST(gen.At(s.leaf, 0), a, a)
			}
		})
	case bits <= 4:
		sum64x4(bits)
	case bits == 5:
		sum64x5()
	case bits == 8:
		gather64(bits)
	default:
		sum64x6(bits)
	}
}

// sum64x4 looks values up in one register or two.
func sum64x4(bits int) {
	var u *number
	newSum(name("sum64", bits), "looks up 8 values at a time.", "float64", 8, func(s *sum) {
		u = &number{planes: bits}
		for p := 1; p < bits; p++ {
			mask(1<<p, slots[p])
		}
		// The low four bits of byte i of words 2L and 2L+1 are the numbers of rows 16L+i and 16L+4+i, the high four those
		// of the rows eight further.
		u.shuffle = constant("sumsShuffle4", func(i int) uint8 { return uint8(8*((7-i%8)%4) + i/16*2 + (7-i%8)/4) })
		u.affine = constant("sumsAffine4", func(i int) uint8 { return 1 << (i/8%2*4 + i%4) })
	}, func(s *sum) {
		n := u.of(s)
		low, high := ZMM(), ZMM()
		VMOVDQU64(gen.At(s.leaf, 0), low)
		if bits == 4 {
			VMOVDQU64(gen.At(s.leaf, 64), high)
		}
		for a := len(s.acc) - 1; a >= 0; a-- {
			x := n
			if a > 0 {
				x = ZMM()
				VPSRLQ(U8(4*a), n, x)
			}
			if bits == 4 {
				VPERMI2Q(high, low, x)
			} else {
				VPERMQ(low, x, x)
			}
			VADDPD(x, s.acc[a], s.acc[a])
		}
	})
}

// sum64x5 looks the low and the high halves of values up in two registers each.
func sum64x5() {
	var u *number
	newSum(name("sum64", 5), "looks up 16 values at a time among 32.", "float64", 8, func(s *sum) {
		u = newNumber(5, "Natural", natural)
	}, func(s *sum) {
		n := u.of(s)
		var t [4]reg.VecVirtual
		for i := range t {
			t[i] = ZMM()
			VMOVDQU64(gen.At(s.leaf, 64*i), t[i])
		}
		for i := 3; i >= 0; i-- {
			low, high := n, ZMM()
			if i > 0 {
				low = ZMM()
				VPSRLD(U8(8*i), n, low)
			}
			VMOVDQA64(low, high)
			VPERMI2D(t[1], t[0], low)
			VPERMI2D(t[3], t[2], high)
			x := ZMM()
			VPUNPCKLDQ(high, low, x)
			VPUNPCKHDQ(high, low, low)
			VADDPD(x, s.acc[2*i], s.acc[2*i])
			VADDPD(low, s.acc[2*i+1], s.acc[2*i+1])
		}
	})
}

// exchange interleaves the halves of a's and b's elements, b's elements having been exchanged in pairs: shift makes the
// odd ones, a selection the even ones, which replace a. Of the two no operation is on p5.
func exchange(a, b, low reg.VecVirtual, shift func(Op, Op, Op, Op), bits int) (even, odd reg.VecVirtual) {
	odd = ZMM()
	shift(U8(bits), a, b, odd)
	VPTERNLOGD(U8(0xe4), low, b, a)
	return a, odd
}

func shiftQ(i, b, a, d Op) { VPSHLDQ(i, b, a, d) }
func shiftD(i, b, a, d Op) { VPSHLDD(i, b, a, d) }
func shiftW(i, b, a, d Op) { VPSHLDW(i, b, a, d) }

func lowHalves(size int) func(i int) uint8 {
	return func(i int) uint8 {
		if i%size < size/2 {
			return 0xff
		}
		return 0
	}
}

// sum64x6 looks each byte of values up by itself: 64 at a time among 64.
func sum64x6(bits int) {
	var u *number
	var low reg.VecVirtual
	newSum(name("sum64", bits), "looks up 64 bytes of values at a time.", "float64", 8, func(s *sum) {
		// Unpacking bytes takes bit 3 of a byte's place as h, unpacking words bit 2 as the high bit of i, exchanging dwords
		// bit 0 as the low bit of i, so bit 1 must be e.
		u = newNumber(bits, "E1", func(t int) int { return t>>1&1<<2 | t>>2&1<<1 | t&1 })
		u.pair = bits == 7
		low = constant("sumsLowDwords", lowHalves(8))
	}, func(s *sum) {
		n := u.of(s)
		swapped := ZMM()
		VPSHLDW(U8(8), n, n, swapped)
		size := 1 << bits
		kn, ks := upper(u, n, reg.K1), upper(u, swapped, reg.K7)
		// half[c][h][i1] are bytes 4c to 4c+3 of the values.
		var half [2][2][2]reg.VecVirtual
		for c := range half {
			idx, k := n, kn
			if c == 1 {
				idx, k = swapped, ks
			}
			var words [2][2]reg.VecVirtual // [pair][h]
			for p := range words {
				x := lookup(idx, s.leaf, (4*c+2*p)*size, bits, k)
				y := lookup(idx, s.leaf, (4*c+2*p+1)*size, bits, k)
				words[p][0], words[p][1] = ZMM(), ZMM()
				VPUNPCKLBW(y, x, words[p][0])
				VPUNPCKHBW(y, x, words[p][1])
			}
			for h := range 2 {
				half[c][h][0], half[c][h][1] = ZMM(), ZMM()
				VPUNPCKLWD(words[1][h], words[0][h], half[c][h][0])
				VPUNPCKHWD(words[1][h], words[0][h], half[c][h][1])
			}
		}
		for h := range 2 {
			for i := range 2 {
				even, odd := exchange(half[0][h][i], half[1][h][i], low, shiftQ, 32)
				VADDPD(even, s.acc[4*i+h], s.acc[4*i+h])
				VADDPD(odd, s.acc[4*i+2+h], s.acc[4*i+2+h])
			}
		}
	})
}

// upper puts bit 6 of numbers into a mask register.
func upper(u *number, n reg.VecVirtual, k reg.OpmaskPhysical) reg.OpmaskPhysical {
	if u.planes < 7 {
		return nil
	}
	x := ZMM()
	VPADDB(n, n, x)
	VPMOVB2M(x, k)
	return k
}

// lookup looks one byte of the leaves up.
func lookup(n reg.VecVirtual, leaf reg.GPVirtual, at, bits int, k reg.OpmaskPhysical) reg.VecVirtual {
	x := ZMM()
	VPERMB(gen.At(leaf, at), n, x)
	if bits == 7 {
		VPERMB(gen.At(leaf, at+64), n, k, x)
	}
	return x
}

// gather64 gathers values.
func gather64(bits int) {
	var u *number
	var byte0 reg.VecVirtual
	newSum(name("sum64", bits), "gathers values.", "float64", 8, func(s *sum) {
		u = newNumber(bits, "Natural", natural)
		u.pair = true
		byte0 = constant("sumsByte0", func(i int) uint8 {
			if i%8 == 0 {
				return 0xff
			}
			return 0
		})
	}, func(s *sum) {
		n := u.of(s)
		order := constant("sumsOrder8", func(i int) uint8 { return uint8(i&^15 | i&1<<3 | i>>3&1<<2 | i>>1&3) })
		VPSHUFB(order, n, n)
		for a := range s.acc {
			x := ZMM()
			if a > 0 {
				VPSRLQ(U8(8*a), n, x)
				VPANDQ(byte0, x, x)
			} else {
				VPANDQ(byte0, n, x)
			}
			v := ZMM()
			k := reg.K1
			KXNORB(k, k, k)
			VPXORQ(v, v, v)
			VGATHERQPD(Mem{Base: s.leaf, Index: x, Scale: 8}, k, v)
			VADDPD(v, s.acc[a], s.acc[a])
		}
	})
}
