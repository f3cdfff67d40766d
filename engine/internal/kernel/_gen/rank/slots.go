package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// Offsets in Categories.
const (
	categorySlots = 0
	categoryCount = 8 // length of the slice of slots
	categoryLow   = 24
	categoryHigh  = 32
	categoryNone  = 40
	categoryNaN   = 42
)

// predicates of VCMPPD and VPCMPUD.
const (
	lessThan  = 0x11 // ordered, quiet
	atMost    = 0x12
	lessCount = 0x01
	equalCode = 0x00
)

// slots512 is Slots for AVX-512.
func slots512(o *orders) {
	gen.Func("slotsAVX512", "looks n > 0 category codes up in the Categories q.", "func(dst *uint16, q *uint64, v *float64, n int)")
	q := gen.Arg("q")
	r := newRows(double, 2)
	low, high, none, nan, last, lastSlot := ZMM(), ZMM(), YMM(), YMM(), YMM(), YMM()
	VBROADCASTSD(gen.At(q, categoryLow), low)
	VBROADCASTSD(gen.At(q, categoryHigh), high)
	t := GP32()
	MOVWLZX(gen.At(q, categoryNone), t)
	VPBROADCASTD(t, none)
	MOVWLZX(gen.At(q, categoryNaN), t)
	VPBROADCASTD(t, nan)
	slots, count := GP64(), GP64()
	MOVQ(gen.At(q, categorySlots), slots)
	MOVQ(gen.At(q, categoryCount), count)
	// A load of 32 bits must not start at the last slot: its code is compared with. There is at least one.
	DECQ(count)
	VPBROADCASTD(count.As32(), last)
	MOVWLZX(gen.Indexed(slots, count, 2, 0), t)
	VPBROADCASTD(t, lastSlot)
	order, low16 := ZMM(), YMM()
	VMOVDQU64(o.words, order)
	VPTERNLOGD(U8(0xff), low16, low16, low16)
	VPSRLD(U8(16), low16, low16)
	r.each(func(own reg.Register) {
		var found [8]reg.VecVirtual
		for j := range found {
			x := r.load(j)
			valid, inside, same, missing := K(), K(), K(), K()
			VCMPPD(Imm(greater), low, x, valid)
			VCMPPD(Imm(lessThan), high, x, valid, valid)
			VCMPPD(Imm(unordered), x, x, missing)
			code, slot := YMM(), YMM()
			VCVTTPD2DQ(x, code)
			VPCMPUD(Imm(lessCount), last, code, valid, inside)
			VPCMPUD(Imm(equalCode), last, code, valid, same)
			VXORPS(slot, slot, slot)
			VPGATHERDD(Mem{Base: slots, Index: code, Scale: 2}, inside, slot)
			VPANDD(low16, slot, slot)
			VMOVDQA32(lastSlot, same, slot)
			KNOTW(valid, valid)
			VMOVDQA32(none, valid, slot)
			VMOVDQA32(nan, missing, slot)
			found[j] = slot
		}
		pairs := joined(found)
		VPACKUSDW(pairs[1], pairs[0], pairs[0])
		VPACKUSDW(pairs[3], pairs[2], pairs[2])
		storeWords(r, own, order, pairs[0], pairs[2])
	})
}

// zeros512 is Zeros for AVX-512.
func zeros512() {
	gen.Func("zerosAVX512", "marks the values of n groups of 8 that are at most limit from zero.",
		"func(dst *uint8, v *float64, n int, limit float64)")
	dst, v, n := gen.Arg("dst"), gen.Arg("v"), gen.Arg("n")
	limit, magnitude := ZMM(), ZMM()
	VBROADCASTSD(NewParamAddr("limit", 24), limit)
	VPTERNLOGD(U8(0xff), magnitude, magnitude, magnitude)
	VPSRLQ(U8(1), magnitude, magnitude)
	Label("loop")
	x, k := ZMM(), K()
	VPANDQ(gen.At(v, 0), magnitude, x)
	VCMPPD(Imm(atMost), limit, x, k)
	KMOVB(k, gen.At(dst, 0))
	ADDQ(Imm(64), v)
	INCQ(dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	gen.Leave()
}
