package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// lookup looks byte c of the 64 rows' leaves up, in one register for 6 planes. For 7 and 8 planes upper has made the
// masks of the rows whose leaves are in the registers after the first.
func lookup(x, n reg.VecVirtual, leaf reg.GPVirtual, c, bits int) steps {
	at := c << bits
	f := steps{func() { VPERMB(gen.At(leaf, at), n, x) }}
	if bits >= 7 {
		f = append(f, func() { VPERMB(gen.At(leaf, at+64), n, reg.K6, x) })
	}
	if bits == 8 {
		f = append(f, func() { VPERMB(gen.At(leaf, at+128), n, reg.K7, x) },
			func() { VPERMB(gen.At(leaf, at+192), n, reg.K1, x) })
	}
	return f
}

// upper loads the words of planes 6 and 7 of the tree that is added. Rows must be in natural order.
func (s *sum) upper(bits int) {
	KMOVQ(s.word(s.now, 6), reg.K6)
	if bits == 8 {
		KMOVQ(s.word(s.now, 7), reg.K7)
		KANDQ(reg.K6, reg.K7, reg.K1)
	}
}

// exchange interleaves the halves of a's and b's elements, b's elements having been exchanged in pairs: shift makes the
// odd ones, a selection the even ones, which replace a. Of the two no operation is on p5.
func exchange(a, b, odd, low reg.VecVirtual, shift func(Op, Op, Op, Op), bits int) steps {
	return steps{func() { shift(U8(bits), a, b, odd) }, func() { VPTERNLOGD(U8(0xe4), low, b, a) }}
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
